"""What an earlier training left to another one: a teacher, or the weights that it starts with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.checkpoint import Checkpoint, load
from models.errors import CheckpointError
from models.networks import Architecture
from models.networks.quantization import is_quantized
from models.preprocessing import InputSpec
from models.record import Record
from training.calibration import set_temperature
from training.errors import TrainingError
from training.recalibration import held_out_count

DOUBTED = "may_know_held_out"
"""Field of a training's configuration: true where its teacher or start may have learnt what it is judged on."""


def load_teacher(path: Path, *, labels: tuple[str, ...], spec: InputSpec) -> Checkpoint:
    """Read the checkpoint of a teacher; its temperature is taken off, since students learn at the recipe's.

    Raises:
        TrainingError: it knows other classes, or pictures of another size.
    """
    checkpoint = _load("--teacher", path, labels=labels, spec=spec)
    set_temperature(checkpoint.network, 1.0)
    return checkpoint


def load_start(path: Path, *, architecture: Architecture, labels: tuple[str, ...], spec: InputSpec) -> Checkpoint:
    """Read the checkpoint whose weights a training starts with.

    Raises:
        TrainingError: it is quantized or another network, knows other classes, or pictures of another size or
            normalised otherwise.
    """
    checkpoint = _load("--start", path, labels=labels, spec=spec)
    record = checkpoint.record
    if is_quantized(checkpoint.network):
        raise TrainingError(f"--start {path} is quantized; name the file that it was made from.")
    if _plain(record.architecture) != _plain(architecture):
        raise TrainingError(
            f"--start {path} is the network {_told(record.architecture)}; the recipe trains "
            f"{_told(architecture)}. Name a checkpoint of that one."
        )
    if (record.input.mean, record.input.std) != (spec.mean, spec.std):
        raise TrainingError(
            f"--start {path} normalises with mean {record.input.mean} and deviation {record.input.std}; the "
            f"recipe with {spec.mean} and {spec.std}. Name a checkpoint of that recipe."
        )
    return checkpoint


def _load(option: str, path: Path, *, labels: tuple[str, ...], spec: InputSpec) -> Checkpoint:
    try:
        checkpoint = load(path)
    except CheckpointError as error:
        raise TrainingError(f"{option} {path}: {error}") from error
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
    return checkpoint


def _plain(architecture: Architecture) -> tuple[str, dict[str, Any]]:
    """Make lists of tuples: a file knows only lists."""
    arguments = architecture.arguments.items()
    return architecture.name, {key: list(value) if isinstance(value, tuple) else value for key, value in arguments}


def _told(architecture: Architecture) -> str:
    arguments = ", ".join(f"{key} {value}" for key, value in _plain(architecture)[1].items())
    return f"{architecture.name} ({arguments})" if arguments else architecture.name


def doubt(who: str, record: Record, configuration: Mapping[str, Any]) -> str | None:
    """Say why an earlier training may have learnt what this one is judged on; None where it has not.

    A seed holds out the same pictures of the same data; of a larger number these and more, unless copies of one
    picture are kept together, which may leave some out that went for a smaller one.

    Args:
        who: "the teacher", for the sentence.
        record: of the earlier training's checkpoint.
        configuration: of this one (`training.configuration.configure`).
    """
    wanted, known = configuration["held_out"], held_out_count(record)
    if not wanted:
        return None
    reasons = []
    if record.training.data_fingerprint != configuration["data_fingerprint"]:
        reasons.append("other training pictures")
    if record.training.seed != configuration["seed"]:
        reasons.append(f"the seed {record.training.seed} instead of {configuration['seed']}")
    together = configuration.get("copies_together") is True
    if (record.training.configuration.get("copies_together") is True) != together:
        reasons.append("copies of one picture held out otherwise")
    if known < wanted or (together and known != wanted):
        reasons.append(f"{known:,} pictures held out instead of {wanted:,}")
    if record.training.configuration.get(DOUBTED) is True:
        reasons.append("a teacher or start of which the same was feared")
    if not reasons:
        return None
    return (
        f"warning: {who} was trained with {', '.join(reasons)}, so it may know what is held out here, and "
        "temperature and abstain rule come out too sure. Take one with the same data, --seed and --held-out."
    )
