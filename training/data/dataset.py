"""What a training starts from, wherever it was read."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.data.findings import Findings
from training.errors import DataError

MOST_CLASSES = 3_000
"""What a checkpoint says of itself has a cell of eight bytes for each pair of classes, and 100 MB at most."""
_HASHED_AT_ONCE = 1_000  # pictures


def to_unicode(name: str) -> str:
    """Make text of a file's name, which is bytes: a checkpoint and the service tell it to others.

    Returns:
        The same where it is text; else with a question mark for each byte that is not.
    """
    return name.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class Split:
    """Pictures of the network's size and their classes.

    Attributes:
        images: uint8 (n, height, width, 3).
        targets: int64 (n,), places in the labels.
        files: n paths below the folder that was named, where there is one; else empty.
    """

    images: Tensor
    targets: Tensor
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.targets)

    def names(self, part: str) -> tuple[str, ...]:
        """Return the files, or `part[0]`, `part[1]`, … where there are none."""
        return self.files or tuple(f"{part}[{place}]" for place in range(len(self)))


@dataclass(frozen=True)
class Dataset:
    """What a training starts from.

    Attributes:
        name: for the record, in words.
        labels: in the order of the targets.
        train: to learn from.
        test: to measure on.
        held_out: set aside by `training.data.held_out`, to choose and to calibrate on; None where there is none.
        findings: what reading a folder found; None for what is no folder.
        is_test_drawn: whether the seed drew the test part, so that another one, or a folder that has grown,
            gives other pictures.
        val: the pictures that somebody divided off to calibrate on; None where there are none, or where some of
            the training pictures are taken instead.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    test: Split
    held_out: Split | None = None
    findings: Findings | None = None
    is_test_drawn: bool = False
    val: Split | None = None

    def __post_init__(self) -> None:
        """Refuse classes that could not be written into a checkpoint, before anything is trained.

        Raises:
            DataError: there are too many; a label is empty, stands twice, or is no Unicode text.
        """
        if len(self.labels) > MOST_CLASSES:
            raise DataError(f"{self.name} has {len(self.labels):,} classes; {MOST_CLASSES:,} is the limit.")
        for label in self.labels:
            if not label:
                raise DataError(f"{self.name}: class {self.labels.index(label)} has no name. Give it one.")
            if label != to_unicode(label):
                raise DataError(f"{self.name}: the class name {label!r} is no Unicode text. Rename it.")
        if len(set(self.labels)) != len(self.labels):
            raise DataError(f"{self.name}: a class name stands twice in {', '.join(self.labels)}. Rename one.")

    @property
    def held_out_count(self) -> int:
        """Pictures that are kept from the training, 0 where none are."""
        return 0 if self.held_out is None else len(self.held_out)


def fingerprint(labels: tuple[str, ...], train: Split) -> str:
    """SHA-256 over labels, training pictures and their classes: what a checkpoint remembers of its data."""
    return fingerprint_of_pieces(labels, torch.split(train.images, _HASHED_AT_ONCE), train.targets)


def fingerprint_of_pieces(labels: tuple[str, ...], pieces: Iterable[Tensor], targets: Tensor) -> str:
    """Give the same of pictures that come some at a time.

    Args:
        labels: of the data set.
        pieces: in order, uint8 (some, height, width, 3).
        targets: int64 (n,), of all.
    """
    digest = hashlib.sha256("\n".join(labels).encode())
    for images in pieces:
        in_order = np.ascontiguousarray(images.numpy())  # copied only if they are not
        digest.update(in_order.reshape(-1).data)
    digest.update(targets.to(torch.int32).numpy().tobytes())
    return digest.hexdigest()
