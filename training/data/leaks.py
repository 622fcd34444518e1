"""Pictures that are measured on and were learnt, too."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from training.data.dataset import Dataset


def find_leaked(dataset: Dataset) -> Tensor:
    """Tell which test pictures have a copy among those that are learnt or held out.

    In a folder these are the leaks among its findings, with those that only look alike. In arrays they are equal
    pictures alone, since a training does not wait until half a minute's search for the others is over.

    Returns:
        bool (n,), of the test part.
    """
    if dataset.findings is not None:
        files = {
            file
            for group in dataset.findings.copies
            if group.is_leak
            for file, part in zip(group.files, group.parts, strict=True)
            if part == "test"
        }
        return torch.tensor([file in files for file in dataset.test.files])
    learnt = [part for part in (dataset.train, dataset.held_out) if part is not None]
    known = {digest for part in learnt for digest in _digests(part.images)}
    return torch.tensor([digest in known for digest in _digests(dataset.test.images)])


def _digests(images: Tensor) -> Iterator[bytes]:
    return (hashlib.sha256(image.tobytes()).digest() for image in images.numpy())
