"""Say what pictures show, as the service does: files in, labels and scores out."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.checkpoint import Checkpoint
from models.cores import usable_cores
from models.errors import PictureError
from models.pictures import Picture, decode
from models.prediction import Prediction, rank
from models.preprocessing import Answers, InputSpec, to_images
from training.data.picture_files import files_below, picture_bytes
from training.measuring.views import answers

_TOGETHER = 64
"""Files that are decoded before the network sees them: answers come while the rest is read. Source: choice."""


@dataclass(frozen=True)
class Predicted:
    """What one file shows.

    Attributes:
        file: as it was named, or found below a folder that was.
        predictions: the best labels, best first.
        abstain: whether the answer should not be relied on.
        picture: format and size, as the file has them.
    """

    file: Path
    predictions: list[Prediction]
    abstain: bool
    picture: Picture


@dataclass(frozen=True)
class Refused:
    """A file that could not be answered, and the reason in words."""

    file: Path
    reason: str


def list_files(paths: Sequence[Path]) -> list[Path]:
    """Put all files below its place for each folder; files are taken as they are, be they there or not."""
    return [file for path in paths for file in (files_below(path) if path.is_dir() else [path])]


def predict(checkpoint: Checkpoint, files: Sequence[Path], *, top_k: int) -> Iterator[Predicted | Refused]:
    """Answer files one after another, in order; a bad one costs its neighbours nothing.

    Args:
        checkpoint: its network wherever it is; answers are those of the service's engine torch.
        files: of any size and any format that the service reads.
        top_k: labels for each; more than there are classes returns all.
    """
    spec = checkpoint.record.input
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(files), _TOGETHER):
            together = files[start : start + _TOGETHER]
            opened = list(pool.map(lambda file: _open(file, spec), together))
            pictures = [each for each in opened if isinstance(each, Picture)]
            rows = iter(_answers(checkpoint, pictures))
            for file, each in zip(together, opened, strict=True):
                if isinstance(each, Picture):
                    yield _predicted(file, each, next(rows), checkpoint, top_k=top_k)
                else:
                    yield Refused(file, each)


def _open(file: Path, spec: InputSpec) -> Picture | str:
    """Decode a file, or say why it cannot be."""
    try:
        if file.exists() and not file.is_file():  # to read a pipe may take for ever
            return "It is no regular file."
        return decode(picture_bytes(file), at_least=(spec.width, spec.height))
    except OSError as error:
        return f"It cannot be read: {error.strerror or error}."
    except PictureError as error:
        return str(error)


def _answers(checkpoint: Checkpoint, pictures: Sequence[Picture]) -> Answers:
    if not pictures:
        return np.empty((0, checkpoint.answer_columns), np.float32)
    images = torch.from_numpy(to_images(pictures, checkpoint.record.input))
    return answers(checkpoint.graph, images).numpy()


def _predicted(file: Path, picture: Picture, row: Answers, checkpoint: Checkpoint, *, top_k: int) -> Predicted:
    record = checkpoint.record
    classes = len(record.labels)
    predictions = rank(row[:classes], record.labels, top_k=top_k)
    distance = float(row[classes]) if checkpoint.distance is not None else None
    return Predicted(file, predictions, record.calibration.abstains(predictions[0].score, distance), picture)
