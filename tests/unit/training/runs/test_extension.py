"""A longer plan out of a finished run's."""

from dataclasses import replace

import pytest

from training.fitting import resolution
from training.recipes import ACCURATE, FAST, TAUGHT, LargeBatchRecipe, TutorialRecipe
from training.runs.extension import extend, snapshot_epoch
from training.schedule import factor

RECIPES = (FAST, ACCURATE)


def _extend(recipe: LargeBatchRecipe, epochs: int) -> LargeBatchRecipe:
    longer = extend(recipe, epochs=epochs)
    assert isinstance(longer, LargeBatchRecipe)
    return longer


@pytest.mark.parametrize("recipe", RECIPES)
def test_up_to_the_snapshot_the_plan_is_the_old_one(recipe: LargeBatchRecipe) -> None:
    """Rates and resolutions of the epochs before it are unchanged; the snapshot stays where it was."""
    longer, snapshot = _extend(recipe, 20), snapshot_epoch(recipe)
    assert snapshot_epoch(longer) == snapshot
    for epoch in range(snapshot + 1):
        then, now = (factor(r.schedule, epoch / r.epochs) for r in (recipe, longer))
        assert now == pytest.approx(then)
        assert resolution(longer, epoch) == resolution(recipe, epoch)


@pytest.mark.parametrize("recipe", RECIPES)
def test_from_the_snapshot_on_the_rates_fall_more_slowly_to_zero(recipe: LargeBatchRecipe) -> None:
    """At the old end something is left, at the new one nothing; all at full size."""
    longer = _extend(recipe, 20)
    assert longer.epochs == recipe.epochs + 20
    assert factor(longer.schedule, recipe.epochs / longer.epochs) > 0.1
    assert factor(longer.schedule, 1.0) == 0.0
    assert all(resolution(longer, epoch) == 1.0 for epoch in range(snapshot_epoch(recipe), longer.epochs))


def test_the_snapshot_is_taken_where_rates_are_still_high() -> None:
    """`fast` at epoch 6 of 10, `accurate` at 27 of 45: 0.4 and 0.44 of the highest rate."""
    assert [snapshot_epoch(recipe) for recipe in RECIPES] == [6, 27]
    factors = [factor(recipe.schedule, snapshot_epoch(recipe) / recipe.epochs) for recipe in RECIPES]
    assert factors == pytest.approx([0.4, 0.444], abs=0.001)


def test_an_extension_can_be_extended() -> None:
    """From the same snapshot, with the rates falling more slowly still."""
    twice = _extend(_extend(FAST, 5), 5)
    assert (twice.epochs, snapshot_epoch(twice)) == (20, 6)
    assert snapshot_epoch(_extend(_extend(ACCURATE, 5), 5)) == 27
    assert [knot for knots in twice.schedule for knot in knots] == pytest.approx([0.0, 1.0, 0.3, 0.4, 1.0, 0.0])


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_the_shortest_runs_have_a_snapshot(epochs: int) -> None:
    """Always before the last epoch."""
    assert 0 <= snapshot_epoch(replace(FAST, epochs=epochs)) < epochs


def test_the_tutorial_goes_on_from_its_end() -> None:
    """Its rate never falls, so nothing need be taken back."""
    assert snapshot_epoch(TutorialRecipe()) == 2
    assert extend(TutorialRecipe(), epochs=3) == TutorialRecipe(epochs=5)


@pytest.mark.parametrize("recipe", [replace(ACCURATE, epochs=1), replace(TAUGHT, epochs=1)])
def test_a_run_of_one_epoch_is_extended_with_the_whole_schedule(recipe: LargeBatchRecipe) -> None:
    """Its snapshot is its beginning, where the rates of a warm-up are low or nothing: they must not stay there."""
    assert _extend(recipe, 9).schedule == recipe.schedule
    assert _extend(recipe, 9).epochs == 10
