"""Who was refused, counted at once and told later."""

import logging

import pytest

from app.errors import NotReadyError, OverloadedError
from app.metrics import Instruments
from app.refusals import Refusals

FULL = OverloadedError("Full.", retry_after_s=1, reason="queue_full")
LATE = OverloadedError("Late.", retry_after_s=1, reason="deadline")
STARTING = NotReadyError("Starting.")


@pytest.fixture(autouse=True)
def _warnings_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever another test configured."""
    caplog.set_level(logging.WARNING, logger="glimpse")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, object]]:
    """The lines of the log."""
    return [(line.levelname, line.getMessage(), line.__dict__["fields"]) for line in caplog.records]


def refused(metrics: Instruments) -> dict[tuple[str, str], float]:
    """How many of each code and reason a scrape shows."""
    samples = [sample for family in metrics.refused.collect() for sample in family.samples]
    return {
        (sample.labels["code"], sample.labels["reason"]): sample.value
        for sample in samples
        if sample.name == "glimpse_refused_total"
    }


def test_all_refusals_of_a_second_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """With how many there were of each code and for each reason; nothing is counted twice."""
    metrics = Instruments()
    refusals = Refusals(metrics)
    for error in (FULL, STARTING, FULL, LATE):
        refusals.count(error)
    assert (refused(metrics), told(caplog)) == ({}, [])
    refusals.tell_if_due(100.0)
    counted = {("overloaded", "queue_full"): 2, ("overloaded", "deadline"): 1, ("not_ready", "not_ready"): 1}
    assert refused(metrics) == counted
    reasons = {"queue_full": 2, "deadline": 1, "not_ready": 1}
    assert told(caplog) == [("WARNING", "refused", {"overloaded": 3, "not_ready": 1, "reasons": reasons})]
    refusals.tell_if_due(200.0)
    refusals.tell()
    assert (refused(metrics), len(told(caplog))) == (counted, 1)


def test_the_next_line_comes_a_second_later(caplog: pytest.LogCaptureFixture) -> None:
    """Not at each beat: under overload there would be twenty lines a second."""
    refusals = Refusals(Instruments())
    refusals.count(FULL)
    refusals.tell_if_due(100.0)
    for now_s, lines in ((100.05, 1), (101.0, 1), (101.05, 2)):
        refusals.count(FULL)
        refusals.tell_if_due(now_s)
        assert len(told(caplog)) == lines
    assert told(caplog)[1] == ("WARNING", "refused", {"overloaded": 3, "reasons": {"queue_full": 3}})


def test_at_the_end_the_rest_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Whenever the last line was."""
    metrics = Instruments()
    refusals = Refusals(metrics)
    refusals.count(FULL)
    refusals.tell_if_due(100.0)
    refusals.count(STARTING)
    refusals.tell()
    assert told(caplog)[1:] == [("WARNING", "refused", {"not_ready": 1, "reasons": {"not_ready": 1}})]
    assert refused(metrics)["not_ready", "not_ready"] == 1


def test_where_nobody_was_refused_there_is_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """Neither while it runs nor at its end; and the first refusal after that does not wait."""
    refusals = Refusals(Instruments())
    refusals.tell_if_due(100.0)
    refusals.tell()
    assert told(caplog) == []
    refusals.count(FULL)
    refusals.tell_if_due(100.05)
    assert told(caplog) == [("WARNING", "refused", {"overloaded": 1, "reasons": {"queue_full": 1}})]


def test_what_fails_half_way_is_not_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics are files where there are several workers, and a disk may be full for a while."""
    metrics = Instruments()
    refusals = Refusals(metrics)
    refusals.count(FULL)
    refusals.count(STARTING)

    def full(code: str, _reason: str) -> None:
        assert code == "not_ready"
        raise OSError("The disk is full.")

    by_code = metrics.refused.labels
    with monkeypatch.context() as patched:
        patched.setattr(
            metrics.refused, "labels", lambda *row: by_code(*row) if row[0] == "overloaded" else full(*row)
        )
        with pytest.raises(OSError, match="full"):
            refusals.tell()
    refusals.tell()
    assert refused(metrics) == {("overloaded", "queue_full"): 1}
