"""A folder of pictures, one sub-folder per class: torchvision's ImageFolder layout, made forgiving.

Every file is tried; what is no picture is named and left out, so that one bad download among thousands
does not stop a training.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import PictureError
from models.pictures import stored_size
from models.preprocessing import InputSpec
from training.data.duplicates import Copies, find_copies, take_for_scenes
from training.data.picture_cache import Pictures, Report, read_pictures
from training.errors import DataError

TEST_SHARE = 0.2
"""Of each class, where the folder has no test part: 80 to 20 is the field's custom."""
_TRAIN_NAMES, _TEST_NAMES = ("train", "training"), ("test", "testing", "val", "valid", "validation")
"""Of the parts, in any capitals; where several are there, the first is taken."""
_NAMED_AT_MOST = 10
_IN_A_SENTENCE = 5
_OF_OTHER_PROGRAMS = {"@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
"""Folders of thumbnails, deleted files and attributes: Synology's systems, archives from macOS, and drives of
Windows and Linux have them."""
_LOOKED_AT = 200
"""Pictures whose headers choose the input's size. Source: choice."""
_SIDES = ((64, 32), (128, 48))
"""(pictures under so many pixels, side of the input); larger pictures get `_LARGEST_SIDE`.
Source: docs/experiments.md, 2026-11-24."""
_LARGEST_SIDE = 64

Places = npt.NDArray[np.int64]
"""int64 (m,), numbers of pictures."""


@dataclass(frozen=True)
class Tree:
    """Class folders, read.

    Attributes:
        labels: names of the folders, sorted.
        pictures: of all classes, one class after the other.
        targets: int64 (n,), places in `labels`.
    """

    labels: tuple[str, ...]
    pictures: Pictures
    targets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.targets)


def find_parts(root: Path) -> tuple[Path | None, Path | None]:
    """Find the training and the test folder inside a folder; None for one that is not there.

    A part holds folders. A folder of pictures that happens to be called `train` is a class.
    """
    folders = [folder for folder in _folders_in(root) if _folders_in(folder)]

    def first(names: Sequence[str]) -> Path | None:
        named = [folder for folder in folders if folder.name.lower() in names]
        return min(named, key=lambda folder: names.index(folder.name.lower()), default=None)

    return first(_TRAIN_NAMES), first(_TEST_NAMES)


def class_roots(root: Path) -> list[Path]:
    """List the folders in which each folder is a class: the parts, or the folder itself where there are none."""
    return sorted(part for part in find_parts(root) if part is not None) or [root]


def choose_side(root: Path) -> int:
    """Choose the input's size for the pictures in a folder's classes, from the median of their shorter sides.

    Returns:
        32, 48 or 64 pixels; 32 where no picture's header can be read.
    """
    files = [path for top in class_roots(root) for folder in _folders_in(top) for path in _files_below(folder)]
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
    labels = _class_names(root, fewest=fewest_classes)
    refuse_bare(root)
    files = [path.relative_to(root).as_posix() for label in labels for path in _files_below(root / label)]
    pictures = read_pictures(root, files, spec=spec, cache=cache, report=report)
    places = {label: place for place, label in enumerate(labels)}
    targets = np.array([places[read.file.split("/")[0]] for read in pictures.read], np.int64)
    empty = [labels[place] for place in np.flatnonzero(np.bincount(targets, minlength=len(labels)) == 0)]
    if empty:
        report_unreadable(pictures, report)
        raise _no_pictures(root, empty)
    return Tree(labels, pictures, targets)


def refuse_bare(root: Path) -> None:
    """Refuse class folders without a file, before minutes of decoding.

    Raises:
        DataError: there are some; all are named.
    """
    if bare := [folder.name for folder in _folders_in(root) if not _files_below(folder)]:
        raise _no_pictures(root, bare)


def _refuse_as_cache(cache: Path, root: Path) -> None:
    decoded, pictures = (cache / "pictures").resolve(), root.resolve()
    if decoded.is_relative_to(pictures) and not _is_hidden(decoded, below=pictures):
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


def report_unused(
    root: Path, class_roots: Sequence[Path], report: Report, *, apart_from: Path | None = None
) -> None:
    """Name in a line what lies in a folder and is not even tried, and in another what cannot be opened.

    Not tried is what lies beside the parts, or beside the class folders, and links to folders and to nothing
    within a class. Hidden files and folders, and those of other programs, are nobody's pictures and not mentioned.

    Args:
        root: the folder that was named.
        class_roots: what holds class folders: `root` itself, or the parts in it.
        report: told nothing where everything is used.
        apart_from: a part that others use, and that is not looked into; None where there is none.
    """
    failures: list[OSError] = []
    parts = (*class_roots, apart_from)
    beside = [entry for entry in root.iterdir() if root not in class_roots and entry not in parts]
    for top in class_roots:
        beside += [entry for entry in top.iterdir() if not entry.is_dir()]
        for folder in _folders_in(top):
            below = _entries_below(folder, failures.append)
            beside += [path for path in below if path.is_symlink() and not path.is_file()]
    names = sorted(
        path.relative_to(root).as_posix() + "/" * path.is_dir()
        for path in beside
        if not _is_hidden(path, below=root)
    )
    if names:
        report(f"not used: {_some_of(names)}")
    if failures:
        closed = sorted(f"{Path(error.filename).relative_to(root).as_posix()}/" for error in failures)
        report(f"warning: left out, since they cannot be opened: {_some_of(closed)} ({failures[0].strerror})")


def _some_of(names: Sequence[str]) -> str:
    more = len(names) - _IN_A_SENTENCE
    return ", ".join(names[:_IN_A_SENTENCE]) + (f" and {more:,} more" if more > 0 else "")


def copies_in(trees: Sequence[Tree]) -> Copies:
    """Find the pictures of some trees, counted through, that are copies of one another."""
    digests = [(read.bytes_digest, read.pixels_digest) for tree in trees for read in tree.pictures.read]
    thumbnails = np.concatenate([tree.pictures.thumbnails for tree in trees])
    return find_copies(thumbnails, digests, np.concatenate([tree.targets for tree in trees]))


def kept_together(tree: Tree, copies: Copies) -> Copies:
    """Choose the copies that a split keeps together: all, if that leaves something to measure on in any class.

    Args:
        tree: to be split.
        copies: that were found in it.

    Returns:
        These; or, where nothing would be left, equal pictures alone, with those that look alike as scenes.
    """
    classes_of = _classes_of(tree, copies)
    for target in range(len(tree.labels)):
        groups = set(copies.group[tree.targets == target].tolist())
        if len(groups) > 1 and any(len(classes_of[group]) == 1 for group in groups):
            return copies
    return take_for_scenes(copies) if copies.near else copies


def split_tree(tree: Tree, copies: Copies, *, seed: int) -> tuple[Places, Places]:
    """Hold a fifth of each class out for measuring; the rest is to learn from.

    Copies of one picture stay together: a network that has learnt one has seen the other. Copies that lie in two
    classes are learnt from, since one of their labels is wrong and nothing is measured with a wrong label.

    Returns:
        Places of the pictures to learn from and of those to measure on. A class that consists of copies of
        one picture has none of the latter.

    Raises:
        DataError: a class has a single picture, or nothing at all could be held out.
    """
    random = np.random.default_rng(seed)
    classes_of = _classes_of(tree, copies)
    train, test = [], []
    for target, label in enumerate(tree.labels):
        places = np.flatnonzero(tree.targets == target)
        if len(places) < 2:
            raise DataError(
                f"The class {label!r} has one readable picture; at least two are needed, one to learn from "
                "and one to measure on."
            )
        shuffled = places[random.permutation(len(places))]
        groups = copies.group[shuffled]
        free = {group for group in groups.tolist() if classes_of[group] == {target}}
        held_out = _choose_groups(groups, free, wanted=max(1, round(TEST_SHARE * len(places))))
        is_test = np.isin(groups, held_out)
        test.append(shuffled[is_test])
        train.append(shuffled[~is_test])
    if not sum(map(len, test)):
        raise DataError(
            "Each class holds nothing but copies of one picture, or pictures that lie in two classes, so there is "
            "nothing to measure on. Add pictures."
        )
    return np.concatenate(train), np.concatenate(test)


def _classes_of(tree: Tree, copies: Copies) -> dict[int, set[int]]:
    """Give for the number of each group the classes that it lies in."""
    classes_of: dict[int, set[int]] = {}
    for group, target in zip(copies.group.tolist(), tree.targets.tolist(), strict=True):
        classes_of.setdefault(group, set()).add(target)
    return classes_of


def _choose_groups(groups: Places, free: set[int], *, wanted: int) -> list[int]:
    """Take groups in the order of their first pictures as long as they fit; at least one, and never all."""
    numbers, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    size = dict(zip(numbers.tolist(), sizes.tolist(), strict=True))
    in_order = [int(number) for number in numbers[np.argsort(first)]]
    chosen: list[int] = []
    if len(in_order) < 2:
        return chosen
    for group in in_order:
        if group in free and size[group] <= wanted:
            chosen.append(group)
            wanted -= size[group]
    if not chosen and free:
        chosen = [min(free, key=lambda group: (size[group], in_order.index(group)))]
    return chosen[:-1] if len(chosen) == len(in_order) else chosen


def _class_names(root: Path, *, fewest: int) -> tuple[str, ...]:
    names = tuple(folder.name for folder in _folders_in(root))
    if len(names) < fewest:
        archive = min(root.glob("*.npz"), default=None)
        raise DataError(
            f"{root} has {len(names)} class folders ({', '.join(names) or 'none'}); at least {fewest} are needed. "
            "Put the pictures of each class into a sub-folder that has the class's name"
            + (f", or read the archive in it with --data {archive}." if archive else ".")
        )
    return names


def _folders_in(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not _is_hidden(entry, below=root))


def _files_below(folder: Path) -> Sequence[Path]:
    return sorted(path for path in _entries_below(folder) if path.is_file())


def _entries_below(folder: Path, on_failure: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield all files, folders and links below a folder, but those that are hidden; links are not followed.

    Args:
        folder: to look through.
        on_failure: told why a folder in it cannot be opened.
    """
    for top, folders, files in os.walk(folder, onerror=on_failure):
        folders[:] = [name for name in folders if not _is_hidden_name(name)]
        yield from (Path(top, name) for name in (*folders, *files) if not _is_hidden_name(name))


def _is_hidden(path: Path, *, below: Path) -> bool:
    """Whether a file, or a folder on the way to it, is hidden."""
    return any(_is_hidden_name(part) for part in path.relative_to(below).parts)


def _is_hidden_name(name: str) -> bool:
    """Whether it belongs to other programs: thumbnails, bins and notes."""
    return name.startswith(".") or name in _OF_OTHER_PROGRAMS


def _no_pictures(root: Path, labels: Sequence[str]) -> DataError:
    counts = {label: len(_files_below(root / label)) for label in labels}
    classes = [f"{label!r} ({count:,} file{'' if count == 1 else 's'})" for label, count in counts.items()]
    what, which = ("this class", "the folder") if len(labels) == 1 else ("these classes", "the folders")
    return DataError(
        f"No picture can be read of {what} in {root}: {_some_of(classes)}. Add pictures, or remove {which}."
    )
