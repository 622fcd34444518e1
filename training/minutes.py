"""`--minutes`: how many passes over the pictures fit into them here, by the time that a few real steps take.

The rates of a recipe fall over all of its steps, so that their number must be known before the first one. It is
chosen once, as if it had been typed: what is trained is to the bit what `--epochs` with that number trains.
"""

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import cycle, islice
from statistics import median

import torch
from torch import Tensor

from training.devices import Computing
from training.epoch import Look, draw_epoch
from training.fitting import resolution
from training.fresh import fresh_network
from training.learner import Learner
from training.loop import begin
from training.plan import Plan
from training.ranks import ALONE
from training.recipes import LargeBatchRecipe

_MOST_TIMES_OWN = 4
"""Passes, times those that the recipe makes of the data by itself: whether more help, or only let it learn the
pictures by heart, was never tried. Source: the shipped file, for which `compact` made 300 passes instead of 80."""
_TIMED_SHARE = 0.05
"""Of the minutes, for timing. Source: choice."""
_MOST_LAPS = 5
"""Whose median counts. Source: choice."""


def choose_epochs(
    plan: Plan,
    minutes: float,
    *,
    seed: int,
    computing: Computing,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Choose as many passes as fit into some minutes, and tell which number that is.

    Steps are timed at each of the recipe's resolutions, with a network, augmentation and teachers as they will be:
    about a twentieth of the minutes, but at least two steps each (where pictures are selected, six). The
    network is thrown away, and no random number is taken from anybody.

    Args:
        plan: with the recipe's own passes, of a recipe with large batches.
        minutes: for the steps, above 0.
        seed: of the training.
        computing: on what, in which dtype, compiled or not.
        tell: told what is done, and what is chosen.
        clock: seconds, monotonic.

    Returns:
        At least 1, even if a pass takes longer; at most four times the recipe's own.
    """
    recipe = plan.recipe
    assert isinstance(recipe, LargeBatchRecipe), "training/contradictions.py refuses the tutorial"
    tell("a few steps are timed first")
    most_s = 60 * minutes * _TIMED_SHARE
    step_s = _time_steps(plan, recipe, seed=seed, computing=computing, most_s=most_s, clock=clock)
    steps = len(plan.dataset.train) // recipe.batch_size

    def seconds(epochs: int) -> float:
        planned = replace(recipe, epochs=epochs)
        return steps * sum(step_s[resolution(planned, epoch)] for epoch in range(epochs))

    own = recipe.epochs
    most = _MOST_TIMES_OWN * own
    fitting = bisect_right(range(1, most + 1), 60 * minutes, key=seconds)
    epochs = max(1, fitting)
    told = f"--minutes {minutes:g} comes to --epochs {epochs}"
    if fitting == most:
        all_minutes = _rounded(seconds(epochs) / 60)
        tell(f"{told}, {_MOST_TIMES_OWN} times the recipe's own {own}, and no more: about {all_minutes} minutes")
    else:
        longer = "" if fitting else ", which is longer"
        pass_s = _rounded(seconds(epochs) / epochs)
        tell(f"{told}: a pass takes about {pass_s} s here{longer} (the recipe's own number is {own})")
    return epochs


def _time_steps(
    plan: Plan,
    recipe: LargeBatchRecipe,
    *,
    seed: int,
    computing: Computing,
    most_s: float,
    clock: Callable[[], float],
) -> dict[float, float]:
    """Time steps of a network that nobody keeps; seconds of one, by the resolution of its pictures."""
    data, classes = plan.dataset.train, len(plan.dataset.labels)
    images, targets = data.images.to(computing.device), data.targets.to(computing.device)
    with torch.random.fork_rng(devices=[]):
        network = fresh_network(recipe.architecture, classes=classes, spec=plan.spec, device=computing.device)
        learner = begin(
            recipe,
            network,
            images,
            classes=classes,
            spec=plan.spec,
            computing=computing,
            start=plan.start,
            ranks=ALONE,
        )
    wanted = plan.wanted or (lambda _, index: targets[index])
    sides = dict.fromkeys(side for _, side in recipe.resolutions)
    step_s: dict[float, float] = {}
    for side in sides:
        at_side = replace(recipe, resolutions=((1.0, side),))
        epoch = draw_epoch(at_side, images, wanted, spec=plan.spec, seed=seed, number=0)
        step_s[side] = _time_step(learner, epoch.batches(), epoch.look, most_s=most_s / len(sides), clock=clock)
    if computing.is_compiled:
        torch.compiler.reset()  # it compiles only so many variants of a network, and the training needs them
    return step_s


def _time_step(
    learner: Learner, batches: Iterable[Tensor], look: Look, *, most_s: float, clock: Callable[[], float]
) -> float:
    """Time laps of steps: all that a selector does in turn, and on a GPU as many as are made between two readings.

    What comes before the first lap gets memory and kernels, and does not count: a step, with a selector one in
    which it learns and one in which it does not.

    Each is made as one of the first steps, in which nothing rests yet: a step is never longer, and later by a
    twentieth shorter at most.

    Returns:
        Seconds a step.
    """
    selection = learner.recipe.selection
    turn = 1 if selection is None else selection.learns_every
    lap = math.lcm(turn, learner.log_every) if learner.epoch_loss.is_cuda else turn
    endless = cycle(batches)

    def make(steps: int) -> None:
        for number, index in enumerate(islice(endless, steps)):
            learner.step = number % turn
            learner.learn(*look(learner.choose(index, look)))
        learner.epoch_loss.item()  # a GPU is waited for

    started_s = clock()
    make(min(turn, 2))
    laps: list[float] = []
    lap_s = clock()
    while len(laps) < _MOST_LAPS and (not laps or lap_s - started_s < most_s):
        make(lap)
        ended_s = clock()
        laps.append(ended_s - lap_s)
        lap_s = ended_s
    return median(laps) / lap


def _rounded(number: float) -> str:
    """Write a number as closely as a forecast deserves: "0.051", "9.3", "1,234"."""
    return f"{number:.2g}" if number < 9.95 else f"{number:,.0f}"
