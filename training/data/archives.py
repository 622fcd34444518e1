"""Archives of NumPy's: x_train, y_train, x_test, y_test; if they are there x_val, y_val, and the labels' names."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.record import Record
from training.data import cifar10
from training.data.dataset import MOST_CLASSES, Dataset, Split, to_unicode
from training.data.npz import read_arrays, read_pieces
from training.data.picture_cache import Report
from training.errors import DataError

_NAMED = 5
_PICTURES = ("x_test", "x_train", "x")
"""Arrays of pictures, where no labels are needed: the first that is there."""
_WHITE = 255


def read_archive(path: Path, *, report: Report, takes_val: bool = False) -> Dataset:
    """Read the parts of an archive.

    Args:
        path: of the archive.
        report: told of a val part that is not used.
        takes_val: whether x_val and y_val are read, too, where they are there.

    Raises:
        DataError: it cannot be read, or an array is not what it should be.
    """
    val_names = _val_names(path)
    if val_names and not takes_val:
        report(f"not used: {', '.join(val_names)}")
    arrays = _load_arrays(path, ("train", "test"))
    train, test = _read_split(path, arrays, "train"), _read_split(path, arrays, "test")
    _refuse_other_size(path, train.images, test.images)
    labels = _name_classes(path, arrays, train.targets, test.targets)
    val = _read_val(path, labels, train) if takes_val and val_names else None
    return Dataset(to_unicode(path.stem), labels, train, test, val=val)


def has_val_arrays(path: Path) -> bool:
    """Whether an archive has a val part, or one of its two arrays.

    Raises:
        DataError: it cannot be read.
    """
    return len(_val_names(path)) > 0


def _read_val(path: Path, labels: tuple[str, ...], train: Split) -> Split:
    try:
        val = _read_split(path, _load_arrays(path, ("val",)), "val")
        _refuse_other_size(path, train.images, val.images, part="val")
        _refuse_strangers(path, labels, train.targets, val.targets, part="val")
    except DataError as error:
        raise DataError(
            f"{error} An archive need not have x_val and y_val, and train --held-out N does not look at them."
        ) from error
    return val


def _val_names(path: Path) -> list[str]:
    held, _ = read_arrays(path, ())
    return [name for name in ("x_val", "y_val") if name in held]


def read_learnt_archive(path: Path) -> tuple[tuple[str, ...], Tensor, Iterator[Tensor]]:
    """Read the training part of an archive some pictures at a time: whole it may be most of the memory.

    Returns:
        Labels, targets, and the pictures in order, uint8 (some, height, width, 3): as those of `read_archive`.

    Raises:
        DataError: as `read_archive`; what is wrong with the pictures, when they are read.
    """
    arrays = _load_arrays(path, ("train", "test"), kinds=("y",))
    learnt, measured = (torch.from_numpy(_check_targets(path, arrays, part)) for part in ("train", "test"))
    some_measured = next(_read_images(path, "x_test"))
    labels = _name_classes(path, arrays, learnt, measured)

    def pieces() -> Iterator[Tensor]:
        for images in _read_images(path, "x_train"):
            _refuse_other_size(path, images, some_measured)
            yield images

    return labels, learnt, pieces()


def _read_images(path: Path, name: str) -> Iterator[Tensor]:
    return (_check_images(path, rows, name) for rows in read_pieces(path, name))


def _refuse_other_size(path: Path, learnt: Tensor, others: Tensor, *, part: str = "test") -> None:
    if learnt.shape[1:] != others.shape[1:]:
        raise DataError(f"{path}: training and {part} pictures differ in size; both must be the same.")


def _refuse_strangers(
    path: Path, labels: tuple[str, ...], learnt: Tensor, others: Tensor, *, part: str = "test"
) -> None:
    """Refuse classes that nothing teaches."""
    strangers = sorted(set(others.tolist()) - set(learnt.tolist()))
    if strangers:
        named = ", ".join(labels[place] if place < len(labels) else str(place) for place in strangers)
        raise DataError(
            f"{path}: y_{part} has the classes {named}, which y_train has not. Add training pictures of them, or "
            f"take them out of the {part} part."
        )


def _name_classes(
    path: Path, arrays: dict[str, npt.NDArray[np.generic]], learnt: Tensor, measured: Tensor
) -> tuple[str, ...]:
    """Give the classes of an archive their names: those in it, CIFAR-10's, or their numbers.

    Args:
        path: of the archive.
        arrays: of it, with `labels` where it has them.
        learnt: int64 (n,), classes of the training part.
        measured: int64 (n,), those of the test part.

    Raises:
        DataError: the numbers of the classes do not go with each other, or with the names.
    """
    classes = int(max(learnt.max(), measured.max())) + 1
    if classes > len(learnt):
        raise DataError(
            f"{path}: labels up to {classes - 1}; there cannot be more classes than the {len(learnt)} "
            "training pictures."
        )
    labels = _stored_labels(path, arrays)
    if labels is None and cifar10.is_cifar10(learnt, measured):
        labels = cifar10.LABELS
    has_names = labels is not None
    labels = labels or tuple(str(place) for place in range(classes))
    if len(labels) < max(2, classes):
        raise DataError(f"{path}: labels {list(labels)} for classes 0 to {classes - 1}; one each, at least two.")
    _refuse_strangers(path, labels, learnt, measured)
    if not has_names:
        _refuse_gaps(path, learnt, labels)
    return labels


def _refuse_gaps(path: Path, learnt: Tensor, labels: tuple[str, ...]) -> None:
    """Refuse classes without pictures where nobody named them: labels that are counted from 1, say."""
    without = sorted(set(range(len(labels))) - set(learnt.tolist()))
    if without:
        some = ", ".join(map(str, without[:_NAMED])) + ("…" if len(without) > _NAMED else "")
        raise DataError(
            f"{path}: no picture of y_train has the label {some}. Store the names of all classes in `labels`, or "
            f"count them from 0 without gaps: {_recount(path)}."
        )


def read_test_archive(path: Path, record: Record, *, report: Report) -> tuple[str, tuple[str, ...], Split]:
    """Read the test part alone; classes without names are places in the checkpoint's labels.

    Args:
        path: of the archive.
        record: of the checkpoint.
        report: told which classes the numbers are taken for, where the archive does not say.

    Returns:
        What it is, in words; its labels; the pictures.

    Raises:
        DataError: as `read_archive`, or a class is none of the checkpoint's.
    """
    arrays = _load_arrays(path, ("test",))
    test = _read_split(path, arrays, "test")
    stored = _stored_labels(path, arrays)
    labels = stored or record.labels
    if int(test.targets.max()) >= len(labels):
        raise DataError(
            f"{path}: y_test goes up to {int(test.targets.max())}, and there are {len(labels)} labels: "
            f"{', '.join(labels)}. Measure a checkpoint that knows these classes."
        )
    if stored is None and labels != tuple(map(str, range(len(labels)))):
        taken = ", ".join(f"{place} for {label}" for place, label in enumerate(labels[:_NAMED]))
        more = " and so on" if len(labels) > _NAMED else ""
        report(f"{path} has no `labels`: its numbers are taken for the checkpoint's classes, {taken}{more}")
    return f"{path.stem} test", labels, test


def read_images(path: Path) -> Tensor:
    """Read the pictures of an archive alone, whatever they show.

    Returns:
        uint8 (n, height, width, 3): of `x_test` or, where there is none, of `x_train` or `x`.

    Raises:
        DataError: it cannot be read, or holds no pictures under these names.
    """
    held: list[str] = []
    for name in _PICTURES:  # one after the other: what is not needed may be large
        held, arrays = read_arrays(path, (name,))
        if name in arrays and arrays[name].size:
            return _check_images(path, arrays[name], name)
    raise DataError(
        f"{path} holds no pictures under {', '.join(_PICTURES)}; it holds {', '.join(held) or 'nothing'}. Store "
        "them under one of these names: uint8 (n, height, width, 3)."
    )


def _load_arrays(
    path: Path, parts: tuple[str, ...], *, kinds: tuple[str, ...] = ("x", "y")
) -> dict[str, npt.NDArray[np.generic]]:
    """Load what the parts need, and the labels; whatever else lies in the archive is not looked at."""
    needed = [f"{kind}_{part}" for part in parts for kind in kinds]
    held, arrays = read_arrays(path, (*needed, "labels"))
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(held) or 'nothing'}."
            f"{_advice_on_names(path, held)}"
        )
    return arrays


def _advice_on_names(path: Path, held: list[str]) -> str:
    """Say how an archive of MedMNIST's is stored with the names that are needed; nothing of other archives."""
    if not {f"{part}_{kind}" for part in ("train", "test") for kind in ("images", "labels")} <= set(held):
        return ""
    parts = [part for part in ("train", "val", "test") if {f"{part}_images", f"{part}_labels"} <= set(held)]
    arrays = ", ".join(
        f"{to}_{part}=a['{part}_{kind}']" for to, kind in (("x", "images"), ("y", "labels")) for part in parts
    )
    new = path.with_name(f"{path.stem}-renamed.npz")
    return f" Store them so: a = numpy.load({str(path)!r}); numpy.savez({str(new)!r}, {arrays})"


def _read_split(path: Path, arrays: dict[str, npt.NDArray[np.generic]], part: str) -> Split:
    targets = torch.from_numpy(_check_targets(path, arrays, part))
    images = _check_images(path, arrays[f"x_{part}"], f"x_{part}")
    if len(images) != len(targets):
        raise DataError(f"{path}: {len(images)} pictures in x_{part}, {len(targets)} labels.")
    return Split(images, targets)


def _check_images(path: Path, images: npt.NDArray[np.generic], name: str) -> Tensor:
    is_flattened = images.ndim == 3 and 3 in images.shape[1:]
    channels = images.shape[3] if images.ndim == 4 else 1 if images.ndim == 3 and not is_flattened else 0
    if images.dtype != np.uint8 or channels not in (1, 3):
        raise DataError(
            f"{path}: {name} is {images.dtype} {list(images.shape)}; uint8 (n, height, width, 3) is needed, or "
            f"(n, height, width) where pictures are grey.{_advice_on_images(images)}"
        )
    if 0 in images.shape[1:3]:
        raise DataError(
            f"{path}: the pictures in {name} are {images.shape[1]} × {images.shape[2]} pixels; at least 1 × 1 "
            "is needed. Write the archive again."
        )
    if channels == 1:
        images = np.repeat(images.reshape(*images.shape[:3], 1), 3, axis=3)
    return torch.from_numpy(np.ascontiguousarray(images))


def _check_targets(path: Path, arrays: dict[str, npt.NDArray[np.generic]], part: str) -> npt.NDArray[np.int64]:
    targets = arrays[f"y_{part}"]
    targets = targets.squeeze(1) if targets.ndim == 2 and targets.shape[1] == 1 else targets
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise DataError(
            f"{path}: y_{part} is {targets.dtype} {list(targets.shape)}; integers (n,) are needed."
            f"{_advice_on_targets(path, targets)}"
        )
    if not len(targets):
        raise DataError(f"{path}: y_{part} is empty; at least one picture is needed.")
    if int(targets.min()) < 0 or int(targets.max()) >= MOST_CLASSES:
        raise DataError(
            f"{path}: y_{part} holds {targets.min()} to {targets.max()}; labels are counted from 0, "
            f"to {MOST_CLASSES - 1:,} at most."
        )
    return targets.astype(np.int64)


def _advice_on_images(images: npt.NDArray[np.generic]) -> str:
    """Say how pictures that other programs write become what is needed; nothing of what cannot be."""
    is_float = np.issubdtype(images.dtype, np.floating)
    is_number = is_float or np.issubdtype(images.dtype, np.integer)
    if not is_number or not images.size or images.ndim not in (3, 4):
        return ""
    expression, channels = "x", 1 if images.ndim == 3 else images.shape[3]
    if images.ndim == 3 and 3 in images.shape[1:]:
        is_first, length = images.shape[1] == 3, max(images.shape[1:])
        side = math.isqrt(length)
        if side * side != length:
            return ""
        pixels = (3, side, side) if is_first else (side, side, 3)
        expression = f"x.reshape(-1, {', '.join(map(str, pixels))}){'.transpose(0, 2, 3, 1)' if is_first else ''}"
    elif channels not in (1, 3) and images.shape[1] in (1, 3):
        expression, channels = "x.transpose(0, 2, 3, 1)", images.shape[1]
    lowest, highest = float(images.min()), float(images.max())
    if channels not in (1, 3) or not 0 <= lowest <= highest <= _WHITE:
        return ""
    if is_float:
        expression = f"({f'{_WHITE} * ' if highest <= 1 else ''}{expression}).round()"
    if images.dtype != np.uint8:
        expression += ".astype('uint8')"
    return f" Made of this array: {expression}"


def _recount(path: Path) -> str:
    """Say how labels are numbered from 0, all parts by one table.

    Numbered apart, a class that is in one of them alone would shift the others.
    """
    parts = ["y_train", *(name for name in _val_names(path) if name == "y_val"), "y_test"]
    ends = ", ".join(" + ".join(f"len({part})" for part in parts[:end]) for end in range(1, len(parts)))
    listed = ", ".join(parts)
    return (
        f"labels, y = numpy.unique(numpy.concatenate([{listed}]), return_inverse=True); "
        f"{listed} = numpy.split(y, [{ends}])"
    )


def _advice_on_targets(path: Path, targets: npt.NDArray[np.generic]) -> str:
    """Say how labels that other programs write become what is needed."""
    if targets.ndim == 2:
        return " A column for each class becomes numbers by y.argmax(1)."
    if targets.ndim == 1:
        return f" Names, and numbers of another kind, become them by {_recount(path)}."
    return ""


def _stored_labels(path: Path, arrays: dict[str, npt.NDArray[np.generic]]) -> tuple[str, ...] | None:
    return _as_texts(path, arrays["labels"]) if "labels" in arrays else None


def _as_texts(path: Path, stored: npt.NDArray[np.generic]) -> tuple[str, ...]:
    if stored.size != max(stored.shape, default=0):
        raise DataError(f"{path}: labels is {list(stored.shape)}; one row of names (classes,) is needed.")
    try:
        return tuple(str(label) for label in stored.astype(str).ravel().tolist())
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: the labels are bytes that are no ASCII text ({error}). Store them as text."
        ) from error
