"""A folder of pictures, one sub-folder per class: torchvision's ImageFolder layout, made forgiving.

Every file is tried; what is no picture is named and left out, so that one bad download among thousands
does not stop a training.
"""

import contextlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import PictureError
from models.pictures import stored_size
from models.preprocessing import InputSpec
from training.data.picture_cache import Pictures, Report, has_entry, read_pictures
from training.data.picture_files import entries_below, files_below, folders_in, is_hidden
from training.errors import DataError

_TRAIN_NAMES, _TEST_NAMES, _VAL_NAMES = ("train", "training"), ("test", "testing"), ("val", "valid", "validation")
"""Of the parts, in any capitals; where several are there, the first is taken."""
_NAMED_AT_MOST = 10
_IN_A_SENTENCE = 5
_LOOKED_AT = 200
"""Pictures whose headers choose the input's size. Source: choice."""
_SIDES = ((64, 32), (128, 48))
"""(pictures under so many pixels, side of the input); larger pictures get `_LARGEST_SIDE`.
Source: docs/experiments.md, 2026-11-24."""
_LARGEST_SIDE = 64


@dataclass(frozen=True)
class Tree:
    """Class folders, read.

    Attributes:
        labels: names of the folders, sorted, in composed Unicode.
        pictures: of all classes, one class after the other.
        targets: int64 (n,), places in `labels`.
    """

    labels: tuple[str, ...]
    pictures: Pictures
    targets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.targets)


def composed(name: str) -> str:
    """Spell a name as most systems do: macOS writes é as e and an accent, which is another text (NFC)."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Parts:
    """The folders into which somebody divided a folder; None for one that is not there.

    Attributes:
        train: to learn from.
        test: to measure on; `val/` where there is no other.
        val: `val/` beside a test part: to calibrate on.
    """

    train: Path | None
    test: Path | None
    val: Path | None

    @property
    def folders(self) -> list[Path]:
        """Those that are there."""
        return [part for part in (self.train, self.test, self.val) if part is not None]


def find_parts(root: Path) -> Parts:
    """Find the parts inside a folder.

    A part holds folders. A folder of pictures that happens to be called `train` is a class.
    """
    folders = [folder for folder in folders_in(root) if _holds_folders(folder)]

    def first(names: Sequence[str]) -> Path | None:
        named = [folder for folder in folders if folder.name.lower() in names]
        return min(named, key=lambda folder: names.index(folder.name.lower()), default=None)

    train, test, val = first(_TRAIN_NAMES), first(_TEST_NAMES), first(_VAL_NAMES)
    return Parts(train, val, None) if test is None else Parts(train, test, val)


def _holds_folders(folder: Path) -> bool:
    try:
        return bool(folders_in(folder))
    except OSError:  # one that cannot be opened is told of by whoever needs it
        return False


def class_roots(root: Path) -> list[Path]:
    """List the folders in which each folder is a class: the parts, or the folder itself where there are none."""
    return sorted(find_parts(root).folders) or [root]


def choose_side(root: Path) -> int:
    """Choose the input's size for the pictures in a folder's classes, from the median of their shorter sides.

    A val part has no say, so that whether it is used changes no picture.

    Returns:
        32, 48 or 64 pixels; 32 where no picture's header can be read.
    """
    tops = sorted(replace(find_parts(root), val=None).folders) or [root]
    files = [path for top in tops for folder in folders_in(top) for path in files_below(folder)]
    sides = []
    for path in files[:: max(1, len(files) // _LOOKED_AT)]:
        with contextlib.suppress(PictureError, OSError), path.open("rb") as file:
            sides.append(min(stored_size(file)))  # the same, whichever side is up
    middle = float(np.median(sides)) if sides else 0.0
    return next((side for under, side in _SIDES if middle < under), _LARGEST_SIDE)


def read_tree(root: Path, *, spec: InputSpec, cache: Path, report: Report, fewest_classes: int = 2) -> Tree:
    """Read one sub-folder per class, each with everything below it.

    Args:
        root: the folder.
        spec: how a picture becomes pixels; the service does the same with the same file.
        cache: folder that decoded pictures are kept in.
        report: told of the progress.
        fewest_classes: that make sense to the caller.

    Raises:
        DataError: too few classes, or a class without a readable picture.
    """
    _refuse_as_cache(cache, root)
    names = class_names(root, fewest=fewest_classes)
    refuse_bare(root)
    pictures = read_pictures(root, _files(root, names), spec=spec, cache=cache, report=report)
    places = {name: place for place, name in enumerate(names)}
    targets = np.array([places[read.file.split("/")[0]] for read in pictures.read], np.int64)
    empty = [names[place] for place in np.flatnonzero(np.bincount(targets, minlength=len(names)) == 0)]
    if empty:
        report_unreadable(pictures, report)
        raise _no_pictures(root, empty)
    return Tree(tuple(map(composed, names)), pictures, targets)


def is_decoded(root: Path, *, spec: InputSpec, cache: Path, fewest_classes: int = 2) -> bool:
    """Whether the pictures of class folders are in the cache, so that none has to be decoded to read them.

    Args:
        root: the folder.
        spec: how a picture becomes pixels.
        cache: folder that decoded pictures are kept in.
        fewest_classes: that make sense to the caller.

    Raises:
        DataError: too few classes, or two whose names look the same.
        OSError: a folder or a file cannot be looked at.
    """
    return has_entry(root, _files(root, class_names(root, fewest=fewest_classes)), spec=spec, cache=cache)


def _files(root: Path, names: Sequence[str]) -> list[str]:
    return [path.relative_to(root).as_posix() for name in names for path in files_below(root / name)]


def refuse_bare(root: Path) -> None:
    """Refuse class folders without a file, before minutes of decoding.

    Raises:
        DataError: there are some; all are named.
    """
    if bare := [folder.name for folder in folders_in(root) if not files_below(folder)]:
        raise _no_pictures(root, bare)


def _refuse_as_cache(cache: Path, root: Path) -> None:
    decoded, pictures = (cache / "pictures").resolve(), root.resolve()
    if decoded.is_relative_to(pictures) and not is_hidden(decoded, below=pictures):
        raise DataError(
            f"The cache {cache} lies in {root}, and would be read as a class. Name another folder with --cache."
        )


def report_unreadable(pictures: Pictures, report: Report) -> None:
    """Name the files that are no pictures, at most ten, and count them."""
    for item in pictures.unreadable[:_NAMED_AT_MOST]:
        report(f"skipped {item.file}: {item.reason}")
    count = len(pictures.unreadable)
    if count:
        more = f" ({count - _NAMED_AT_MOST} more not named)" if count > _NAMED_AT_MOST else ""
        report(f"{count} of {count + len(pictures.read)} files are no readable pictures{more}")


def report_unused(root: Path, tops: Sequence[Path], report: Report, *, apart_from: Sequence[Path] = ()) -> None:
    """Name in a line what lies in a folder and is not even tried, and in another what cannot be opened.

    Not tried is what lies beside the parts, or beside the class folders, and links to folders and to nothing
    within a class. Hidden files and folders, and those of other programs, are nobody's pictures and not mentioned.

    Args:
        root: the folder that was named.
        tops: what holds class folders: `root` itself, or the parts in it.
        report: told nothing where everything is used.
        apart_from: parts that others use, and that are not looked into.
    """
    failures: list[OSError] = []
    parts = (*tops, *apart_from)
    beside = [entry for entry in root.iterdir() if root not in tops and entry not in parts]
    for top in tops:
        beside += [entry for entry in top.iterdir() if not entry.is_dir()]
        for folder in folders_in(top):
            below = entries_below(folder, failures.append)
            beside += [path for path in below if path.is_symlink() and not path.is_file()]
    names = sorted(
        path.relative_to(root).as_posix() + "/" * path.is_dir()
        for path in beside
        if not is_hidden(path, below=root)
    )
    if names:
        report(f"not used: {_some_of(names)}")
    if failures:
        closed = sorted(f"{Path(error.filename).relative_to(root).as_posix()}/" for error in failures)
        report(f"warning: left out, since they cannot be opened: {_some_of(closed)} ({failures[0].strerror})")


def _some_of(names: Sequence[str]) -> str:
    more = len(names) - _IN_A_SENTENCE
    return ", ".join(names[:_IN_A_SENTENCE]) + (f" and {more:,} more" if more > 0 else "")


def class_names(root: Path, *, fewest: int) -> tuple[str, ...]:
    """List the names of the class folders in a folder, sorted.

    Raises:
        DataError: there are fewer than make sense, or two whose names look the same.
    """
    names = tuple(folder.name for folder in folders_in(root))
    if len(names) < fewest:
        archive = min(root.glob("*.npz"), default=None)
        raise DataError(
            f"{root} has {_class_folders(names)}; at least {fewest} {'is' if fewest == 1 else 'are'} needed. "
            "Put the pictures of each class into a sub-folder that has the class's name"
            + (f", or read the archive in it with --data {archive}." if archive else ".")
        )
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(composed(name), name)
        if other != name:
            raise DataError(
                f"{root} has two class folders whose names look the same, {other!a} and {name!a}: one name in "
                "two spellings of Unicode. Put their pictures into one folder."
            )
    return names


def _class_folders(names: Sequence[str]) -> str:
    if not names:
        return "no class folders"
    return f"{len(names)} class folder{'' if len(names) == 1 else 's'} ({', '.join(names)})"


def _count_files(folder: Path) -> str:
    if not os.access(folder, os.R_OK | os.X_OK):
        return "cannot be opened"
    count = len(files_below(folder))
    return f"{count:,} file{'' if count == 1 else 's'}"


def _no_pictures(root: Path, labels: Sequence[str]) -> DataError:
    classes = [f"{label!r} ({_count_files(root / label)})" for label in labels]
    whose, which = ("A class has", "the folder") if len(labels) == 1 else ("Some classes have", "the folders")
    return DataError(
        f"{whose} no picture that can be read in {root}: {_some_of(classes)}. Add pictures, or remove {which}."
    )
