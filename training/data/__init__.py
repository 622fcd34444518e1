"""The three things that `--data` may name, each read into the same small structure.

`cifar10`   torchvision's data set, downloaded with its checksum; a folder of that name is `./cifar10`
FILE.npz    x_train, y_train, x_test, y_test: uint8 (n, height, width, 3), or (n, height, width) of grey pictures,
            and integer labels; x_val and y_val, and `labels`, optional
FOLDER      one sub-folder per class, or train/ and test/ with one sub-folder per class each, and val/ beside them
"""

from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from models.pictures import Picture
from models.preprocessing import InputSpec, to_images
from models.record import Record
from training.data import cifar10
from training.data.archives import has_val_arrays, read_archive, read_test_archive
from training.data.class_trees import choose_side, composed, find_parts
from training.data.dataset import Dataset, Split
from training.data.folder_dataset import read_folder, read_test_folder
from training.data.picture_cache import Report
from training.errors import DataError
from training.nearest import nearest_data

CIFAR10 = "cifar10"
_UNKNOWN = -1
"""In place of a class that the checkpoint does not know, and that no picture has."""


def read_dataset(
    source: str,
    *,
    seed: int,
    cache: Path,
    report: Report,
    input_size: int | None = None,
    takes_val: bool = False,
) -> Dataset:
    """Read what `--data` names, to train on it.

    Args:
        source: `cifar10`, an .npz file or a folder.
        seed: of the split, where a folder has no test part.
        cache: folder for downloads and decoded pictures.
        report: told of the progress, a sentence at a time.
        input_size: side of the images in pixels; None leaves arrays as they are, and lets the sizes of a
            folder's pictures decide.
        takes_val: whether a val part is read, too: a folder's val/ where it lies beside a test part, an archive's
            x_val and y_val.

    Raises:
        DataError: it is none of the three, or cannot be used.
    """
    path = Path(source)
    if source == CIFAR10:
        return _sized(cifar10.download(cache), input_size)
    if path.is_dir():
        side = input_size or choose_side(path)
        spec = InputSpec(height=side, width=side)
        return read_folder(path, spec, seed=seed, cache=cache, report=report, takes_val=takes_val)
    if is_archive(source):
        return _sized(read_archive(path, report=report, takes_val=takes_val), input_size)
    if path.is_file():
        raise DataError(
            f"--data {source} is a file, but no .npz archive. If it packs pictures, unpack it and name the folder."
        )
    meant = nearest_data(source, words=[CIFAR10])
    raise DataError(
        f"--data {source} is neither 'cifar10', nor an existing .npz file, nor a folder. "
        + ("" if meant is None else f"Did you mean {meant}? ")
        + "Check the path; a folder needs one sub-folder of pictures per class."
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
    if source != CIFAR10 and path.is_dir():
        name, labels, split = read_test_folder(path, record, cache=cache, report=report)
    elif is_archive(source):
        name, labels, split = read_test_archive(path, record, report=report)
    else:
        dataset = read_dataset(source, seed=record.training.seed, cache=cache, report=report)
        name, labels, split = f"{dataset.name} test", dataset.labels, dataset.test
    return name, _fit(_match_labels(split, found=labels, wanted=record.labels), record.input)


def has_val(source: str) -> bool:
    """Whether what `--data` names has a val part.

    Raises:
        DataError: it is an archive that cannot be read.
    """
    if is_archive(source):
        return has_val_arrays(Path(source))
    return source != CIFAR10 and Path(source).is_dir() and find_parts(Path(source)).val is not None


def is_archive(source: str) -> bool:
    """Whether what `--data` names is an .npz file."""
    path = Path(source)
    return path.suffix.lower() == ".npz" and path.is_file()


def _match_labels(split: Split, *, found: tuple[str, ...], wanted: tuple[str, ...]) -> Split:
    """Number a split's classes as a checkpoint does.

    CIFAR-10's official names and the tutorial's short ones are taken as the same, unless both are there.

    Args:
        split: with targets that are places in `found`.
        found: labels of the data.
        wanted: labels of the checkpoint.

    Raises:
        DataError: a picture has a class that the checkpoint does not know.
    """
    exact = {composed(label): place for place, label in enumerate(wanted)}
    known = {cifar10.OFFICIAL_NAMES.get(label, label): place for label, place in exact.items()} | exact
    spelt = [composed(label) for label in found]
    names = [label if label in exact else cifar10.OFFICIAL_NAMES.get(label, label) for label in spelt]
    places = torch.tensor([known.get(name, _UNKNOWN) for name in names])
    targets = places[split.targets]
    unknown = [found[place] for place in sorted(set(split.targets[targets == _UNKNOWN].tolist()))]
    if unknown:
        raise DataError(
            f"The checkpoint does not know {', '.join(unknown)}; its labels are {', '.join(wanted)}. "
            "Name the data's classes as the checkpoint does, or train on this data."
        )
    return replace(split, targets=targets)


def _sized(dataset: Dataset, side: int | None) -> Dataset:
    """Bring arrays to the size that was asked for; None leaves them."""
    if side is None:
        return dataset
    spec = InputSpec(height=side, width=side)
    val = None if dataset.val is None else _fit(dataset.val, spec)
    return replace(dataset, train=_fit(dataset.train, spec), test=_fit(dataset.test, spec), val=val)


def _fit(split: Split, spec: InputSpec) -> Split:
    return replace(split, images=fit_images(split.images, spec))


def fit_images(images: Tensor, spec: InputSpec) -> Tensor:
    """Bring images of another size to the network's, as the service would.

    Args:
        images: uint8 (n, height, width, 3).
        spec: of the network.

    Returns:
        uint8 (n, spec.height, spec.width, 3).
    """
    if images.shape[1:3] == (spec.height, spec.width):
        return images
    height, width = images.shape[1:3]
    pictures = [Picture(Image.fromarray(image.numpy()), "PNG", width, height) for image in images]
    return torch.from_numpy(to_images(pictures, spec))
