"""Pictures that are measured or calibrated on and were learnt, too."""

import hashlib
from collections.abc import Container, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.dataset import Dataset, Split
from training.data.findings import Findings


@dataclass(frozen=True)
class Leaked:
    """Test pictures of which a copy was learnt.

    Attributes:
        is_learnt: bool (n,), of the test part.
        has_alike: whether those that only look alike were looked for; else they are equal pictures alone.
    """

    is_learnt: Tensor
    has_alike: bool


def find_leaked(dataset: Dataset) -> Leaked:
    """Tell which test pictures have a copy among those that are learnt, or drawn from these and held out.

    In a folder these are the leaks among its findings, with those that only look alike. In arrays they are equal
    pictures alone, since a training does not wait until half a minute's search for the others is over.
    """
    if dataset.findings is not None:
        return Leaked(_has_learnt_copy(dataset.test, dataset.findings, part="test"), has_alike=True)
    learnt = [dataset.train]
    if dataset.held_out is not None and dataset.val is None:  # else it was never one of the training pictures
        learnt.append(dataset.held_out)
    return find_equal(dataset.test.images, {digest for part in learnt for digest in digests(part.images)})


def find_equal(images: Tensor, known: Container[bytes]) -> Leaked:
    """Tell which pictures equal some of which the digests are known.

    Args:
        images: uint8 (n, height, width, 3), measured on.
        known: what `digests` gave for those that were learnt.
    """
    return Leaked(torch.tensor([digest in known for digest in digests(images)]), has_alike=False)


def digests(images: Tensor) -> Iterator[bytes]:
    """Give the SHA-256 of each picture's pixels."""
    return (hashlib.sha256(image.tobytes()).digest() for image in images.numpy())


def find_learnt_val(dataset: Dataset) -> Tensor:
    """Tell which pictures of a val part equal or, in a folder, look like learnt ones: bool (n,).

    Args:
        dataset: with a val part.
    """
    assert dataset.val is not None
    if dataset.findings is None:
        return find_equal(dataset.val.images, set(digests(dataset.train.images))).is_learnt
    return _has_learnt_copy(dataset.val, dataset.findings, part="val")


def _has_learnt_copy(split: Split, findings: Findings, *, part: str) -> Tensor:
    files = {file for group in findings.copies if group.lies_in("train", part) for file in group.files}
    return torch.tensor([file in files for file in split.files])
