"""A folder of pictures, one sub-folder per class: torchvision's ImageFolder layout, made forgiving.

Every file is tried; what is no picture is named and skipped, so that one bad download among thousands
does not stop a training.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import PictureError
from models.pictures import decode
from models.preprocessing import Images, InputSpec, to_images
from training.errors import DataError

TEST_SHARE = 0.2
"""Of each class, where the folder has no test part: 80 to 20 is the field's custom."""
_TRAIN_NAMES, _TEST_NAMES = ("train", "training"), ("test", "val", "valid", "validation")
_NAMED_AT_MOST = 10

ImagesAndTargets = tuple[Images, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class FolderSplit:
    """What was read.

    Attributes:
        labels: names of the class folders, sorted.
        train: uint8 (n, height, width, 3) and int64 (n,).
        test: the same.
    """

    labels: tuple[str, ...]
    train: ImagesAndTargets
    test: ImagesAndTargets


def read_folder(root: Path, *, spec: InputSpec, seed: int, report: Callable[[str], None]) -> FolderSplit:
    """Read a folder with train/ and test/, or one tree that is split by a seed.

    Args:
        root: the folder.
        spec: how a picture becomes pixels; the service does the same with the same file.
        seed: of the split; a fifth of each class, at least one picture, becomes the test part.
        report: told of each skipped file, and their count.
    Raises:
        DataError: fewer than two classes, a class without a readable picture, or a test class that
            the training part does not have.
    """
    train_root, test_root = (_part(root, names) for names in (_TRAIN_NAMES, _TEST_NAMES))
    if train_root is None or test_root is None:
        labels = _class_names(root)
        return _split(labels, _read_classes(root, labels, spec=spec, report=report), seed=seed)
    labels = _class_names(train_root)
    strangers = sorted(set(_class_names(test_root, fewest=1)) - set(labels))
    if strangers:
        raise DataError(f"{test_root} has the classes {', '.join(strangers)}, {train_root} does not.")
    test_labels = tuple(label for label in labels if (test_root / label).is_dir())
    train = _read_classes(train_root, labels, spec=spec, report=report)
    test_classes = _read_classes(test_root, test_labels, spec=spec, report=report)
    return FolderSplit(labels, _join(train, range(len(labels))), _join(test_classes, map(labels.index, test_labels)))


def read_pictures(paths: Sequence[Path], *, spec: InputSpec, report: Callable[[str], None]) -> Images:
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


def _part(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _class_names(root: Path, *, fewest: int = 2) -> tuple[str, ...]:
    names = tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    if len(names) < fewest:
        raise DataError(
            f"{root} has {len(names)} class folders ({', '.join(names) or 'none'}); at least {fewest} are needed. "
            "Put the pictures of each class into a sub-folder that has the class's name."
        )
    return names


def _read_classes(
    root: Path, labels: tuple[str, ...], *, spec: InputSpec, report: Callable[[str], None]
) -> list[Images]:
    classes = []
    for label in labels:
        files = sorted(path for path in (root / label).rglob("*") if path.is_file() and not path.name.startswith("."))
        images = read_pictures(files, spec=spec, report=report)
        if not len(images):
            raise DataError(
                f"The class {label!r} has no readable picture among {len(files)} files in {root / label}. "
                "Add pictures, or remove the folder."
            )
        classes.append(images)
    return classes


def _split(labels: tuple[str, ...], classes: list[Images], *, seed: int) -> FolderSplit:
    random = np.random.default_rng(seed)
    train, test = [], []
    for label, images in zip(labels, classes, strict=True):
        if len(images) < 2:
            raise DataError(
                f"The class {label!r} has one readable picture; at least two are needed, one to learn from "
                "and one to measure on."
            )
        order = random.permutation(len(images))
        held_out = max(1, round(TEST_SHARE * len(images)))
        test.append(images[order[:held_out]])
        train.append(images[order[held_out:]])
    return FolderSplit(labels, _join(train, range(len(labels))), _join(test, range(len(labels))))


def _join(classes: Sequence[Images], places: "Sequence[int] | map[int] | range") -> ImagesAndTargets:
    targets = [np.full(len(images), place, np.int64) for images, place in zip(classes, places, strict=True)]
    return np.concatenate(list(classes)), np.concatenate(targets)
