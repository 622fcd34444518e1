"""The distance of features from the classes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.distance import ClassDistance
from models.errors import CheckpointError, NotFiniteError, TensorKeysError, TensorShapeError


def _tensors(features: int = 5, classes: int = 3) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        "center": torch.rand(features, generator=random),
        "whitening": torch.randn(features, features, generator=random),
        "means": torch.randn(classes, features, generator=random),
    }


def test_it_is_the_squared_distance_to_the_nearest_mean() -> None:
    """Of whitened features of length 1, written out class by class."""
    tensors = _tensors()
    features = torch.rand(7, 5)
    got = ClassDistance(**tensors)(features)
    whitened = (F.normalize(features, dim=1) - tensors["center"]) @ tensors["whitening"]
    expected = torch.stack([(whitened - mean).square().sum(1) for mean in tensors["means"]]).amin(0)
    assert got.shape == (7, 1)
    torch.testing.assert_close(got.flatten(), expected, atol=1e-5, rtol=1e-5)


def test_the_length_of_the_features_does_not_count() -> None:
    """A fainter picture of the same thing is as far away."""
    distance = ClassDistance(**_tensors())
    features = torch.rand(4, 5)
    torch.testing.assert_close(distance(features * 0.01), distance(features), atol=1e-5, rtol=1e-4)


def _without(name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in _tensors().items() if key != name}


@pytest.mark.parametrize(
    ("tensors", "error", "sentence"),
    [
        (_without("means"), TensorKeysError, r"missing \['means'\], too many none"),
        (_tensors() | {"scale": torch.ones(1)}, TensorKeysError, r"missing none, too many \['scale'\]"),
        (_tensors(classes=2), TensorShapeError, r"abstain.means is torch.float32 \[2, 5\].*\[3, 5\]"),
        (_tensors(features=6), TensorShapeError, r"abstain.center is .* \[6\]; with 5 features and 3 labels"),
        (_tensors() | {"center": torch.zeros(5).double()}, TensorShapeError, "abstain.center is torch.float64"),
        (_tensors() | {"center": torch.full((5,), float("nan"))}, NotFiniteError, "abstain.center holds values"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tensors: dict[str, Tensor], error: type[CheckpointError], sentence: str
) -> None:
    """Each fault by its name, and with what to do."""
    with pytest.raises(error, match=rf"{sentence}.*Restore the original file"):
        ClassDistance.from_tensors(tensors, classes=3, features=5)


def test_autocast_rounds_nothing() -> None:
    """In half precision the squares of a picture that is far from everything would overflow."""
    generator = torch.Generator().manual_seed(0)
    center, whitening = torch.randn(6, generator=generator), 200 * torch.randn(6, 6, generator=generator)
    measure = ClassDistance(center, whitening, torch.randn(3, 6, generator=generator))
    features = torch.randn(20, 6, generator=generator)
    expected = measure(features)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(measure(features), expected)
