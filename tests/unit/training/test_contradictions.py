"""What a recipe cannot do."""

from dataclasses import replace

import pytest

from training.configuration import Request
from training.contradictions import refuse_contradictions
from training.errors import TrainingError
from training.recipes import RECIPES

REQUEST = Request(recipe="tutorial", data="cifar10")


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_can_be_asked_for_alone(recipe: str) -> None:
    """Without an option that it cannot follow nothing is refused; only one needs a teacher."""
    teacher = "any.safetensors" if recipe == "taught" else None
    refuse_contradictions(replace(REQUEST, recipe=recipe, teacher=teacher), world=1)


@pytest.mark.parametrize(
    ("option", "world", "sentence"),
    [
        ({"dtype": "bfloat16"}, 1, "leave --dtype bfloat16 out"),
        ({"is_compiled": True}, 1, "leave --compile out"),
        ({"photographs": 0.5}, 1, "leave --photographs out"),
        ({"start": "any.safetensors"}, 1, "leave --start out"),
        ({}, 2, "leave torchrun out"),
    ],
)
def test_the_tutorial_is_kept_to_the_letter(option: dict[str, object], world: int, sentence: str) -> None:
    """What its loop would not do is refused; the others do all of it."""
    with pytest.raises(TrainingError, match=sentence):
        refuse_contradictions(replace(REQUEST, **option), world=world)  # type: ignore[arg-type]
    refuse_contradictions(replace(REQUEST, recipe="compact", **option), world=world)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", ["tutorial", "fast", "accurate", "compact"])
def test_a_teacher_is_for_the_recipe_that_learns_from_one(recipe: str) -> None:
    """The sentence names the recipe that does."""
    with pytest.raises(TrainingError, match=f"The recipe {recipe} has no teacher; .*take taught"):
        refuse_contradictions(replace(REQUEST, recipe=recipe, teacher="any.safetensors"), world=1)


def test_who_is_to_be_taught_needs_a_teacher() -> None:
    """Nothing is learnt from labels instead."""
    with pytest.raises(TrainingError, match="The recipe taught needs a teacher; name one with --teacher"):
        refuse_contradictions(replace(REQUEST, recipe="taught"), world=1)
