"""A longer run out of a finished one: back to before the learning rates fell low, and down more slowly.

Every schedule here ends at zero, so nothing can be learnt from the end on. Each run therefore keeps a snapshot
at the start of its last resolution, or at 0.6 of a run that has only one: there the rates are still about 0.4 of
the highest. An extension is a run of its own: it starts with that snapshot, and its rates fall in a straight
line to zero over what was left and the epochs that are added. The old run stays as it is.
"""

from dataclasses import replace

from training.recipes import LargeBatchRecipe, Recipe, TutorialRecipe
from training.schedule import factor

PLAN = ("recipe.epochs", "recipe.schedule", "recipe.resolutions")
"""What an extension changes of a configuration."""

_SNAPSHOT_SHARE = 0.6
"""Of a run at one resolution; where `fast` comes to its last one."""


def snapshot_epoch(recipe: Recipe) -> int:
    """Epochs after which the snapshot is taken; all of them where the rate never falls."""
    if isinstance(recipe, TutorialRecipe):
        return recipe.epochs
    share = recipe.resolutions[-2][0] if len(recipe.resolutions) > 1 else _SNAPSHOT_SHARE
    return min(recipe.epochs - 1, next(e for e in range(recipe.epochs + 1) if e + 0.5 >= share * recipe.epochs))


def extend(recipe: Recipe, *, epochs: int) -> Recipe:
    """Plan a run anew from its snapshot on.

    Args:
        recipe: fitted to the data, as the finished run carried it out.
        epochs: to add.
    """
    longer = recipe.epochs + epochs
    if isinstance(recipe, TutorialRecipe):
        return replace(recipe, epochs=longer)
    return replace(
        recipe,
        epochs=longer,
        schedule=_stretch(recipe, snapshot_epoch(recipe) / recipe.epochs, recipe.epochs / longer),
        resolutions=(
            *((until * recipe.epochs / longer, side) for until, side in _with_snapshot(recipe)[:-1]),
            recipe.resolutions[-1],
        ),
    )


def _with_snapshot(recipe: LargeBatchRecipe) -> tuple[tuple[float, float], ...]:
    """Resolutions of which the last begins at the snapshot, so that a longer run finds it again."""
    if len(recipe.resolutions) > 1:
        return recipe.resolutions
    ((_, side),) = recipe.resolutions
    return (snapshot_epoch(recipe) / recipe.epochs, side), (1.0, side)


def _stretch(recipe: LargeBatchRecipe, snapshot: float, squeeze: float) -> tuple[tuple[float, float], ...]:
    """Keep the schedule's knots before the snapshot, and draw one line from there to its end.

    From a snapshot of the very beginning everything is still to come, the way up to the highest rates too.
    """
    if snapshot == 0:
        return recipe.schedule
    # a knot that an earlier extension put at the snapshot is drawn again, not doubled
    before = [(share * squeeze, height) for share, height in recipe.schedule if share < snapshot - 1e-9]
    return (*before, (snapshot * squeeze, factor(recipe.schedule, snapshot)), recipe.schedule[-1])
