"""Who was turned away, counted at once and told later."""

import logging

import pytest

from app.errors import NotReadyError, OverloadedError
from app.metrics import Metrics
from app.refusals import Refusals

FULL = OverloadedError("Full.", retry_after_s=1)
STARTING = NotReadyError("Starting.")


@pytest.fixture(autouse=True)
def _warnings_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever another test configured."""
    caplog.set_level(logging.WARNING, logger="glimpse")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, object]]:
    """The lines of the log."""
    return [(line.levelname, line.getMessage(), line.__dict__["fields"]) for line in caplog.records]


def refused(metrics: Metrics, code: str) -> float | None:
    """How many of a code a scrape shows."""
    samples = [sample for family in metrics.refused.collect() for sample in family.samples]
    wanted = ("glimpse_refused_total", {"code": code})
    return next((sample.value for sample in samples if (sample.name, sample.labels) == wanted), None)


def test_all_refusals_of_a_second_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """With how many there were of each code; nothing is counted twice."""
    metrics = Metrics()
    refusals = Refusals(metrics)
    for error in (FULL, STARTING, FULL, FULL):
        refusals.count(error)
    assert (refused(metrics, "overloaded"), told(caplog)) == (None, [])
    refusals.tell_if_due(100.0)
    assert (refused(metrics, "overloaded"), refused(metrics, "not_ready")) == (3, 1)
    assert told(caplog) == [("WARNING", "refused", {"overloaded": 3, "not_ready": 1})]
    refusals.tell_if_due(200.0)
    refusals.tell()
    assert (refused(metrics, "overloaded"), len(told(caplog))) == (3, 1)


def test_the_next_line_comes_a_second_later(caplog: pytest.LogCaptureFixture) -> None:
    """Not at each beat: under overload there would be twenty lines a second."""
    refusals = Refusals(Metrics())
    refusals.count(FULL)
    refusals.tell_if_due(100.0)
    for now_s, lines in ((100.05, 1), (101.0, 1), (101.05, 2)):
        refusals.count(FULL)
        refusals.tell_if_due(now_s)
        assert len(told(caplog)) == lines
    assert told(caplog)[1] == ("WARNING", "refused", {"overloaded": 3})


def test_at_the_end_the_rest_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Whenever the last line was."""
    metrics = Metrics()
    refusals = Refusals(metrics)
    refusals.count(FULL)
    refusals.tell_if_due(100.0)
    refusals.count(STARTING)
    refusals.tell()
    assert told(caplog)[1:] == [("WARNING", "refused", {"not_ready": 1})]
    assert refused(metrics, "not_ready") == 1


def test_where_nobody_was_refused_there_is_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """Neither while it runs nor at its end; and the first refusal after that does not wait."""
    refusals = Refusals(Metrics())
    refusals.tell_if_due(100.0)
    refusals.tell()
    assert told(caplog) == []
    refusals.count(FULL)
    refusals.tell_if_due(100.05)
    assert told(caplog) == [("WARNING", "refused", {"overloaded": 1})]
