"""How a run went, by the lines that it wrote while it ran, and whether it made a checkpoint."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.checkpoint import load
from models.record import Record, TrainingRun
from training.errors import TrainingError
from training.measuring.calibration import ACCEPTED_SHARE, with_share
from training.runs.run import CHECKPOINT, METRICS


@dataclass(frozen=True)
class History:
    """The steps of a run that were noted, in order; the first four are lists of the same length.

    Attributes:
        steps: counted from 1.
        losses: per picture.
        rates: the learning rate as a share of its highest.
        pictures_per_s: since the line before.
        held_out: step and accuracy on held-out pictures at the end of each epoch, where some were asked.
    """

    steps: list[int]
    losses: list[float]
    rates: list[float]
    pictures_per_s: list[float]
    held_out: list[tuple[int, float]] = field(default_factory=list)


def read_history(run: Path) -> History:
    """Read `metrics.jsonl` of a run's folder; lines that are damaged or cut off are left out.

    Args:
        run: the folder.

    Raises:
        TrainingError: the file is not there, or holds no step.
    """
    path = run / METRICS
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be read ({error.strerror}). Name the folder of a run with --run, or leave it out."
        ) from error
    steps = [step for step in (_numbers(line, "loss", "lr", "pictures_per_s") for line in lines) if step]
    if not steps:
        raise TrainingError(
            f"{path} has no line about a step. Name the folder of a run that began, or leave --run out."
        )
    asked = [point for point in (_numbers(line, "held_out_accuracy") for line in lines) if point]
    losses, rates, pictures_per_s = (list(column) for column in zip(*(rest for _, rest in steps), strict=True))
    return History(
        steps=[step for step, _ in steps],
        losses=losses,
        rates=rates,
        pictures_per_s=pictures_per_s,
        held_out=[(step, accuracy) for step, (accuracy,) in asked],
    )


def check_origin(run: Path, record: Record) -> None:
    """Refuse a run that did not make a checkpoint: its curves would tell of another one.

    The times and the training are compared, not the files: `calibrate` writes another file of the same weights.
    What `quantize` writes has a time of its own; it names the file that it was made from, and the time
    of that one, which `calibrate` keeps. Files from before that have its digest alone.

    Args:
        run: the folder.
        record: of the checkpoint.

    Raises:
        TrainingError: the run has no result, or another one.
        CheckpointError: its result cannot be read.
    """
    path, advice = run / CHECKPOINT, "Name the folder of the run that made this checkpoint, or leave --run out."
    if not path.is_file():
        raise TrainingError(f"{run} holds no {CHECKPOINT}, so it has made no checkpoint yet. {advice}")
    result = load(path)
    made, training, created_at = result.record, record.training, record.created_at
    quantized = training.configuration.get("quantized")
    if isinstance(quantized, Mapping):
        if quantized.get("from") == result.digest:
            return
        before = {name: value for name, value in training.configuration.items() if name != "quantized"}
        training, created_at = replace(training, configuration=before), str(quantized.get("from_created_at"))
    if (made.created_at, _but_for_share(made.training)) != (created_at, _but_for_share(training)):
        raise TrainingError(
            f"{run} made another checkpoint: {made.name} of {made.created_at}, and this one is {record.name} of "
            f"{record.created_at}. {advice}"
        )


def _but_for_share(training: TrainingRun) -> TrainingRun:
    """Leave out how much the abstain rule accepts, which `calibrate` may change."""
    return replace(training, configuration=with_share(training.configuration, ACCEPTED_SHARE))


def _numbers(line: str, *names: str) -> tuple[int, list[float]] | None:
    """Take the step of a line and what else is named; None where it has not all of it, in finite numbers."""
    try:
        fields = json.loads(line)
        step, numbers = int(fields["step"]), [float(fields[name]) for name in names]
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return (step, numbers) if all(map(math.isfinite, numbers)) else None
