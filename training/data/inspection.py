"""Look at a data set without training: for a folder what reading it found, for arrays the same by hand."""

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.data.dataset import Dataset
from training.data.duplicates import find_copies
from training.data.findings import Findings, collect, to_lines, uneven_lines
from training.data.leaks import find_leaked
from training.data.likeness import THUMBNAIL_SIDE, Thumbnails
from training.data.picture_cache import to_thumbnail

_NAMED = 4


def inspect_dataset(dataset: Dataset) -> Findings:
    """Count classes, and find copies within and across the parts of a data set."""
    if dataset.findings is not None:
        return dataset.findings
    parts = {"train": dataset.train, "test": dataset.test}
    if dataset.val is not None:
        parts["val"] = dataset.val
    thumbnails = np.concatenate([_thumbnails(part.images) for part in parts.values()])
    digests = [
        [hashlib.sha256(image.numpy().tobytes()).digest()] for part in parts.values() for image in part.images
    ]
    targets = np.concatenate([part.targets.numpy() for part in parts.values()])
    return collect(
        dataset.name,
        dataset.labels,
        files=[name for part, split in parts.items() for name in split.names(part)],
        targets=targets,
        part_of=np.repeat(list(parts), list(map(len, parts.values()))),
        copies=find_copies(thumbnails, digests, targets),
    )


def lines_before_training(dataset: Dataset) -> Iterator[str]:
    """Tell what a training finds out about its data on the way, line by line.

    That is all of a folder, and of arrays what takes no time to speak of.
    """
    if dataset.findings is not None:
        yield from to_lines(dataset.findings)
        return
    counts = torch.bincount(dataset.train.targets, minlength=len(dataset.labels)).tolist()
    yield from uneven_lines(dict(zip(dataset.labels, counts, strict=True)))
    leaked = torch.nonzero(find_leaked(dataset).is_learnt).flatten().tolist()
    if leaked:
        names = dataset.test.names("test")
        named = ", ".join(names[place] for place in leaked[:_NAMED]) + (" …" if len(leaked) > _NAMED else "")
        yield (
            f"warning: {len(leaked):,} of {len(dataset.test):,} pictures to measure on equal one that is learnt: "
            f"{named}. inspect names all, and finds those that only look alike"
        )


def _thumbnails(images: Tensor) -> Thumbnails:
    if tuple(images.shape[1:3]) == (THUMBNAIL_SIDE, THUMBNAIL_SIDE):
        return np.asarray(images.numpy())
    return np.stack([to_thumbnail(Image.fromarray(image.numpy())) for image in images])
