"""Pictures of none of the classes that somebody has: read as the service reads what it is sent."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.preprocessing import Images, InputSpec
from training.data import fit_images
from training.data.archives import read_images
from training.errors import DataError
from training.predict import Unanswered, list_files, open_files

_NAMED_AT_MOST = 10


def read_foreign(source: Path, spec: InputSpec, *, report: Callable[[str], None]) -> Tensor:
    """Read pictures without labels.

    Args:
        source: an .npz file, a folder with everything below it, or a picture.
        spec: of the network that is shown them.
        report: told of files that cannot be read, with the reasons, ten at most, and how many there are.

    Returns:
        uint8 (n, spec.height, spec.width, 3).

    Raises:
        DataError: no picture can be read.
    """
    if source.suffix.lower() == ".npz" and source.is_file():
        return fit_images(read_images(source), spec)
    images: list[Images] = []
    unreadable = 0
    for together in open_files(list_files([source]), spec):
        for each in together:
            if isinstance(each, Unanswered):
                unreadable += 1
                if unreadable <= _NAMED_AT_MOST:
                    report(f"{each.file}: {each.reason}")
            else:
                images.append(each.image)
    if unreadable:
        more = f" ({unreadable - _NAMED_AT_MOST} more not named)" if unreadable > _NAMED_AT_MOST else ""
        report(f"{unreadable} of {unreadable + len(images)} files are no readable pictures{more}")
    if not images:
        raise DataError(f"No picture can be read in {source}. Name a folder of pictures, or an .npz file.")
    return torch.from_numpy(np.stack(images))
