"""Pictures in, predictions out."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from models import golden
from models.calibration import Calibration
from models.classifier import Classifier, Prediction, probabilities_of, rank
from models.errors import EmptyBatchError
from models.pictures import Picture
from models.preprocessing import InputSpec
from tests.drawing import gradient, solid

LABELS = ("red", "green", "blue")


class _Brightest(nn.Module):
    """Scores each colour by how bright its channel is on average."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(4 / 255))

    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean(dim=(1, 2)) * self.scale


@pytest.fixture
def classifier() -> Classifier:
    """A classifier that names the brightest channel."""
    return Classifier("brightest", _Brightest().eval(), LABELS, InputSpec(height=8, width=8), Calibration())


def _pictures(images: Sequence[Image.Image]) -> list[Picture]:
    return [Picture(rgb=image, format="PNG", width=image.width, height=image.height) for image in images]


def test_each_picture_gets_one_prediction_in_order(classifier: Classifier) -> None:
    """The list of predictions is as long as the list of pictures and follows it."""
    pictures = _pictures([solid("blue"), solid("red", 99), solid("lime", 3), solid("red")])
    predictions = classifier.classify(pictures)
    assert [prediction.label for prediction in predictions] == ["blue", "red", "green", "red"]
    assert [prediction.class_index for prediction in predictions] == [2, 0, 1, 0]


def test_a_prediction_carries_the_probability_of_its_class(classifier: Classifier) -> None:
    """The score is the softmax of the network's logits, for the best class."""
    (prediction,) = classifier.classify(_pictures([solid("red")]))
    expected = np.exp(4) / (np.exp(4) + 2)
    assert (prediction.label, prediction.class_index) == ("red", 0)
    assert prediction.score == pytest.approx(expected, abs=1e-6)
    assert type(prediction.score) is float
    assert type(prediction.class_index) is int


def test_no_picture_is_refused(classifier: Classifier) -> None:
    """An empty list is an error and not an empty answer."""
    with pytest.raises(EmptyBatchError, match="Send at least one"):
        classifier.classify([])


@pytest.mark.parametrize("count", [1, 5])
def test_probabilities_add_up_to_one(network: nn.Module, count: int) -> None:
    """A real network's answer is float32, one row an image, each row adding up to 1."""
    classifier = Classifier("tiny", network.eval(), LABELS, InputSpec(), Calibration())
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    probabilities = classifier.probabilities(images)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (count, 3)
    assert (probabilities > 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_a_picture_is_classified_as_its_image_is(network: nn.Module) -> None:
    """Pictures and images take the same way: same best class, same score."""
    classifier = Classifier("tiny", network.eval(), LABELS, InputSpec(), Calibration())
    image = gradient(32, 32)
    (prediction,) = classifier.classify(_pictures([image]))
    (row,) = classifier.probabilities(np.asarray(image)[None].copy())
    assert prediction == Prediction(LABELS[row.argmax()], int(row.argmax()), float(row.max()))


def test_the_best_class_comes_first() -> None:
    """Predictions are sorted by score, and each keeps its own label and place."""
    ranked = rank(np.array([0.25, 0.125, 0.625], np.float32), LABELS, top_k=3)
    assert ranked == [Prediction("blue", 2, 0.625), Prediction("red", 0, 0.25), Prediction("green", 1, 0.125)]


@pytest.mark.parametrize(("top_k", "count"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (1000, 3)])
def test_at_most_as_many_are_returned_as_there_are_classes(top_k: int, count: int) -> None:
    """More than there are classes returns all of them."""
    ranked = rank(np.array([0.25, 0.125, 0.625], np.float32), LABELS, top_k=top_k)
    assert [prediction.label for prediction in ranked] == ["blue", "red", "green"][:count]


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    """A tie is broken by the place among the labels, also in a long row."""
    labels = [f"class {i}" for i in range(100)]
    probabilities = np.full(100, 0.005, np.float32)
    probabilities[50:] = 0.015
    ranked = rank(probabilities, labels, top_k=100)
    assert [prediction.class_index for prediction in ranked] == [*range(50, 100), *range(50)]


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    """Probabilities come back as float32, one row a picture, each adding up to 1."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    images = golden.draw(2, 2)
    logits = network(torch.from_numpy(images).double()).detach().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    class FromBytes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, received: torch.Tensor) -> torch.Tensor:
            assert received.dtype == torch.uint8
            return self.inner(received.double())  # type: ignore[no-any-return]

    answer = probabilities_of(FromBytes(), images)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)
