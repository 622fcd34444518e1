"""What an earlier training left to another one: a teacher, or the weights that it starts with."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.checkpoint import CHECKPOINTS, Checkpoint, load
from models.errors import CheckpointError
from models.networks import Architecture
from models.networks.whitened import HEAD
from models.preprocessing import InputSpec
from models.record import Record
from models.views import shows_mirror_images
from training.data.dataset import Dataset, fingerprint
from training.data.held_out import COPIES_TOGETHER, HELD_OUT_FINGERPRINT, HELD_OUT_PART, VAL
from training.data.rereading import held_out_count, holds_val_out
from training.errors import TrainingError
from training.fresh import Start
from training.recipes import COMPACT, RECIPES, LargeBatchRecipe, Recipe, is_taught

DOUBTED = "may_know_held_out"
"""Field of a training's configuration: true where its teacher or start may have learnt what it is judged on."""
SHIPPED = CHECKPOINTS / "cifar10.safetensors"
_FEW = 100
"""Pictures of a class, on average, with which a start wins enough to be named. Source: `advise_start`."""


def load_teacher(
    path: Path, *, labels: tuple[str, ...], spec: InputSpec, mirrors: bool, option: str = "--teacher"
) -> Checkpoint:
    """Read the checkpoint of a teacher; its temperature is taken off, since students learn at the recipe's.

    Args:
        path: of the file.
        labels: of the data.
        spec: of its images.
        mirrors: whether the student is shown mirror images, and the teacher asked about them.
        option: that named it.

    Raises:
        TrainingError: it knows other classes, pictures of another size, or no mirror images.
    """
    checkpoint = _load(option, path)
    if checkpoint.record.labels != labels:
        raise TrainingError(
            f"{option} {path} knows {', '.join(checkpoint.record.labels)}; the data has {', '.join(labels)}. "
            "It must know the same classes in the same order; train one on this data."
        )
    takes = checkpoint.record.input
    if (takes.height, takes.width) != (spec.height, spec.width):
        raise TrainingError(
            f"{option} {path} takes {takes.width} × {takes.height} pixels; the pictures have {spec.width} × "
            f"{spec.height}. Train one at this size."
        )
    if mirrors and not shows_mirror_images(checkpoint.record.training.configuration):
        raise TrainingError(
            f"{option} {path} was trained with --no-mirror, and cannot tell what a mirror image shows. Give that "
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


def unrounded(architecture: Architecture) -> Architecture:
    """Describe the network that a checkpoint's was before it was quantized, if it is."""
    arguments = {key: value for key, value in architecture.arguments.items() if key != "input_ranges"}
    return Architecture(architecture.name, arguments)


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


def doubt(who: str, record: Record, configuration: Mapping[str, Any], *, is_test_drawn: bool) -> str | None:
    """Say why an earlier training may have learnt what this one is judged on; None where it has not.

    A seed holds out the same pictures of the same data; of a larger number these and more, unless copies of one
    picture are kept together, which may leave some out that went for a smaller one. Who knows none of the classes,
    and grew from nobody else, is taken to have seen none of the pictures; under other names it may have. Who
    learnt from the same training pictures, of however many of them, does not know the val part; who held that out
    has learnt all of them.

    Args:
        who: "the teacher", for the sentence.
        record: of the earlier training's checkpoint.
        configuration: of this one, but for earlier trainings (`training/plan.py`).
        is_test_drawn: whether the seed drew the test part of this one's data, too.
    """
    wanted, known = configuration["held_out"], held_out_count(record)
    own = record.training.configuration
    if _is_stranger(record, configuration["labels"]):
        return None
    takes_val, took_val = configuration.get(HELD_OUT_PART) == VAL, holds_val_out(record)
    is_draw = not takes_val and not took_val
    reasons = []
    are_others = record.training.data_fingerprint != configuration["data_fingerprint"]
    if are_others:
        reasons.append("other training pictures")
    if record.training.seed != configuration["seed"] and (is_test_drawn or (is_draw and not are_others)):
        reasons.append(f"the seed {record.training.seed} instead of {configuration['seed']}")
    if own.get(DOUBTED) is True:
        reasons.append("a teacher or start of which the same was feared")
    may_know_test = is_test_drawn and len(reasons) > 0
    is_same_draw = known == wanted and not reasons
    if not are_others and took_val and not takes_val:
        reasons.append(f"val/ held out instead of {wanted:,} of the training pictures")
    compares = is_draw and not are_others
    if compares and wanted and _hold_copies_otherwise(own, configuration, is_same_draw=is_same_draw):
        reasons.append("copies of one picture held out otherwise")
    together = configuration.get(COPIES_TOGETHER) is True
    if compares and (known < wanted or (wanted and together and known != wanted)):
        reasons.append(f"{known:,} pictures held out instead of {wanted:,}")
    if not reasons or not (wanted or may_know_test):
        return None
    parts, harms = [], []
    if wanted:
        parts.append("held out")
        harms.append("temperature and abstain rule come out too sure")
    if may_know_test:
        parts.append("measured on")
        harms.append("the accuracy comes out too high")
    return (
        f"warning: {who} was trained with {', '.join(reasons)}, so it may know what is {' and '.join(parts)} "
        f"here; {', and '.join(harms)} then. Take one with the same data, --seed and --held-out, unless neither "
        "it nor what it grew from can have seen these pictures: one from elsewhere, and photos of your own."
    )


def doubt_as_judge(record: Record, dataset: Dataset) -> str | None:
    """Say why who starts with a checkpoint may have learnt the pictures that it is to judge; None if it has not.

    Args:
        record: of the checkpoint.
        dataset: all of whose pictures are judged.
    """
    if record.training.data_fingerprint == fingerprint(dataset.labels, dataset.train):
        return (
            "warning: the start was trained on these very pictures. It repeats the labels that it was told, so "
            "that many wrong ones are missed. Leave --start out, or take a checkpoint of other pictures."
        )
    if _is_stranger(record, dataset.labels):
        return None
    return (
        "warning: the start may have learnt some of these pictures, and would repeat the labels that it was told: "
        "it knows classes of these names, or grew from another checkpoint. That is no matter if it cannot have "
        "seen them: one from elsewhere, and photos of your own."
    )


def _is_stranger(record: Record, labels: Sequence[str]) -> bool:
    """Whether a training is taken to have seen none of the pictures: no class by its name, and no ancestors."""
    own = record.training.configuration
    grew = any(own.get(field) for field in ("start", "teachers", "teacher"))
    return not grew and set(record.labels).isdisjoint(labels)


def _hold_copies_otherwise(
    own: Mapping[str, Any], configuration: Mapping[str, Any], *, is_same_draw: bool
) -> bool:
    """Whether two trainings on the same pictures disagree about copies, or drew the same and hold out others."""
    if (own.get(COPIES_TOGETHER) is True) != (configuration.get(COPIES_TOGETHER) is True):
        return True
    fingerprints = {own.get(HELD_OUT_FINGERPRINT), configuration.get(HELD_OUT_FINGERPRINT)} - {None}
    return is_same_draw and len(fingerprints) > 1


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
