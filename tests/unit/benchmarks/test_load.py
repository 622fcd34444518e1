"""What came back to the load generator, in numbers; nothing is sent."""

import pytest

from benchmarks.load import Generator, summary


def test_a_summary_says_what_came_back() -> None:
    """In 2 s of sending 8 requests left; 5 answers were good, and 3 of these came while others were being sent."""
    generator = Generator("127.0.0.1", 1, b"")
    tally = generator.tally
    tally.statuses.update({"200": 5, "503": 2, "lost": 1})
    tally.latencies_s = [0.1, 0.2, 1.5, 1.2, 0.3]
    tally.from_sending_s = [0.1, 0.2, 0.9, 1.2, 0.3]
    tally.answered_in_time = 3
    tally.without_retry_after = 2
    generator.cores, generator.max_lag_s = 0.456, 0.01234
    assert summary(generator, sending_s=2.0, deadline_ms=1000) == {
        "sent_per_s": 4.0,
        "goodput_per_s": 1.5,
        "statuses": {"200": 5, "503": 2, "lost": 1},
        "late": 2,
        "late_since_sent": 1,
        "without_retry_after": 2,
        "p50_ms": 300.0,
        "p99_ms": 1500.0,
        "max_ms": 1500.0,
        "generator_cores": 0.46,
        "generator_max_lag_ms": 12.3,
    }


def test_without_an_answer_there_is_no_latency() -> None:
    """All were refused: zeros, and no failure of the arithmetic."""
    generator = Generator("127.0.0.1", 1, b"")
    generator.tally.statuses["503"] = 10
    found = summary(generator, sending_s=5.0, deadline_ms=1000)
    assert [found[name] for name in ("sent_per_s", "goodput_per_s", "late")] == [2.0, 0.0, 0]
    assert [found[name] for name in ("p50_ms", "p99_ms", "max_ms")] == [pytest.approx(0)] * 3
