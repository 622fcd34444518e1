"""What must not happen in a soak."""

from collections import Counter

from benchmarks.soak import count_failures


def test_failures_of_all_kinds_of_callers_are_added_up() -> None:
    """A 503 is none of the server's errors; who hangs up broke the connection themselves."""
    statuses = {
        "small jpeg": Counter({"200": 90, "503": 4, "500": 2, "lost": 1}),
        "hangs up waiting": Counter({"hung up": 7, "504": 1, "503": 1}),
        "text": Counter({"415": 5, "refused": 2, "unanswered": 3}),
    }
    assert count_failures(statuses) == {"server_errors": 3, "unavailable": 5, "broken": 6}


def test_a_good_soak_has_none() -> None:
    """Nor has one in which nobody called."""
    for statuses in ({"text": Counter({"415": 5})}, {"text": Counter[str]()}, {}):
        assert count_failures(statuses) == {"server_errors": 0, "unavailable": 0, "broken": 0}
