"""A folder of pictures, one sub-folder per class: torchvision's ImageFolder layout, made forgiving.

Every file is tried; what is no picture is named and skipped, so that one bad download among thousands
does not stop a training.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.errors import PictureError
from models.pictures import decode
from models.preprocessing import Images, InputSpec, to_images
from training.errors import DataError

TEST_SHARE = 0.2
"""Of each class, where the folder has no test part: 80 to 20 is the field's custom."""
_TRAIN_NAMES, _TEST_NAMES = {"train", "training"}, {"test", "testing", "val", "valid", "validation"}
_NAMED_AT_MOST = 10

Report = Callable[[str], None]
"""Told what was skipped, a sentence at a time."""


class Part(NamedTuple):
    """Images uint8 (n, height, width, 3) and their classes int64 (n,)."""

    images: Images
    targets: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """Class folders, read.

    Attributes:
        labels: names of the folders, sorted.
        classes: uint8 (n, height, width, 3) for each label, in the order of the files' names.
    """

    labels: tuple[str, ...]
    classes: tuple[Images, ...]

    def joined(self, labels: Sequence[str] | None = None) -> Part:
        """Put all classes together, numbered as in `labels`; None takes the tree's own."""
        order = list(labels or self.labels)
        targets = [
            np.full(len(images), order.index(label), np.int64)
            for label, images in zip(self.labels, self.classes, strict=True)
        ]
        return Part(np.concatenate(self.classes), np.concatenate(targets))


def find_parts(root: Path) -> tuple[Path | None, Path | None]:
    """Find the training and the test folder inside a folder; None for one that is not there.

    A part holds folders. A folder of pictures that happens to be called `train` is a class.
    """
    folders = [
        entry for entry in sorted(root.iterdir()) if entry.is_dir() and any(map(Path.is_dir, entry.iterdir()))
    ]

    def first(names: set[str]) -> Path | None:
        return next((folder for folder in folders if folder.name.lower() in names), None)

    return first(_TRAIN_NAMES), first(_TEST_NAMES)


def read_tree(root: Path, *, spec: InputSpec, report: Report, fewest_classes: int = 2) -> Tree:
    """Read one sub-folder per class, each with everything below it.

    Args:
        root: the folder.
        spec: how a picture becomes pixels; the service does the same with the same file.
        report: told of each skipped file, and their count.
        fewest_classes: that make sense to the caller.

    Raises:
        DataError: too few classes, or a class without a readable picture.
    """
    labels = _class_names(root, fewest=fewest_classes)
    return Tree(labels, tuple(_read_class(root / label, spec=spec, report=report) for label in labels))


def split_tree(tree: Tree, *, seed: int) -> tuple[Part, Part]:
    """Hold a fifth of each class out for measuring, at least one picture; the rest is to learn from.

    Raises:
        DataError: a class has a single picture.
    """
    random = np.random.default_rng(seed)
    train, test = [], []
    for label, images in zip(tree.labels, tree.classes, strict=True):
        if len(images) < 2:
            raise DataError(
                f"The class {label!r} has one readable picture; at least two are needed, one to learn from "
                "and one to measure on."
            )
        order = random.permutation(len(images))
        held_out = max(1, round(TEST_SHARE * len(images)))
        test.append(images[order[:held_out]])
        train.append(images[order[held_out:]])
    return Tree(tree.labels, tuple(train)).joined(), Tree(tree.labels, tuple(test)).joined()


def read_pictures(paths: Sequence[Path], *, spec: InputSpec, report: Report) -> Images:
    """Decode files on all cores, in order; a file that is no picture is reported and left out.

    Returns:
        uint8 (readable files, height, width, 3).
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = list(pool.map(lambda path: _read_picture(path, spec), paths))
    refused = [item for item in read if isinstance(item, str)]
    for sentence in refused[:_NAMED_AT_MOST]:
        report(f"skipped {sentence}")
    if refused:
        rest = len(refused) - _NAMED_AT_MOST
        more = f" ({rest} more not named)" if rest > 0 else ""
        report(f"{len(refused)} of {len(paths)} files in {paths[0].parent} are no readable pictures{more}")
    images = [item for item in read if not isinstance(item, str)]
    return np.concatenate(images) if images else np.empty((0, spec.height, spec.width, 3), np.uint8)


def _read_picture(path: Path, spec: InputSpec) -> Images | str:
    try:
        picture = decode(path.read_bytes(), at_least=(spec.width, spec.height))
    except (PictureError, OSError) as error:
        return f"{path}: {error}"
    return to_images([picture], spec)


def _class_names(root: Path, *, fewest: int) -> tuple[str, ...]:
    folders = (entry.name for entry in root.iterdir() if entry.is_dir())
    names = tuple(sorted(name for name in folders if not name.startswith(".")))
    if len(names) < fewest:
        raise DataError(
            f"{root} has {len(names)} class folders ({', '.join(names) or 'none'}); at least {fewest} are needed. "
            "Put the pictures of each class into a sub-folder that has the class's name."
        )
    return names


def _read_class(folder: Path, *, spec: InputSpec, report: Report) -> Images:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    images = read_pictures(files, spec=spec, report=report)
    if not len(images):
        raise DataError(
            f"The class {folder.name!r} has no readable picture among {len(files)} files in {folder}. "
            "Add pictures, or remove the folder."
        )
    return images
