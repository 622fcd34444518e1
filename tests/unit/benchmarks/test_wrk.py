"""What wrk printed, as numbers."""

import pytest

from tests.unit.benchmarks.measurements import measurement


def test_refusals_and_failures_are_no_answers() -> None:
    """1,000 a second for 10 s, of which 2,000 were 503 and 500 failed: 750 a second."""
    assert measurement(1_000.0, unavailable=2_000, other_failures=500).answered_per_s == 750.0
    assert measurement(1_000.0).answered_per_s == 1_000.0


def test_a_server_that_only_refuses_answers_nothing() -> None:
    """However fast it does."""
    assert measurement(50_000.0, unavailable=500_000).answered_per_s == pytest.approx(0)
