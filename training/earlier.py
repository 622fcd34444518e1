"""What an earlier training left to another one: a teacher, or the weights that it starts with."""

import shlex
from pathlib import Path
from typing import Any

from models.checkpoint import CHECKPOINTS, Checkpoint, load
from models.errors import CheckpointError
from models.networks import Architecture
from models.networks.whitened import HEAD
from models.preprocessing import InputSpec
from models.views import shows_mirror_images
from training.data.dataset import Dataset
from training.errors import TrainingError
from training.fresh import Start
from training.recipes import COMPACT, RECIPES, LargeBatchRecipe, Recipe, is_taught

SHIPPED = CHECKPOINTS / "cifar10.safetensors"
_FEW = 100
"""Pictures of a class, on average, with which a start wins enough to be named. Source: `advise_start`."""


def load_teacher(path: Path, *, labels: tuple[str, ...], spec: InputSpec, mirrors: bool) -> Checkpoint:
    """Read the checkpoint of a teacher; its temperature is taken off, since students learn at the recipe's.

    Args:
        path: of the file.
        labels: of the data.
        spec: of its images.
        mirrors: whether the student is shown mirror images, and the teacher asked about them.

    Raises:
        TrainingError: it knows other classes, pictures of another size, or no mirror images.
    """
    checkpoint = _load("--teacher", path)
    if checkpoint.record.labels != labels:
        raise TrainingError(
            f"--teacher {path} knows {', '.join(checkpoint.record.labels)}; the data has {', '.join(labels)}. "
            "It must know the same classes in the same order; train one on this data."
        )
    takes = checkpoint.record.input
    if (takes.height, takes.width) != (spec.height, spec.width):
        raise TrainingError(
            f"--teacher {path} takes {takes.width} × {takes.height} pixels; the pictures have {spec.width} × "
            f"{spec.height}. Train one at this size."
        )
    if mirrors and not shows_mirror_images(checkpoint.record.training.configuration):
        raise TrainingError(
            f"--teacher {path} was trained with --no-mirror, and cannot tell what a mirror image shows. Give that "
            "option here, too."
        )
    checkpoint.network.temperature = 1.0
    return checkpoint


def load_start(path: Path, *, architecture: Architecture, spec: InputSpec) -> Checkpoint:
    """Read the checkpoint whose weights a training starts with.

    It may know other classes, take pictures of another size, and be quantized: its filters are numbers all the
    same, and the network that is trained does not round.

    Raises:
        TrainingError: it is another network, or normalises pictures otherwise.
    """
    checkpoint = _load("--start", path)
    record = checkpoint.record
    if _trained(record.architecture) != _trained(architecture):
        raise TrainingError(
            f"--start {path} is the network {_told(record.architecture)}; the recipe trains "
            f"{_told(architecture)}. Name a checkpoint of that one{_or_recipe(record.architecture)}."
        )
    if (record.input.mean, record.input.std) != (spec.mean, spec.std):
        raise TrainingError(
            f"--start {path} normalises with mean {record.input.mean} and deviation {record.input.std}; the "
            f"recipe with {spec.mean} and {spec.std}. Name a checkpoint of that recipe."
        )
    return checkpoint


def start_with(checkpoint: Checkpoint, *, labels: tuple[str, ...]) -> Start:
    """Take the weights of a checkpoint; those of the last layer go by the names of the classes.

    Args:
        checkpoint: read by `load_start`.
        labels: of the training, in its order.
    """
    weights = dict(checkpoint.network.state_dict())
    rows = dict(zip(checkpoint.record.labels, weights.pop(HEAD), strict=True))
    return Start(weights, {place: rows[label] for place, label in enumerate(labels) if label in rows})


def advise_start(dataset: Dataset, recipe: Recipe, shipped: Path) -> str | None:
    """Say that few pictures are learnt better from the shipped checkpoint's weights.

    Args:
        dataset: whose training part is learnt, from random weights.
        recipe: that learns it.
        shipped: the checkpoint.

    Returns:
        A sentence; None where there are enough pictures, the recipe cannot start with another one's weights or has
        a teacher, or the checkpoint is not there or does not fit.

    Source:
        docs/experiments.md, 2026-11-26: 6.5 points more than `fast` at 30 pictures of each class, 4 at 100.
    """
    pictures, classes = len(dataset.train), len(dataset.labels)
    if not isinstance(recipe, LargeBatchRecipe) or is_taught(recipe) or pictures > _FEW * classes:
        return None
    try:
        load_start(shipped, architecture=COMPACT.architecture, spec=InputSpec(mean=COMPACT.mean, std=COMPACT.std))
    except TrainingError:
        return None
    here = Path.cwd()
    name = str(shipped.relative_to(here) if shipped.is_relative_to(here) else shipped)
    return (
        f"{pictures:,} pictures of {classes} classes are few to learn from. Photographs are recognised better if "
        "the training begins with what the shipped network knows: "
        f"--recipe {COMPACT.name} --start {shlex.quote(name)}"
    )


def _load(option: str, path: Path) -> Checkpoint:
    try:
        return load(path)
    except CheckpointError as error:
        raise TrainingError(f"{option} {error}") from error


def _trained(architecture: Architecture) -> tuple[str, dict[str, Any]]:
    """Name and arguments by which weights fit, without rounding and norms; with lists for tuples, as in a file."""
    apart_from = ("input_ranges", "norm_epsilon")
    arguments = {key: value for key, value in architecture.arguments.items() if key not in apart_from}
    return architecture.name, {
        key: list(value) if isinstance(value, tuple) else value for key, value in arguments.items()
    }


def _told(architecture: Architecture) -> str:
    arguments = ", ".join(f"{key} {value}" for key, value in _trained(architecture)[1].items())
    return f"{architecture.name} ({arguments})" if arguments else architecture.name


def _or_recipe(architecture: Architecture) -> str:
    """Name a recipe that can start with a network, for the end of a sentence; nothing where there is none."""
    fitting = [
        name
        for name, recipe in RECIPES.items()
        if isinstance(recipe, LargeBatchRecipe)
        and not is_taught(recipe)
        and _trained(recipe.architecture) == _trained(architecture)
    ]
    return f", or take --recipe {fitting[0]}" if fitting else ""
