"""What Glimpse is measured by, from rows that are made up."""

from benchmarks.comparison import FIRST_SECOND, Row, ratios
from tests.unit.benchmarks.measurements import measurement


def test_the_best_peer_counts_and_refusals_do_not() -> None:
    """Of two peers the faster; one that answers more, but refuses most of it, is not."""
    rows = [
        Row("glimpse", "photo", 32, measurement(300.0)),
        Row("litserve", "photo", 32, measurement(100.0)),
        Row("bentoml", "photo", 32, measurement(200.0)),
        Row("ray", "photo", 32, measurement(900.0, other_failures=8_500)),
        Row("ray", "photo", 1, measurement(900.0)),  # another load
    ]
    assert ratios(rows) == {"photo, 32 connections, to the best peer (bentoml)": 1.5}


def test_one_connection_is_named_so() -> None:
    """And compared with the plain service by its latency, too."""
    rows = [
        Row("glimpse", "small", 1, measurement(1_000.0, p50_ms=0.9)),
        Row("plain", "small", 1, measurement(800.0, p50_ms=1.2)),
    ]
    assert ratios(rows) == {
        "small, 1 connection, to the best peer (plain)": 1.25,
        "small, 1 connection, p50 to plain FastAPI's": 0.75,
    }


def test_it_is_compared_with_itself() -> None:
    """Its tail in the first second and later, and many connections with few."""
    rows = [
        Row("glimpse", FIRST_SECOND, 32, measurement(500.0, p50_ms=4.0, p99_ms=20.0)),
        Row("glimpse", "small", 32, measurement(1_000.0, p50_ms=4.0, p99_ms=6.0)),
        Row("glimpse", "small", 256, measurement(1_100.0, unavailable=1_500)),
    ]
    assert ratios(rows) == {
        f"{FIRST_SECOND}, 32 connections, p99 to p50": 5.0,
        "small, 32 connections, p99 to p50": 1.5,
        "small, 256 connections to 32": 0.95,
    }


def test_a_server_that_answered_nothing_is_divided_by_nowhere() -> None:
    """Neither a peer nor Glimpse itself."""
    dead = measurement(0.0, p50_ms=0.0)
    rows = [Row(name, "small", connections, dead) for name in ("glimpse", "plain") for connections in (1, 32, 256)]
    assert ratios(rows) == {}
    assert ratios([]) == {}
