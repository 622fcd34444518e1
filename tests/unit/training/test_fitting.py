"""A recipe's table follows the data."""

import pytest
import torch

from models.networks import build
from models.preprocessing import InputSpec
from training.errors import TrainingError
from training.fitting import fit_to_data, resolution
from training.recipes import (
    ACCURATE,
    COMPACT,
    FAST,
    RECIPES,
    TAUGHT,
    LargeBatchRecipe,
    Recipe,
    TutorialRecipe,
)


def _fit(
    recipe: LargeBatchRecipe, pictures: int, *, side: int = 32, epochs: int | None = None
) -> LargeBatchRecipe:
    fitted = fit_to_data(recipe, pictures, size=(side, side), epochs=epochs)
    assert isinstance(fitted, LargeBatchRecipe)
    return fitted


@pytest.mark.parametrize("recipe", [FAST, ACCURATE, COMPACT, TAUGHT])
def test_cifar10_gets_the_recipe_as_it_stands(recipe: LargeBatchRecipe) -> None:
    """48,000 pictures of 32 pixels change nothing in the table."""
    assert _fit(recipe, 48_000) == recipe


@pytest.mark.parametrize("recipe", [FAST, ACCURATE, COMPACT, TAUGHT])
@pytest.mark.parametrize("pictures", [2, 10, 40, 300, 3_000])
def test_a_small_data_set_gets_enough_steps(recipe: LargeBatchRecipe, pictures: int) -> None:
    """Batches shrink and passes multiply until the recipe's fewest steps are made."""
    fitted = _fit(recipe, pictures)
    assert 1 <= fitted.batch_size <= pictures
    assert fitted.epochs * (pictures // fitted.batch_size) >= fitted.fewest_steps


def test_a_small_data_set_is_learnt_whole() -> None:
    """Where the data cut the batch, nothing is selected from it; where the pictures' size does, it is as ever."""
    assert _fit(ACCURATE, 3_000).selection is None
    assert _fit(ACCURATE, 48_000).selection == ACCURATE.selection
    assert _fit(ACCURATE, 48_000, side=96).selection == ACCURATE.selection


@pytest.mark.parametrize(("epochs", "steps"), [(1, 3), (3, 9), (4, 12), (None, 402)])
def test_a_run_of_a_few_steps_has_no_slow_copy(epochs: int | None, steps: int) -> None:
    """It ends with that copy, which begins as the network did: such a run would have learnt nothing."""
    fitted = _fit(ACCURATE, 108, epochs=epochs)
    assert fitted.epochs * (108 // fitted.batch_size) == steps
    assert fitted.lookahead == (ACCURATE.lookahead if steps >= 10 else None)


def test_a_run_in_which_network_and_slow_copy_meet_twice_has_one() -> None:
    """Ten steps are just enough."""
    fitted = _fit(ACCURATE, 160, epochs=2)
    assert fitted.epochs * (160 // fitted.batch_size) == 10
    assert fitted.lookahead == ACCURATE.lookahead is not None


@pytest.mark.parametrize("recipe", [TutorialRecipe(), FAST])
@pytest.mark.parametrize("pictures", [0, 1])
def test_fewer_than_two_pictures_are_refused(recipe: Recipe, pictures: int) -> None:
    """Nothing can be told apart, and a batch norm of one small picture has nothing to take a mean of."""
    with pytest.raises(TrainingError, match=f"Pictures to learn from: {pictures}; at least two"):
        fit_to_data(recipe, pictures, size=(12, 12), epochs=None)


@pytest.mark.parametrize("recipe", RECIPES.values())
def test_pictures_that_are_too_small_for_a_network_can_be_enlarged(recipe: Recipe) -> None:
    """Those of an archive keep their size, so the sentence names the option; the smallest is the network's own."""
    smallest = 16 if recipe.name == "tutorial" else 9
    for height, width in ((smallest - 1, 40), (40, smallest - 1)):
        with pytest.raises(TrainingError, match=rf"{width} × {height} pixels.* {recipe.name} .*--input-size 32"):
            fit_to_data(recipe, 100, size=(height, width), epochs=None)
    fit_to_data(recipe, 100, size=(smallest, smallest), epochs=None)
    spec = InputSpec(height=smallest, width=smallest, mean=recipe.mean, std=recipe.std)
    network = build(recipe.architecture, classes=2, spec=spec).eval()
    assert network(torch.zeros(1, smallest, smallest, 3, dtype=torch.uint8)).shape == (1, 2)


def test_epochs_asked_for_are_the_epochs_made() -> None:
    """--epochs wins over both the table and the data's size."""
    assert _fit(FAST, 100, epochs=1).epochs == 1
    assert fit_to_data(TutorialRecipe(), 100, size=(32, 32), epochs=7).epochs == 7


def test_tiny_pictures_keep_their_size() -> None:
    """Nine pixels, the smallest that the network takes, are never shrunk; 24 are."""
    for shorter_side, smallest in ((9, 1.0), (23, 1.0), (24, 0.75)):
        assert resolution(_fit(FAST, 100, side=shorter_side), 0) == smallest


@pytest.mark.parametrize("size", [(23, 40), (40, 23)])
def test_long_pictures_keep_their_size_where_one_side_is_short(size: tuple[int, int]) -> None:
    """The shorter side decides: what is left of it would be too small."""
    fitted = fit_to_data(FAST, 100, size=size, epochs=None)
    assert isinstance(fitted, LargeBatchRecipe)
    assert resolution(fitted, 0) == 1


def test_shifts_and_squares_grow_with_the_pictures() -> None:
    """The same share of a picture is moved and covered at any size; a square always fits inside."""
    for side, shift, cutout in ((9, 1, 3), (32, 4, 12), (64, 8, 24), (224, 28, 84)):
        fitted = _fit(ACCURATE, 1_000, side=side)
        assert (fitted.shift, fitted.cutout) == (shift, cutout)


def test_large_pictures_come_in_smaller_batches() -> None:
    """Up to 64 pixels a batch is the table's; beyond, its pixels stay the same."""
    sizes = [_fit(FAST, 50_000, side=side).batch_size for side in (64, 96, 128, 224)]
    assert sizes == [2_000, 888, 500, 163]


def test_long_pictures_come_in_batches_of_as_many_pixels() -> None:
    """Spectrograms of 64 × 1,024 are no larger in memory than squares of 256; shifts follow the shorter side."""
    long = fit_to_data(FAST, 50_000, size=(64, 1_024), epochs=None)
    assert isinstance(long, LargeBatchRecipe)
    assert long.batch_size == _fit(FAST, 50_000, side=256).batch_size
    assert long.shift == _fit(FAST, 50_000, side=64).shift


def test_resolution_grows_to_the_full_size() -> None:
    """`fast` runs three epochs at 3/4, three at 7/8, four at full size; `accurate` all of its."""
    assert [resolution(FAST, epoch) for epoch in range(10)] == [0.75] * 3 + [0.875] * 3 + [1.0] * 4
    assert [resolution(ACCURATE, epoch) for epoch in range(45)] == [1.0] * 45
