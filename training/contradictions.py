"""What cannot be done as it was asked for, told before anything is read or written."""

import math
from collections.abc import Sequence
from pathlib import Path

from models.networks.tutorial import SMALLEST_SIDE as TUTORIAL_SIDE
from training.configuration import Request
from training.data.held_out import FEWEST_FOR_RULE
from training.errors import TrainingError
from training.measuring.calibration import ACCEPTED_SHARE
from training.recipes import RECIPES, LargeBatchRecipe, Recipe, TutorialRecipe, is_taught


def refuse_contradictions(request: Request, *, world: int) -> None:
    """Refuse what the recipe of a request cannot do.

    Args:
        request: what the user asked for.
        world: processes that train together.

    Raises:
        TrainingError: an option asks for what the recipe does not have, or what the tutorial's book does not do.
    """
    recipe = RECIPES[request.recipe]
    shares = {"--photographs": request.photographs, "--trivial-augment": request.trivial_augment}
    for option, share in shares.items():
        if share is not None and math.isnan(share):
            raise TrainingError(f"{option} is no number; take a share from 0 to 1.")
    if request.teachers and not is_taught(recipe):
        raise TrainingError(f"The recipe {recipe.name} has no teacher; leave --teacher out, or take taught.")
    if not request.teachers and is_taught(recipe):
        raise TrainingError(
            f"The recipe {recipe.name} needs a teacher; name one with --teacher, a checkpoint of the same classes."
        )
    held_out = 0 if request.held_out is None and isinstance(recipe, TutorialRecipe) else request.held_out
    refuse_share_without_rule(request.accept, held_out=held_out)
    _refuse_minutes(request, recipe, world=world)
    if isinstance(recipe, LargeBatchRecipe):
        return
    if request.input_size is not None and request.input_size < TUTORIAL_SIDE:
        raise TrainingError(
            f"The tutorial's network needs {TUTORIAL_SIDE} × {TUTORIAL_SIDE} pixels: take --input-size "
            f"{TUTORIAL_SIDE} or more instead of {request.input_size}."
        )
    if request.start is not None:
        raise TrainingError("The tutorial starts with random weights: leave --start out.")
    if request.dtype == "bfloat16":
        raise TrainingError(
            "The tutorial computes in float32, as it does in the book: leave --dtype bfloat16 out."
        )
    if request.is_compiled:
        raise TrainingError("The tutorial runs as it is written, without torch.compile: leave --compile out.")
    for option, share in shares.items():
        if share is not None:
            raise TrainingError(f"The tutorial shows pictures as they are: leave {option} out.")
    if world > 1:
        raise TrainingError("The tutorial trains in one process, as it does in the book: leave torchrun out.")


def _refuse_minutes(request: Request, recipe: Recipe, *, world: int) -> None:
    """Refuse to time the steps of a training that is kept to the letter, or of which a process makes a share."""
    if request.minutes is None:
        return
    if isinstance(recipe, TutorialRecipe):
        raise TrainingError("The tutorial is not timed: leave --minutes out. --epochs changes its two passes.")
    if world > 1:
        raise TrainingError(
            f"--minutes times the steps of one process, and here are {world}: give --epochs instead, or leave "
            "torchrun out."
        )


def refuse_share_without_rule(accept: float, *, held_out: int | None) -> None:
    """Refuse a share that nothing would come of: too few pictures are held out for an abstain rule.

    Args:
        accept: share of the held-out pictures that the rule shall let pass; the default asks for nothing.
        held_out: pictures; of None, which the data decide, nothing is known yet.

    Raises:
        TrainingError: it is another share.
    """
    if accept != ACCEPTED_SHARE and held_out is not None and held_out < FEWEST_FOR_RULE:
        raise TrainingError(
            f"--accept {accept} is of the abstain rule, which needs {FEWEST_FOR_RULE} held-out pictures; here "
            f"{held_out} are held out. Leave --accept out, or hold out that many: --held-out, or a val part."
        )


def refuse_to_overwrite(request: Request, targets: Sequence[Path]) -> None:
    """Refuse to write the result over what the training begins with or learns from.

    Args:
        request: what the user asked for.
        targets: files that the checkpoint will be written to.

    Raises:
        TrainingError: one of them is the start or a teacher, whatever name it goes by.
    """
    read = [("--teacher", name) for name in request.teachers]
    if request.start is not None:
        read.append(("--start", request.start))
    for option, name in read:
        for target in targets:
            if Path(name).exists() and target.exists() and target.samefile(name):
                raise TrainingError(
                    f"The result would be written to {target}, which is {option} {name} itself and would be lost; "
                    "name another place."
                )
