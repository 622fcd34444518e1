"""The three things that `--data` may name, each read into the same small structure.

`cifar10`   torchvision's data set, downloaded with its checksum
FILE.npz    x_train, y_train, x_test, y_test: uint8 (n, height, width, 3) and integer labels; `labels` optional
FOLDER      one sub-folder per class, or train/ and test/ with one sub-folder per class each
"""

import hashlib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from models.pictures import Picture
from models.preprocessing import InputSpec, to_images
from models.record import Record
from training.errors import DataError
from training.findings import Findings, collect
from training.folders import (
    Places,
    Tree,
    choose_side,
    copies_in,
    find_parts,
    read_tree,
    report_unreadable,
    split_tree,
)
from training.picture_cache import Report

CIFAR10 = "cifar10"
CIFAR10_LABELS = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""The beginner's tutorial's words for the ten classes, in the official order."""
_OFFICIAL_NAMES = {"airplane": "plane", "automobile": "car"}
_MOST_CLASSES = 1_000_000  # more is a mistake in the file, and a table over them would fill the memory
_CIFAR10_TARGETS_SHA256 = "3edb456524d5918aefded81f5aef7c32efab2a788211df998a4eb0c8957baa1f"
"""Of the 60,000 official labels in order, one byte each: an archive without names that has them is CIFAR-10."""


@dataclass(frozen=True)
class Split:
    """Pictures of the network's size and their classes.

    Attributes:
        images: uint8 (n, height, width, 3).
        targets: int64 (n,), places in the labels.
        files: n paths below the folder that was named, where there is one; else empty.
    """

    images: Tensor
    targets: Tensor
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.targets)

    def names(self, part: str) -> tuple[str, ...]:
        """Return the files, or `part[0]`, `part[1]`, … where there are none."""
        return self.files or tuple(f"{part}[{place}]" for place in range(len(self)))


@dataclass(frozen=True)
class Dataset:
    """What a training starts from.

    Attributes:
        name: for the record, in words.
        labels: in the order of the targets.
        train: to learn from.
        test: to measure on.
        held_out: taken from the training pictures by `training.held_out`, to choose and to calibrate on;
            None where everything is learnt from.
        findings: what reading a folder found; None for what is no folder.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    test: Split
    held_out: Split | None = None
    findings: Findings | None = None

    def __post_init__(self) -> None:
        """Refuse names that could not be written into a checkpoint, before anything is trained.

        Raises:
            DataError: a label is empty, stands twice, or is no Unicode text.
        """
        for label in self.labels:
            if not label or label != label.encode("utf-8", "replace").decode():
                raise DataError(f"{self.name}: the class name {label!r} is no Unicode text. Rename it.")
        if len(set(self.labels)) != len(self.labels):
            raise DataError(f"{self.name}: a class name stands twice in {', '.join(self.labels)}. Rename one.")


def fingerprint(labels: tuple[str, ...], train: Split) -> str:
    """SHA-256 over labels, training pictures and their classes: what a checkpoint remembers of its data."""
    digest = hashlib.sha256("\n".join(labels).encode())
    digest.update(train.images.numpy().tobytes())
    digest.update(train.targets.to(torch.int32).numpy().tobytes())
    return digest.hexdigest()


def read_dataset(source: str, *, seed: int, cache: Path, report: Report, input_size: int | None = None) -> Dataset:
    """Read what `--data` names, to train on it.

    Args:
        source: `cifar10`, an .npz file or a folder.
        seed: of the split, where a folder has no test part.
        cache: folder for downloads and decoded pictures.
        report: told of the progress, a sentence at a time.
        input_size: side of the images in pixels; None leaves arrays as they are, and lets the sizes of a
            folder's pictures decide.

    Raises:
        DataError: it is none of the three, or cannot be used.
    """
    path = Path(source)
    if source == CIFAR10:
        return _sized(_read_cifar10(cache), input_size)
    if path.is_dir():
        side = input_size or choose_side(path)
        return _read_folder(path, InputSpec(height=side, width=side), seed=seed, cache=cache, report=report)
    if path.suffix == ".npz" and path.is_file():
        return _sized(_read_archive(path), input_size)
    raise DataError(
        f"--data {source} is neither 'cifar10', nor an existing .npz file, nor a folder. "
        "Check the path; a folder needs one sub-folder of pictures per class."
    )


def read_test(source: str, record: Record, *, cache: Path, report: Report) -> tuple[str, Split]:
    """Read what `--data` names, to measure a checkpoint on it.

    The test part counts. A folder without one counts as a whole, unless the checkpoint was trained on
    it: then only the part that was held out does.

    Args:
        source: `cifar10`, an .npz file or a folder.
        record: of the checkpoint; its labels number the classes, its input shapes the images.
        cache: folder for downloads and decoded pictures.
        report: told what was skipped, a sentence at a time.

    Returns:
        What it is, in words, and the pictures.

    Raises:
        DataError: it cannot be used, or has a class that the checkpoint does not know.
    """
    path = Path(source)
    if path.is_dir():
        name, labels, split = _read_test_folder(path, record, cache=cache, report=report)
    elif path.suffix == ".npz" and path.is_file():
        name, labels, split = _read_test_archive(path, record)
    else:
        dataset = read_dataset(source, seed=record.training.seed, cache=cache, report=report)
        name, labels, split = f"{dataset.name} test", dataset.labels, dataset.test
    return name, _fit(_match_labels(split, found=labels, wanted=record.labels), record.input)


def _match_labels(split: Split, *, found: tuple[str, ...], wanted: tuple[str, ...]) -> Split:
    """Number a split's classes as a checkpoint does.

    CIFAR-10's official names and the tutorial's short ones are taken as the same, unless both are there.

    Args:
        split: with targets that are places in `found`.
        found: labels of the data.
        wanted: labels of the checkpoint.

    Raises:
        DataError: the data has a class that the checkpoint does not know.
    """
    exact = {label: place for place, label in enumerate(wanted)}
    known = {_OFFICIAL_NAMES.get(label, label): place for label, place in exact.items()} | exact
    names = [label if label in exact else _OFFICIAL_NAMES.get(label, label) for label in found]
    unknown = [label for label, name in zip(found, names, strict=True) if name not in known]
    if unknown:
        raise DataError(
            f"The checkpoint does not know {', '.join(unknown)}; its labels are {', '.join(wanted)}. "
            "Name the data's classes as the checkpoint does, or train on this data."
        )
    places = torch.tensor([known[name] for name in names])
    return replace(split, targets=places[split.targets])


def _read_cifar10(cache: Path) -> Dataset:
    from torchvision import datasets  # noqa: PLC0415 - 1 s of import, and only here

    try:
        parts = [datasets.CIFAR10(str(cache), train=train, download=True) for train in (True, False)]
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"CIFAR-10 could not be downloaded into {cache} ({error}). Check the network, put the official "
            "cifar-10-python.tar.gz there yourself, or use --data FILE.npz."
        ) from error
    train, test = (Split(torch.from_numpy(part.data), torch.tensor(part.targets)) for part in parts)
    return Dataset("CIFAR-10", CIFAR10_LABELS, train, test)


def _read_archive(path: Path) -> Dataset:
    arrays = _load_arrays(path, ("train", "test"))
    train, test = _read_split(path, arrays, "train"), _read_split(path, arrays, "test")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(f"{path}: training and test pictures differ in size; both must be the same.")
    classes = int(max(train.targets.max(), test.targets.max())) + 1
    if classes > len(train):
        raise DataError(
            f"{path}: labels up to {classes - 1}; there cannot be more classes than the {len(train)} "
            "training pictures."
        )
    labels = _stored_labels(path, arrays)
    if labels is None and _is_cifar10(train, test):
        labels = CIFAR10_LABELS
    labels = labels or tuple(str(place) for place in range(classes))
    if len(labels) < max(2, classes):
        raise DataError(f"{path}: labels {list(labels)} for classes 0 to {classes - 1}; one each, at least two.")
    return Dataset(path.stem, labels, train, test)


def _read_test_archive(path: Path, record: Record) -> tuple[str, tuple[str, ...], Split]:
    """Read the test part alone; classes without names are places in the checkpoint's labels."""
    arrays = _load_arrays(path, ("test",))
    test = _read_split(path, arrays, "test")
    labels = _stored_labels(path, arrays) or record.labels
    if int(test.targets.max()) >= len(labels):
        raise DataError(
            f"{path}: y_test goes up to {int(test.targets.max())}, and there are {len(labels)} labels: "
            f"{', '.join(labels)}. Measure a checkpoint that knows these classes."
        )
    return f"{path.stem} test", labels, test


def _load_arrays(path: Path, parts: tuple[str, ...]) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path} cannot be read as an .npz archive without pickles: {error}.") from error
    arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    missing = [name for part in parts for name in (f"x_{part}", f"y_{part}") if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(arrays) or 'nothing'}.")
    return arrays


def _read_split(path: Path, arrays: dict[str, npt.NDArray[np.generic]], part: str) -> Split:
    targets = torch.from_numpy(_check_targets(path, arrays, part))
    return Split(_check_images(path, arrays, part), targets)


def _check_images(path: Path, arrays: dict[str, npt.NDArray[np.generic]], part: str) -> Tensor:
    images = arrays[f"x_{part}"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise DataError(
            f"{path}: x_{part} is {images.dtype} {list(images.shape)}; uint8 (n, height, width, 3) is needed."
        )
    if len(images) != len(arrays[f"y_{part}"]):
        raise DataError(f"{path}: {len(images)} pictures in x_{part}, {len(arrays[f'y_{part}'])} labels.")
    return torch.from_numpy(np.ascontiguousarray(images))


def _check_targets(path: Path, arrays: dict[str, npt.NDArray[np.generic]], part: str) -> npt.NDArray[np.int64]:
    targets = arrays[f"y_{part}"]
    targets = targets.squeeze(1) if targets.ndim == 2 and targets.shape[1] == 1 else targets
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise DataError(f"{path}: y_{part} is {targets.dtype} {list(targets.shape)}; integers (n,) are needed.")
    if not len(targets):
        raise DataError(f"{path}: y_{part} is empty; at least one picture is needed.")
    if int(targets.min()) < 0 or int(targets.max()) >= _MOST_CLASSES:
        raise DataError(
            f"{path}: y_{part} holds {targets.min()} to {targets.max()}; labels are counted from 0, "
            f"to {_MOST_CLASSES - 1:,} at most."
        )
    return targets.astype(np.int64)


def _stored_labels(path: Path, arrays: dict[str, npt.NDArray[np.generic]]) -> tuple[str, ...] | None:
    return _as_texts(path, arrays["labels"]) if "labels" in arrays else None


def _as_texts(path: Path, stored: npt.NDArray[np.generic]) -> tuple[str, ...]:
    try:
        return tuple(str(label) for label in stored.astype(str).ravel().tolist())
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: the labels are bytes that are no ASCII text ({error}). Store them as text."
        ) from error


def _is_cifar10(train: Split, test: Split) -> bool:
    joined = torch.cat([train.targets, test.targets])
    if len(joined) != 60_000 or joined.max() > 9:
        return False
    return hashlib.sha256(joined.to(torch.uint8).numpy().tobytes()).hexdigest() == _CIFAR10_TARGETS_SHA256


def _read_folder(root: Path, spec: InputSpec, *, seed: int, cache: Path, report: Report) -> Dataset:
    name = root.resolve().name
    train_root, test_root = find_parts(root)
    if (train_root is None) != (test_root is None):
        raise DataError(
            f"{root} has {(train_root or test_root or root).name}/ but no other part. Add train/ and test/ both, "
            "or name the folder that holds the class folders: it is then split by --seed."
        )
    if train_root is None or test_root is None:
        tree = read_tree(root, spec=spec, cache=cache, report=report)
        copies = copies_in([tree])
        train, test = split_tree(tree, copies, seed=seed)
        findings = collect(
            name,
            tree.labels,
            files=[read.file for read in tree.pictures.read],
            targets=tree.targets,
            is_test=np.isin(np.arange(len(tree)), test),
            copies=copies,
            unreadable=tree.pictures.unreadable,
        )
        return Dataset(name, tree.labels, _take(tree, train), _take(tree, test), findings=findings)
    tree = read_tree(train_root, spec=spec, cache=cache, report=report)
    test_tree = read_tree(test_root, spec=spec, cache=cache, report=report, fewest_classes=1)
    strangers = sorted(set(test_tree.labels) - set(tree.labels))
    if strangers:
        raise DataError(f"{test_root} has the classes {', '.join(strangers)}, which {train_root} has not.")
    return _two_parts(name, (train_root.name, tree), (test_root.name, _renumbered(test_tree, tree.labels)))


def _two_parts(name: str, train: tuple[str, Tree], test: tuple[str, Tree]) -> Dataset:
    """Join two trees that number their classes alike."""
    (train_name, tree), (test_name, test_tree) = train, test
    splits = (_whole(tree, below=f"{train_name}/"), _whole(test_tree, below=f"{test_name}/"))
    findings = collect(
        name,
        tree.labels,
        files=[file for split in splits for file in split.files],
        targets=np.concatenate([tree.targets, test_tree.targets]),
        is_test=np.arange(len(tree) + len(test_tree)) >= len(tree),
        copies=copies_in([tree, test_tree]),
        unreadable=[
            replace(item, file=f"{part}/{item.file}")
            for part, some in (train, test)
            for item in some.pictures.unreadable
        ],
    )
    return Dataset(name, tree.labels, *splits, findings=findings)


def _read_test_folder(
    root: Path, record: Record, *, cache: Path, report: Report
) -> tuple[str, tuple[str, ...], Split]:
    name = root.resolve().name
    _, test_root = find_parts(root)
    tree = read_tree(test_root or root, spec=record.input, cache=cache, report=report, fewest_classes=1)
    report_unreadable(tree.pictures, report)
    if test_root is None and tree.labels == record.labels:
        held_out = _held_out(tree, record)
        if held_out is not None:
            return f"{name}, the part held out in training", tree.labels, held_out
        report(
            f"{name} has no test part, and is not what the checkpoint was trained on, or has changed: all "
            "of it counts. If the training saw some of it, the figures are too good."
        )
    below = f"{test_root.name}/" if test_root else ""
    return f"{name} {'test' if test_root else 'whole'}", tree.labels, _whole(tree, below=below)


def _held_out(tree: Tree, record: Record) -> Split | None:
    """Return what a checkpoint's training held out of a tree; None if it was not trained on it."""
    try:
        train, test = split_tree(tree, copies_in([tree]), seed=record.training.seed)
    except DataError:
        return None
    is_same = fingerprint(tree.labels, _take(tree, train)) == record.training.data_fingerprint
    return _take(tree, test) if is_same else None


def _sized(dataset: Dataset, side: int | None) -> Dataset:
    """Bring arrays to the size that was asked for; None leaves them."""
    if side is None:
        return dataset
    spec = InputSpec(height=side, width=side)
    return replace(dataset, train=_fit(dataset.train, spec), test=_fit(dataset.test, spec))


def _fit(split: Split, spec: InputSpec) -> Split:
    """Bring images of another size to the network's, as the service would."""
    if split.images.shape[1:3] == (spec.height, spec.width):
        return split
    height, width = split.images.shape[1:3]
    pictures = [Picture(Image.fromarray(image.numpy()), "PNG", width, height) for image in split.images]
    return replace(split, images=torch.from_numpy(to_images(pictures, spec)))


def _take(tree: Tree, places: Places) -> Split:
    """Copy some pictures of a tree into memory."""
    images = torch.from_numpy(np.asarray(tree.pictures.images[places]))
    files = tuple(tree.pictures.read[place].file for place in places)
    return Split(images, torch.from_numpy(tree.targets[places]), files)


def _whole(tree: Tree, *, below: str) -> Split:
    """Take all pictures of a tree as they lie in the cache, without a copy."""
    files = tuple(below + read.file for read in tree.pictures.read)
    return Split(torch.from_numpy(np.asarray(tree.pictures.images)), torch.from_numpy(tree.targets), files)


def _renumbered(tree: Tree, labels: tuple[str, ...]) -> Tree:
    places = np.array([labels.index(label) for label in tree.labels], np.int64)
    return replace(tree, labels=labels, targets=places[tree.targets])
