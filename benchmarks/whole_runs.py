"""Trainings to their ends: what each took, and whether it reached what its recipe was made for."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rich.console import Console

from training.carry_out import carry_out
from training.configuration import Request

GOALS = {"fast": ("six_views", 0.94), "accurate": ("six_views", 0.96), "tutorial": ("single_view", 0.54)}
"""View and accuracy that a recipe was made to reach on CIFAR-10. Source: training/recipes.py."""


def train_to_the_end(name: str, *, data: str, device: str, seed: int, is_compiled: bool) -> dict[str, Any]:
    """Carry a recipe of `GOALS` out as the command line does, without a state, and tell time and accuracy."""
    # the beginner's recipe is never compiled, and asking for it is refused
    compiled = is_compiled and name != "tutorial"
    request = Request(recipe=name, data=data, held_out=0, device=device, seed=seed, is_compiled=compiled)
    result = carry_out(request, None, targets=[], console=Console(file=sys.stderr))
    assert result is not None
    return full_run(name, seed=seed, seconds=result.seconds, accuracy=result.metrics.accuracy)


def train_several(
    names: Sequence[str], *, seeds: int, data: str, device: str, is_compiled: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train recipes of `GOALS` to their ends, with seeds from 0 on, and print what came of each.

    Returns:
        All runs that count, from `full_run`; and for each recipe, where there are several seeds, what `sum_up`
        makes of them.
    """
    full, summaries = [], []
    for name in names:
        train = partial(train_to_the_end, name, data=data, device=device, is_compiled=is_compiled)
        before = train(seed=0) if seeds > 1 else None
        runs = []
        for seed in range(seeds):
            runs.append(train(seed=seed))
            print(full_line(runs[-1]), flush=True)
        if before is not None:
            summaries.append(sum_up(before["seconds"], runs))
            print(summary_line(summaries[-1]), flush=True)
        full += runs
    return full, summaries


def full_run(name: str, *, seed: int, seconds: float, accuracy: Mapping[str, float]) -> dict[str, Any]:
    """Put together what is told of a whole run: its time counts only if it reached what the recipe is for.

    Args:
        name: of the recipe, in `GOALS`.
        seed: of the run.
        seconds: of training.
        accuracy: on the test part, of both views.
    """
    view, goal = GOALS[name]
    return {
        "recipe": name,
        "seconds": round(seconds, 2),
        "seed": seed,
        **accuracy,
        "goal_view": view,
        "goal": goal,
        "is_reached": accuracy[view] >= goal,
    }


def full_line(run: Mapping[str, Any]) -> str:
    """Write a whole run for people."""
    return (
        f"{run['recipe']}, seed {run['seed']}: {run['seconds']:,} s to {run['six_views']:.2%} with six views, "
        f"{run['single_view']:.2%} with one; {_verdict(run, run['is_reached'])}"
    )


def sum_up(first_s: float, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Take several whole runs of a recipe together.

    Args:
        first_s: seconds of the run that came before them in the same process.
        runs: from `full_run`, at least two.

    Returns:
        The median of their seconds and those of the run before them, mean and deviation of both accuracies, and
        whether the mean reached the goal.
    """
    median_s = statistics.median(run["seconds"] for run in runs)
    found: dict[str, Any] = {key: runs[0][key] for key in ("recipe", "goal_view", "goal")}
    found |= {"n": len(runs), "median_s": round(median_s, 2), "before_s": round(first_s, 2)}
    for view in ("single_view", "six_views"):
        values = [run[view] for run in runs]
        found |= {view: statistics.mean(values), f"{view}_deviation": statistics.stdev(values)}
    return found | {"is_reached": found[found["goal_view"]] >= found["goal"]}


def summary_line(found: Mapping[str, Any]) -> str:
    """Write for people what several whole runs came to."""
    return (
        f"{found['recipe']}, n = {found['n']}: median {found['median_s']:,} s (the run before them "
        f"{found['before_s']:,} s); {found['six_views']:.2%} ± {found['six_views_deviation']:.2%} with six views, "
        f"{found['single_view']:.2%} ± {found['single_view_deviation']:.2%} with one; "
        f"{_verdict(found, found['is_reached'])} by the mean"
    )


def _verdict(goal: Mapping[str, Any], is_reached: bool) -> str:
    view = goal["goal_view"].replace("_", " ")
    return f"{goal['goal']:.0%} with {view} {'is' if is_reached else 'is NOT'} reached"
