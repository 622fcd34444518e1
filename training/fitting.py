"""How a recipe's table follows the data: its size, the pictures' size, and the passes a user wants."""

import math
from dataclasses import replace

from models.networks.tutorial import SMALLEST_SIDE as TUTORIAL_SIDE
from models.networks.whitened import SMALLEST_SIDE as WHITENED_SIDE
from training.errors import TrainingError
from training.recipes import LargeBatchRecipe, Recipe, TutorialRecipe

_TABLE_SIDE = 32  # pixels, of the pictures that the tables were made for
_MOST_TABLE_PIXELS = 4
"""A batch holds at most this many times the pixels of the table's, or activations would fill the memory:
2,000 pictures of 64 × 64 take about 8 GB in the `fast` network."""
_FEWEST_MEETINGS = 2
"""Of network and slow copy, in a run that has one. It ends with the copy, and until they meet that has not moved
from where it began."""


def fit_to_data(recipe: Recipe, pictures: int, *, size: tuple[int, int], epochs: int | None) -> Recipe:
    """Make a recipe fit the data that it is to learn.

    A small data set gets smaller batches and more passes, and every picture of a batch is learnt: there is no
    time to save. A run of a few steps has no slow copy. Large pictures get larger shifts and cutout squares and
    smaller batches; small ones are never shrunk.

    Args:
        recipe: as in the table.
        pictures: to learn from, at least two.
        size: height and width of the pictures, in pixels.
        epochs: wanted by the user; None lets the data decide.

    Raises:
        TrainingError: there are fewer than two pictures: nothing to tell apart, and no spread to normalise by. Or
            they are too small for the recipe's network.
    """
    if pictures < 2:
        raise TrainingError(f"Pictures to learn from: {pictures}; at least two are needed. Add some.")
    require_size(recipe, size)
    if isinstance(recipe, TutorialRecipe):
        return replace(recipe, epochs=epochs or recipe.epochs)
    recipe = _fit_to_size(recipe, size)
    batch_size = min(recipe.batch_size, max(pictures // 8, min(pictures, 32)))
    steps_per_epoch = pictures // batch_size
    epochs = epochs or max(recipe.epochs, math.ceil(recipe.fewest_steps / steps_per_epoch))
    slow = recipe.lookahead
    return replace(
        recipe,
        batch_size=batch_size,
        epochs=epochs,
        lookahead=None if slow and epochs * steps_per_epoch < _FEWEST_MEETINGS * slow.every else slow,
        selection=recipe.selection if batch_size == recipe.batch_size else None,
    )


def require_size(recipe: Recipe, size: tuple[int, int]) -> None:
    """Refuse pictures that the network of a recipe cannot be built for.

    Args:
        recipe: as in the table.
        size: height and width of the pictures, in pixels.

    Raises:
        TrainingError: a side is too short.
    """
    smallest = WHITENED_SIDE if isinstance(recipe, LargeBatchRecipe) else TUTORIAL_SIDE
    if min(size) < smallest:
        height, width = size
        raise TrainingError(
            f"The pictures are {width} × {height} pixels, and the network of {recipe.name} needs {smallest} on "
            "each side at least. --input-size 32 makes them 32 × 32; of those that are no squares it takes the "
            "middle."
        )


def _fit_to_size(recipe: LargeBatchRecipe, size: tuple[int, int]) -> LargeBatchRecipe:
    height, width = size
    scale = min(size) / _TABLE_SIDE
    table_pictures = height * width / _TABLE_SIDE**2  # that are as large together
    may_shrink = min(size) >= recipe.smallest_resized
    return replace(
        recipe,
        batch_size=max(1, int(recipe.batch_size * min(1.0, _MOST_TABLE_PIXELS / table_pictures))),
        resolutions=recipe.resolutions if may_shrink else ((1.0, 1.0),),
        shift=round(recipe.shift * scale),
        cutout=round(recipe.cutout * scale),
    )


def resolution(recipe: LargeBatchRecipe, epoch: int) -> float:
    """Side length of an epoch's pictures, as a share of the input's."""
    done = (epoch + 0.5) / recipe.epochs
    return next(side for until, side in recipe.resolutions if done < until)
