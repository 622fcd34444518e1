"""How fast a recipe's parameters learn at each step."""

from itertools import pairwise

import torch

from training.recipes import LargeBatchRecipe


def set_rates(
    recipe: LargeBatchRecipe, optimizers: tuple[torch.optim.Optimizer, ...], *, step: int, steps: int
) -> None:
    """Set the learning rates of a step, and freeze what rests from there on.

    Args:
        recipe: for its schedule.
        optimizers: from `training.optimizers.make_optimizers`.
        step: counted from 0.
        steps: of the run.
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            until = group["rests_after_steps"]
            last = steps if until is None else min(steps, until)
            group["lr"] = group["highest_lr"] * factor(recipe.schedule, step / last if last else 1.0)
            for parameter in group["params"]:
                parameter.requires_grad_(step < last)


def factor(knots: tuple[tuple[float, float], ...], share: float) -> float:
    """Read a schedule's straight lines.

    Args:
        knots: (share of the run, factor), shares rising from 0 to 1.
        share: of the run, from 0; beyond 1 the last factor stays.
    """
    for (start, first), (end, last) in pairwise(knots):
        if share < end:
            return first + (last - first) * (share - start) / (end - start)
    return knots[-1][1]
