"""The interval around a share, against published figures."""

import pytest

from training.measuring.intervals import interval


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (9334, 10_000, 0.9283, 0.9381)],
)
def test_the_interval_is_wilsons(hits: int, n: int, low: float, high: float) -> None:
    """Published examples (Newcombe, 1998: 81 of 263), and the two ends, where it stays within 0…1."""
    found = interval(hits, n)
    assert found.share == hits / n
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)
