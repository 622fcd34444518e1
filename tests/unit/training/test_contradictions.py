"""What cannot be done as it was asked for."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.configuration import Request
from training.contradictions import refuse_contradictions, refuse_to_overwrite
from training.errors import TrainingError
from training.recipes import RECIPES

REQUEST = Request(recipe="tutorial", data="cifar10")


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_can_be_asked_for_alone(recipe: str) -> None:
    """Without an option that it cannot follow nothing is refused; only one needs a teacher."""
    teachers = ("any.safetensors",) if recipe == "taught" else ()
    refuse_contradictions(replace(REQUEST, recipe=recipe, teachers=teachers), world=1)


@pytest.mark.parametrize("name", ["photographs", "trivial_augment"])
def test_a_share_that_is_no_number_is_refused(name: str) -> None:
    """It lies between no bounds, and could not be written into the checkpoint in the end."""
    share: dict[str, Any] = {name: math.nan}
    with pytest.raises(TrainingError, match=f"--{name.replace('_', '-')} is no number"):
        refuse_contradictions(replace(REQUEST, recipe="fast", **share), world=1)


@pytest.mark.parametrize(
    ("option", "world", "sentence"),
    [
        ({"dtype": "bfloat16"}, 1, "leave --dtype bfloat16 out"),
        ({"is_compiled": True}, 1, "leave --compile out"),
        ({"photographs": 0.5}, 1, "leave --photographs out"),
        ({"trivial_augment": 0.5}, 1, "leave --trivial-augment out"),
        ({"start": "any.safetensors"}, 1, "leave --start out"),
        ({"minutes": 5.0}, 1, "leave --minutes out"),
        ({"input_size": 15}, 1, "take --input-size 16 or more instead of 15"),
        ({}, 2, "leave torchrun out"),
    ],
)
def test_the_tutorial_is_kept_to_the_letter(option: dict[str, Any], world: int, sentence: str) -> None:
    """What its loop would not do is refused; the others do all of it."""
    with pytest.raises(TrainingError, match=sentence):
        refuse_contradictions(replace(REQUEST, **option), world=world)
    refuse_contradictions(replace(REQUEST, recipe="compact", **option), world=world)


@pytest.mark.parametrize("recipe", ["tutorial", "fast", "accurate", "compact"])
def test_a_teacher_is_for_the_recipe_that_learns_from_one(recipe: str) -> None:
    """The sentence names the recipe that does."""
    with pytest.raises(TrainingError, match=f"The recipe {recipe} has no teacher; .*take taught"):
        refuse_contradictions(replace(REQUEST, recipe=recipe, teachers=("any.safetensors",)), world=1)


@pytest.mark.parametrize(("recipe", "held_out"), [("tutorial", None), ("tutorial", 99), ("fast", 0), ("fast", 99)])
def test_a_share_to_accept_is_refused_where_there_is_no_rule(recipe: str, held_out: int | None) -> None:
    """The default asks for nothing; where the data decide, it is seen later."""
    request = replace(REQUEST, recipe=recipe, held_out=held_out, accept=0.9)
    with pytest.raises(TrainingError, match=f"; here {held_out or 0} are held out"):
        refuse_contradictions(request, world=1)
    refuse_contradictions(replace(request, accept=0.95), world=1)
    refuse_contradictions(replace(request, held_out=100), world=1)
    refuse_contradictions(replace(request, recipe="fast", held_out=None), world=1)


def test_minutes_are_those_of_one_process() -> None:
    """Two make other steps than one, and each would choose by its own."""
    request = replace(REQUEST, recipe="fast", minutes=5.0)
    refuse_contradictions(request, world=1)
    with pytest.raises(
        TrainingError, match="one process, and here are 2: give --epochs instead, or leave torchrun"
    ):
        refuse_contradictions(request, world=2)


def test_who_is_to_be_taught_needs_a_teacher() -> None:
    """Nothing is learnt from labels instead."""
    with pytest.raises(TrainingError, match="The recipe taught needs a teacher; name one with --teacher"):
        refuse_contradictions(replace(REQUEST, recipe="taught"), world=1)


@pytest.mark.parametrize("option", ["start", "teacher"])
def test_what_a_training_begins_with_is_not_overwritten(option: str, tmp_path: Path) -> None:
    """Whatever name it goes by, and whichever of several targets it is; other files may be there."""
    earlier, other, link = (tmp_path / f"{name}.safetensors" for name in ("earlier", "other", "link"))
    for path in (earlier, other):
        path.write_bytes(b"weights")
    link.symlink_to(earlier)
    request = (
        replace(REQUEST, start=str(earlier))
        if option == "start"
        else replace(REQUEST, teachers=(str(tmp_path / "another.safetensors"), str(earlier)))
    )
    refuse_to_overwrite(request, [other, tmp_path / "new.safetensors"])
    for target in (earlier, link, tmp_path / "." / "earlier.safetensors"):
        with pytest.raises(TrainingError, match=f"which is --{option} {earlier} itself and would be lost; name"):
            refuse_to_overwrite(request, [other, target])


def test_a_start_that_is_not_there_overwrites_nothing(tmp_path: Path) -> None:
    """That it cannot be read is said by whoever reads it."""
    out = tmp_path / "out.safetensors"
    refuse_to_overwrite(replace(REQUEST, start=str(out)), [out])
    out.touch()
    refuse_to_overwrite(replace(REQUEST, start=str(tmp_path / "gone.safetensors")), [out])


def test_the_tutorial_takes_the_smallest_input_that_its_network_does() -> None:
    """16 pixels are enough."""
    refuse_contradictions(replace(REQUEST, input_size=16), world=1)
