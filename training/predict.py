"""Say what pictures show, as the service does: files in, labels and scores out."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from models.checkpoint import Checkpoint
from models.cores import usable_cores
from models.errors import PictureError
from models.pictures import decode
from models.prediction import Prediction, rank
from models.preprocessing import Answers, Images, InputSpec, to_images
from training.data.picture_files import entries_below, picture_bytes
from training.measuring.views import answers

_TOGETHER = 64
"""Files that are decoded, on all cores, before the network sees them, and answered together. Source: choice."""


@dataclass(frozen=True)
class Predicted:
    """What one file shows.

    Attributes:
        file: as it was named, or found below a folder that was.
        predictions: the best labels, best first.
        abstain: whether the answer should not be relied on.
        picture_format: JPEG, PNG, …
        width: pixels of the upright picture.
        height: pixels of the upright picture.
    """

    file: Path
    predictions: list[Prediction]
    abstain: bool
    picture_format: str
    width: int
    height: int


@dataclass(frozen=True)
class Unanswered:
    """A file that could not be answered, and the reason in words."""

    file: Path
    reason: str


class Opened(NamedTuple):
    """What is kept of a decoded file: the pixels that the network is fed, uint8 (height, width, 3)."""

    file: Path
    image: Images
    picture_format: str
    width: int
    height: int


def list_files(paths: Sequence[Path]) -> list[Path]:
    """Put all files below its place for each folder; files are taken as they are, be they there or not."""
    return [file for path in paths for file in (_files_in(path) if os.path.isdir(path) else [path])]


def _files_in(folder: Path) -> list[Path]:
    """List the files below a folder, sorted, and what cannot be looked at: it is refused when it is to be read."""
    closed: list[Path] = []
    entries = list(entries_below(folder, lambda error: closed.append(Path(error.filename))))
    return sorted([*closed, *(entry for entry in entries if os.path.isfile(entry) or not os.path.exists(entry))])


def predict(
    checkpoint: Checkpoint, files: Sequence[Path], *, top_k: int, device: torch.device
) -> Iterator[Predicted | Unanswered]:
    """Answer files one after another, in order; a bad one costs its neighbours nothing.

    Args:
        checkpoint: that answers, as the service's engine torch does on a CPU.
        files: of any size and any format that the service reads.
        top_k: labels for each; more than there are classes returns all.
        device: that its network is brought to.
    """
    graph = checkpoint.graph.to(device)
    for together in open_files(files, checkpoint.record.input):
        images = [each.image for each in together if isinstance(each, Opened)]
        rows = iter(answers(graph, torch.from_numpy(np.stack(images))).numpy() if images else ())
        for each in together:
            if isinstance(each, Opened):
                yield _predicted(each, next(rows), checkpoint, top_k=top_k)
            else:
                yield each


def open_files(files: Sequence[Path], spec: InputSpec) -> Iterator[list[Opened | Unanswered]]:
    """Decode files to what a network is fed, 64 at a time, on all cores and in order."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(files), _TOGETHER):
            yield list(pool.map(lambda file: _open(file, spec), files[start : start + _TOGETHER]))


def _open(file: Path, spec: InputSpec) -> Opened | Unanswered:
    try:
        if os.path.isdir(file):
            os.scandir(file).close()  # says why it could not be opened
        if file.exists() and not file.is_file():  # to read a pipe may take for ever
            return Unanswered(file, "It is no regular file.")
        picture = decode(picture_bytes(file), at_least=(spec.width, spec.height))
        return Opened(file, to_images([picture], spec)[0], picture.format, picture.width, picture.height)
    except OSError as error:
        return Unanswered(file, f"It cannot be read: {error.strerror or error}.")
    except PictureError as error:
        return Unanswered(file, str(error))


def _predicted(opened: Opened, row: Answers, checkpoint: Checkpoint, *, top_k: int) -> Predicted:
    record = checkpoint.record
    probabilities, distance = checkpoint.read(row)
    predictions = rank(probabilities, record.labels, top_k=top_k)
    abstain = record.calibration.abstains(predictions[0].score, distance)
    return Predicted(opened.file, predictions, abstain, opened.picture_format, opened.width, opened.height)
