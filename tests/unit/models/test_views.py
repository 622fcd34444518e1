"""Views of a picture, and one answer from all of them."""

import numpy as np
import pytest
import torch

from models.views import shows_mirror_images, six_views, together


def _images(n: int = 6, height: int = 9, width: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, height, width, 3), dtype=torch.uint8, generator=generator)


def _padded(image: torch.Tensor, by: int) -> np.ndarray:
    return np.pad(image.numpy(), ((by, by), (by, by), (0, 0)), mode="reflect")


def test_six_views_are_three_crops_and_their_mirrors() -> None:
    """The picture, its crop up-left and its crop down-right over a reflected border, each with its mirror."""
    images = _images(1)
    views = six_views(images, mirrors=True)
    padded = _padded(images[0], 1)
    windows = [images[0].numpy(), padded[0:9, 0:7], padded[2:11, 2:9]]
    expected = [side for window in windows for side in (window, window[:, ::-1])]
    assert len(views) == 6
    for (_, view), wanted in zip(views, expected, strict=True):
        assert np.array_equal(view[0].numpy(), wanted)


def test_weights_of_the_six_views_are_those_of_the_recipe() -> None:
    """The picture and its mirror count a quarter each, the four others an eighth."""
    weights = [weight for weight, _ in six_views(_images(1), mirrors=True)]
    assert weights == [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]


def test_without_mirror_images_the_views_are_three() -> None:
    """The crops, with the weights that each had together with its mirror."""
    images = _images(1)
    all_views, views = six_views(images, mirrors=True), six_views(images, mirrors=False)
    assert [weight for weight, _ in views] == [0.5, 0.25, 0.25]
    for (_, view), (_, wanted) in zip(views, all_views[::2], strict=True):
        assert torch.equal(view, wanted)


def test_answers_are_joined_by_the_mean_of_their_logits() -> None:
    """Though only probabilities are known; a temperature and the first view's distance stay what they were."""
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    weights = (0.5, 0.25, 0.25)
    answers = torch.cat([logits.softmax(1), torch.tensor([[2.5], [9.0], [1.0]])], 1).numpy()
    joined = together(answers, weights, classes=4)
    assert joined.dtype == np.float32
    assert joined[:4] == pytest.approx((torch.tensor(weights) @ logits).softmax(0).numpy(), abs=1e-6)
    assert joined[4] == 2.5


def test_an_impossible_class_stays_impossible() -> None:
    """A probability that rounding made 0 is none that all others fail with."""
    joined = together(np.array([[1, 0], [0.5, 0.5]], np.float32), (0.5, 0.5), classes=2)
    assert joined[0] == pytest.approx(1, abs=1e-6)
    assert np.isfinite(joined).all()


def test_a_training_without_mirror_images_has_views_without_them() -> None:
    """As its record says; older ones say nothing, and had them."""
    assert shows_mirror_images({})
    assert shows_mirror_images({"unmirrored": False})
    assert not shows_mirror_images({"unmirrored": True})
