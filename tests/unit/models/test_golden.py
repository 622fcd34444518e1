"""The pictures that a checkpoint carries, and the comparison of its answers for them."""

import numpy as np
import pytest

from models import golden
from models.errors import GoldenError
from models.preprocessing import Probabilities

EXPECTED = np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], np.float32)


def _check(got: Probabilities, *, tolerance: float = 1e-3) -> None:
    golden.check(got, EXPECTED, tolerance=tolerance)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 48), (1, 1)])
def test_the_pictures_have_the_size_that_was_asked_for(height: int, width: int) -> None:
    """Eight uint8 images of the wanted height and width are drawn."""
    images = golden.draw(height, width)
    assert images.shape == (golden.GOLDEN_COUNT, height, width, 3) == (8, height, width, 3)
    assert images.dtype == np.uint8


def test_the_pictures_are_the_same_each_time() -> None:
    """The seed is fixed, so two draws agree bit for bit."""
    np.testing.assert_array_equal(golden.draw(32, 32), golden.draw(32, 32))


def test_drawing_does_not_touch_the_global_random_numbers() -> None:
    """A training that draws golden pictures keeps its own random numbers."""
    np.random.seed(0)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    golden.draw(8, 8)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before)


def test_the_pictures_differ_from_each_other() -> None:
    """No two of them are alike, in any channel mean either."""
    images = golden.draw(32, 32).astype(float)
    distances = [np.abs(a - b).mean() for i, a in enumerate(images) for b in images[:i]]
    assert min(distances) > 10


def test_the_pictures_use_the_range_of_a_byte() -> None:
    """They are neither black nor white: values spread over most of 0…255, and neighbours are alike."""
    images = golden.draw(32, 32).astype(float)
    assert images.min() < 30
    assert images.max() > 225
    steps = np.abs(np.diff(images, axis=2)).mean()
    assert 0 < steps < images.std()


def test_equal_answers_pass() -> None:
    """The stored answers themselves are accepted, even without any tolerance."""
    _check(EXPECTED.copy(), tolerance=0)


def test_a_difference_within_the_tolerance_passes() -> None:
    """Another machine rounds differently, and that is allowed."""
    _check(EXPECTED + np.float32(9e-4))


@pytest.mark.parametrize("change", [1.1e-3, -1.1e-3, 0.5])
def test_one_probability_beyond_the_tolerance_is_refused(change: float) -> None:
    """A single number that is too far off, in either direction, is enough, and the message holds it."""
    got = EXPECTED.copy()
    got[1, 2] += change
    with pytest.raises(GoldenError, match=rf"differs by {abs(change):.4f}, allowed is 0.001"):
        _check(got)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_refused(value: float) -> None:
    """NaN compares false with everything, and is refused nevertheless."""
    got = EXPECTED.copy()
    got[0, 0] = value
    with pytest.raises(GoldenError, match=r"differs by (nan|inf)"):
        _check(got)


def test_two_nan_do_not_excuse_each_other() -> None:
    """A NaN that was stored as NaN is refused too."""
    broken = np.full((1, 3), np.nan, np.float32)
    with pytest.raises(GoldenError, match="differs by nan"):
        golden.check(broken, broken, tolerance=1e-3)


@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (2, 2), (2, 1)])
def test_answers_of_another_shape_are_refused(shape: tuple[int, int]) -> None:
    """Another number of pictures or classes is not stretched to fit, and both shapes are named."""
    with pytest.raises(GoldenError, match=rf"shape \({shape[0]}, {shape[1]}\), stored are \(2, 3\)"):
        _check(np.full(shape, 0.3, np.float32))


def test_a_tiny_distance_may_differ_as_one_of_1_may() -> None:
    """Five times the tolerance, of 1 and not of itself: what lies on a class's mean is rounding alone."""
    expected = np.array([[1e-3]], np.float32)
    golden.check_distances(expected + np.float32(4e-3), expected, tolerance=1e-3)
    with pytest.raises(GoldenError, match=r"differs by 0\.60% of itself"):
        golden.check_distances(expected + np.float32(6e-3), expected, tolerance=1e-3)
