"""Which goals a run of the serving benchmark reached, on figures that were made up."""

import copy
from typing import Any

import pytest

from benchmarks.goals import GOALS

REACHED: dict[str, Any] = {
    "comparison": {
        "ratios": {
            "small, 1 connection, to the best peer (ray)": 0.1,
            "small, 32 connections, to the best peer (ray)": 3.0,
            "first second, 32 connections, p99 to p50": 2.5,
            "small, 32 connections, p99 to p50": 1.4,
            "small, 1 connection, p50 to plain FastAPI's": 0.45,
            "photo, 32 connections, to the best peer (bentoml)": 7.0,
            "small, 256 connections to 32": 0.9,
        },
        "rows": [
            {"server": "ray", "connections": 256, "other_failures": 9},
            {
                **{"server": "glimpse", "connections": 256, "other_failures": 0, "without_retry_after": 0},
                **{"socket_errors": 0, "timeouts": 0},
            },
        ],
    },
    "overload": {"goodput_to_peak": 0.9, "overload": {"late_since_sent": 0}},
    "batch route": {"ratio_to_engine": 0.6},
    "soak": {"resident_ratio": 1.05, "server_errors": 0},
}


def test_every_goal_can_be_reached() -> None:
    """Just so."""
    assert [goal.judge(REACHED)["reached"] for goal in GOALS] == [True] * len(GOALS)


@pytest.mark.parametrize(
    ("part", "path", "figure", "name"),
    [
        ("comparison", ("ratios", "small, 32 connections, to the best peer (ray)"), 2.99, "small, 32"),
        (
            "comparison",
            ("ratios", "first second, 32 connections, p99 to p50"),
            2.51,
            "its p99 to p50 in",
        ),
        ("comparison", ("ratios", "small, 1 connection, p50 to plain FastAPI's"), 0.46, "small, 1"),
        ("comparison", ("ratios", "photo, 32 connections, to the best peer (bentoml)"), 6.9, "photo"),
        ("comparison", ("rows", 1, "without_retry_after"), 1, "256 connections: failures"),
        ("comparison", ("rows", 1, "timeouts"), 1, "256 connections: failures"),
        ("overload", ("goodput_to_peak",), 0.89, "overload, three"),
        ("overload", ("overload", "late_since_sent"), 1, "overload: late"),
        ("batch route", ("ratio_to_engine",), 0.59, "batch route"),
        ("soak", ("resident_ratio",), 1.051, "mixed load: memory"),
        ("soak", ("server_errors",), 1, "mixed load: 5xx"),
    ],
)
def test_one_figure_decides_its_own_goal(part: str, path: tuple[Any, ...], figure: float, name: str) -> None:
    """A little too little, or too much, and this goal alone is missed."""
    found = copy.deepcopy(REACHED)
    place = found[part]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = figure
    missed = [goal.name for goal in GOALS if not goal.judge(found)["reached"]]
    assert len(missed) == 1
    assert missed[0].startswith(name)


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    """A peer that is not installed, or pictures that were left out."""
    found = {**REACHED, "comparison": {"ratios": {}, "rows": []}}
    judged = [goal.judge(found) for goal in GOALS if goal.part == "comparison"]
    assert {(each["found"], each["reached"]) for each in judged} == {(None, None)}
