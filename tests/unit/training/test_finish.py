"""What is said after a training."""

from dataclasses import replace

import pytest

from models.metrics import Metrics
from models.record import Record
from training.finish import gap_to_test


@pytest.fixture
def metrics(record: Record) -> Metrics:
    """Figures of some checkpoint."""
    return record.metrics


def _with(metrics: Metrics, right: float, n: int) -> Metrics:
    return replace(metrics, accuracy={"single_view": right, "six_views": right}, n=n)


@pytest.mark.parametrize(
    ("held_out", "test"),
    [
        ((0.8695, 568), (0.6635, 1911)),
        ((1.0, 2000), (0.94, 2000)),
    ],
)
def test_a_test_part_of_other_pictures_is_warned_of(
    metrics: Metrics, held_out: tuple[float, int], test: tuple[float, int]
) -> None:
    """Of emoji by other vendors 21 points fewer are right than of those that were held out."""
    sentence = gap_to_test(_with(metrics, *held_out), _with(metrics, *test))
    assert sentence
    assert f"{100 * test[0]:.2f} % of the test part" in sentence
    assert f"{100 * (held_out[0] - test[0]):.1f} points less" in sentence


@pytest.mark.parametrize(
    ("held_out", "test"),
    [
        ((0.9563, 3_000), (0.9501, 10_000)),  # CIFAR-10
        ((0.95, 100_000), (0.91, 100_000)),  # sure, and small
        ((0.96, 24), (0.80, 60)),  # large, and not sure
        ((0.6, 1_000), (0.9, 1_000)),
        ((1.0, 20), (1.0, 20)),
    ],
)
def test_chance_and_small_differences_are_not(
    metrics: Metrics, held_out: tuple[float, int], test: tuple[float, int]
) -> None:
    """Nor is a test part that is easier."""
    assert gap_to_test(_with(metrics, *held_out), _with(metrics, *test)) is None
