"""All that is decided about a training before its first step: data, recipe, computing, teacher."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.networks import build
from models.preprocessing import InputSpec
from training import findings
from training.configuration import Request, configure
from training.data import read_dataset
from training.dataset import Dataset, Split, fingerprint
from training.devices import Computing, choose_dtype
from training.epoch import Wanted
from training.extension import extend
from training.fitting import fit_to_data
from training.held_out import group_copies, set_aside
from training.provenance import current_commit
from training.recipes import RECIPES, LargeBatchRecipe, Recipe, TutorialRecipe
from training.teacher import Teacher, doubt, load_teacher, open_answers


@dataclass(frozen=True)
class Plan:
    """All that is decided before the first step.

    Attributes:
        dataset: read, with its held-out part.
        learnt: the pictures to learn from; on the device where a teacher looks at them, too.
        recipe: adapted to it and to the request.
        spec: of the images.
        configuration: all that decides the weights.
        wanted: a teacher's answers; None where the labels are learnt.
        commit: of the code that runs; it may be edited before the training ends.
    """

    dataset: Dataset
    learnt: Split
    recipe: Recipe
    spec: InputSpec
    configuration: dict[str, Any]
    wanted: Wanted | None
    commit: str

    @property
    def checkpoint_bytes(self) -> int:
        """Of the weights in a checkpoint, which are nearly all of it."""
        with torch.device("meta"):
            network = build(self.recipe.architecture, classes=len(self.dataset.labels), spec=self.spec)
        return sum(tensor.nbytes for tensor in network.state_dict().values())


def choose_computing(request: Request, device: torch.device) -> Computing:
    """Decide on what and how to compute; the tutorial, to the letter, does it in float32 and uncompiled."""
    if isinstance(RECIPES[request.recipe], TutorialRecipe):
        return Computing(device, torch.float32)
    return Computing(device, choose_dtype(request.dtype, device), request.is_compiled)


def prepare(request: Request, computing: Computing, *, tell: Callable[[str], None]) -> Plan:
    """Read the data, hold some of it out, adapt the recipe, and ask for a teacher where one is named.

    Args:
        request: what the user asked for, without contradictions.
        computing: on what and how.
        tell: told of the data, a sentence at a time.

    Raises:
        GlimpseError: the data or the teacher cannot be read, or do not fit.
    """
    read = read_dataset(
        request.data, seed=request.seed, cache=Path(request.cache), report=tell, input_size=request.input_size
    )
    if read.findings is not None:
        for line in findings.to_lines(read.findings):
            tell(line)
    table = RECIPES[request.recipe]
    # the tutorial, to the letter, learns from every picture
    count = 0 if isinstance(table, TutorialRecipe) and request.held_out is None else request.held_out
    dataset = set_aside(read, count=count, seed=request.seed)
    height, width = dataset.train.images.shape[1:3]
    spec = InputSpec(height=height, width=width, mean=table.mean, std=table.std)
    recipe = adapt(table, request, dataset)
    if request.teacher is None and isinstance(table, LargeBatchRecipe) and table.teaching is not None:
        tell(f"No --teacher is named, so {table.name} learns the labels.")
    held_out = len(dataset.held_out) if dataset.held_out else 0
    tell(
        f"{dataset.name}: {len(dataset.train):,} pictures to learn from, {held_out:,} held out to choose on, "
        f"{len(dataset.test):,} to measure on"
    )
    configuration = configure(
        recipe,
        seed=request.seed,
        labels=dataset.labels,
        spec=spec,
        held_out=held_out,
        data_fingerprint=fingerprint(read.labels, read.train),
        dtype=computing.dtype,
    )
    if held_out and group_copies(read) is not None:
        configuration["copies_together"] = True
    wanted, learnt = None, dataset.train
    if request.teacher is not None and isinstance(recipe, LargeBatchRecipe):
        teacher = load_teacher(Path(request.teacher), labels=dataset.labels, spec=spec)
        doubts = doubt(teacher.record, configuration)
        if doubts is not None:
            tell(doubts)
        configuration["teacher"] = teacher.digest
        learnt = dataclasses.replace(learnt, images=learnt.images.to(computing.device))
        wanted = _ask(teacher, recipe, dataset, computing, images=learnt.images, cache=Path(request.cache))
    return Plan(dataset, learnt, recipe, spec, configuration, wanted, current_commit())


def adapt(table: Recipe, request: Request, dataset: Dataset) -> Recipe:
    """Make of a recipe's table what is carried out.

    Args:
        table: one of `RECIPES`.
        request: what the user asked for, without contradictions.
        dataset: to learn from, less what is held out.
    """
    shorter_side = min(dataset.train.images.shape[1:3])
    recipe = fit_to_data(table, len(dataset.train), shorter_side=shorter_side, epochs=request.epochs)
    if isinstance(recipe, LargeBatchRecipe):
        if request.teacher is None:
            recipe = dataclasses.replace(recipe, teaching=None)
        if request.photographs is not None:
            recipe = dataclasses.replace(recipe, photograph_share=request.photographs)
    for epochs in request.extensions:
        recipe = extend(recipe, epochs=epochs)
    return recipe


def _ask(
    checkpoint: Checkpoint,
    recipe: LargeBatchRecipe,
    dataset: Dataset,
    computing: Computing,
    *,
    images: Tensor,
    cache: Path,
) -> Wanted:
    """Let a teacher answer what is learnt."""
    answers = open_answers(
        cache,
        pictures=len(dataset.train),
        classes=len(dataset.labels),
        shift=recipe.shift,
        key={
            "teacher": checkpoint.digest,
            "pictures": fingerprint(dataset.labels, dataset.train),
            "dtype": str(computing.dtype),
        },
    )
    teacher = Teacher(
        checkpoint.network.to(computing.device),
        images,
        shift=recipe.shift,
        answers=answers,
        computing=computing,
    )
    return teacher.answer
