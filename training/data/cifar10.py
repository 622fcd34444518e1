"""CIFAR-10: where it comes from, its names, and how an archive without names is known to be it."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from training.data.dataset import Dataset, Split
from training.errors import DataError

LABELS = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""The beginner's tutorial's words for the ten classes, in the official order."""
OFFICIAL_NAMES = {"airplane": "plane", "automobile": "car"}
_TARGETS_SHA256 = "3edb456524d5918aefded81f5aef7c32efab2a788211df998a4eb0c8957baa1f"
"""Of the 60,000 official labels in order, one byte each: an archive without names that has them is CIFAR-10."""


def download(cache: Path) -> Dataset:
    """Read the data set from a folder, into which torchvision loads it with its checksum if it is not there.

    Raises:
        DataError: it could not be loaded.
    """
    from torchvision import datasets  # noqa: PLC0415 - 1 s of import, and only here

    try:
        parts = [datasets.CIFAR10(str(cache), train=train, download=True) for train in (True, False)]
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"CIFAR-10 could not be downloaded into {cache} ({error}). Check the network, put the official "
            "cifar-10-python.tar.gz there yourself, or use --data FILE.npz."
        ) from error
    train, test = (Split(torch.from_numpy(part.data), torch.tensor(part.targets)) for part in parts)
    return Dataset("CIFAR-10", LABELS, train, test)


def is_cifar10(learnt: Tensor, measured: Tensor) -> bool:
    """Whether the targets of two parts, int64 (n,) each, are its labels in the official order."""
    joined = torch.cat([learnt, measured])
    if len(joined) != 60_000 or joined.max() > 9:
        return False
    return hashlib.sha256(joined.to(torch.uint8).numpy().tobytes()).hexdigest() == _TARGETS_SHA256
