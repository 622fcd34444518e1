"""All that Glimpse is measured by, in one run, and which of its goals were reached."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.batch_route import batch_route
from benchmarks.comparison import FIRST_SECOND, MANY, Plan, compare
from benchmarks.overload import overload
from benchmarks.servers import GLIMPSE
from benchmarks.soak import soak


class Goal(NamedTuple):
    """What one figure of a run should be.

    Attributes:
        name: in words.
        part: of the run, that the figure is in.
        find: takes it from that part; raises LookupError where it was not measured.
        least: of it; None for none.
        most: of it; None for none.
    """

    name: str
    part: str
    find: Callable[[Mapping[str, Any]], float]
    least: float | None = None
    most: float | None = None

    def judge(self, found: Mapping[str, Any]) -> dict[str, object]:
        """Compare what was found with it: name, goal, figure and whether it was reached; None for no figure."""
        try:
            figure = self.find(found[self.part])
        except LookupError:
            return {"name": self.name, "goal": self.goal, "found": None, "reached": None}
        reached = (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)
        return {"name": self.name, "goal": self.goal, "found": figure, "reached": reached}

    @property
    def goal(self) -> str:
        """In words: "at least 3"."""
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"


def _ratio(name: str) -> Callable[[Mapping[str, Any]], float]:
    """Find a ratio of the comparison by the beginning of its name; that of the best peer ends with the peer."""

    def find(compared: Mapping[str, Any]) -> float:
        for key, ratio in compared["ratios"].items():
            if key.startswith(name):
                return float(ratio)
        raise LookupError(name)

    return find


def _failures_of_many(compared: Mapping[str, Any]) -> float:
    """Count what 256 connections got that was neither an answer nor a 503 that says when to come back."""
    for row in compared["rows"]:
        if (row["server"], row["connections"]) == (GLIMPSE.name, MANY):
            lost = row["socket_errors"] + row["timeouts"]
            return float(row["other_failures"] + row["without_retry_after"] + lost)
    raise LookupError(MANY)


GOALS = (
    Goal("small, 32 connections: times the best peer", "comparison", _ratio("small, 32 connections, to"), least=3),
    Goal("its p99 to p50 in the first second", "comparison", _ratio(f"{FIRST_SECOND}, 32 connections"), most=2.5),
    Goal("its p99 to p50 afterwards", "comparison", _ratio("small, 32 connections, p99"), most=2.5),
    Goal("small, 1 connection: p50 to plain's", "comparison", _ratio("small, 1 connection, p50"), most=0.45),
    Goal("photo, 32 connections: times the best peer", "comparison", _ratio("photo, 32 connections, to"), least=7),
    Goal("256 connections: answers to those of 32", "comparison", _ratio("small, 256 connections to"), least=0.9),
    Goal("256 connections: failures", "comparison", _failures_of_many, most=0),
    Goal("overload, three times the peak: goodput", "overload", lambda it: it["goodput_to_peak"], least=0.9),
    Goal("overload: late answers", "overload", lambda it: it["overload"]["late_since_sent"], most=0),
    Goal("batch route: pictures to the engine's", "batch route", lambda it: it["ratio_to_engine"], least=0.6),
    Goal("mixed load: memory, end to first minute", "soak", lambda it: it["resident_ratio"], most=1.05),
    Goal("mixed load: 5xx other than 503", "soak", lambda it: it["server_errors"], most=0),
)
"""Set for two cores before anything was measured. Source: choice; docs/benchmarks.md has the figures."""


def measure_all(plan: Plan, *, minutes: float) -> dict[str, object]:
    """Measure everything one after another, and print which goals were reached.

    Args:
        plan: of the comparison; its seconds are those of the other points too.
        minutes: of mixed load.

    Raises:
        StartError: Glimpse did not come up.
        RuntimeError: a measurement failed.
    """
    found = {
        "comparison": compare(plan),
        "batch route": batch_route(seconds=plan.seconds),
        "overload": overload(seconds=plan.seconds),
        "soak": soak(minutes=minutes),
    }
    judged = [goal.judge(found) for goal in GOALS]
    print()
    for each in judged:
        verdict = "not measured" if each["reached"] is None else "reached" if each["reached"] else "NOT reached"
        print(f"{each['name']}: {each['found']}, {each['goal']}: {verdict}")
    return {**found, "goals": judged, "not_measured": found["comparison"]["not_measured"]}
