"""Reading data as the training of a checkpoint did, to calibrate or quantize it with the same pictures."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from models.record import Record
from training.data import CIFAR10, fit_images, is_archive, read_dataset
from training.data.archives import read_learnt_archive
from training.data.class_trees import find_parts
from training.data.dataset import Dataset, Split, fingerprint, fingerprint_of_pieces
from training.data.folder_dataset import read_all_but, read_learnt
from training.data.held_out import (
    COPIES_TOGETHER,
    FEWEST_FOR_RULE,
    HELD_OUT_FINGERPRINT,
    HELD_OUT_PART,
    VAL,
    set_aside,
)
from training.data.leaks import Leaked, digests, find_equal, find_leaked
from training.data.picture_cache import Report
from training.errors import DataError, TrainingError


def read_as_trained(source: str, record: Record, *, cache: Path, report: Report) -> Dataset:
    """Read a data set and divide it as the training of a checkpoint did.

    Args:
        source: `cifar10`, an .npz file or a folder.
        record: of the checkpoint; its fingerprint must be that of the data, its seed draws the same part.
        cache: folder for downloads and decoded pictures.
        report: told what was skipped, a sentence at a time.

    Raises:
        DataError: it cannot be read, is not what the checkpoint was trained on, or would hold out other pictures.
    """
    seed = record.training.seed
    dataset = _read(source, record, cache=cache, report=report)
    found = fingerprint(dataset.labels, dataset.train)
    if found != record.training.data_fingerprint:
        raise DataError(
            f"{source} is not what the checkpoint was trained on, or has changed: the fingerprint of its training "
            f"part is {found[:12]}…, the checkpoint's is {record.training.data_fingerprint[:12]}…. Of other "
            "pictures nobody knows which it has learnt from; name the data of the training, or train again."
        )
    if holds_val_out(record):
        return _with_val(dataset, source, record)
    together = record.training.configuration.get(COPIES_TOGETHER) is True
    divided = set_aside(dataset, count=held_out_count(record), seed=seed, copies_together=together)
    then = record.training.configuration.get(HELD_OUT_FINGERPRINT)
    if then is not None and (divided.held_out is None or fingerprint(dataset.labels, divided.held_out) != then):
        raise DataError(
            f"{source} does not hold out what the training of the checkpoint did: its test part has changed, or "
            "this version finds other copies, and copies of one picture stay together. Bring the test part of the "
            "training back, or train again."
        )
    return divided


def _with_val(dataset: Dataset, source: str, record: Record) -> Dataset:
    """Hold a data set's val part out.

    Raises:
        DataError: it is not the one of the training.
    """
    if dataset.val is None:
        missing = "x_val and y_val" if is_archive(source) else "val/ beside train/ and test/"
        raise DataError(
            f"{source} has no {missing}, and the training of the checkpoint held that out. Bring it back, or "
            "train again."
        )
    divided = set_aside(dataset, count=None, seed=record.training.seed)
    then = record.training.configuration.get(HELD_OUT_FINGERPRINT)
    if divided.held_out is None or fingerprint(dataset.labels, divided.held_out) != then:
        raise DataError(
            f"{source} does not hold out what the training of the checkpoint did (pictures of the val part: "
            f"{held_out_count(record):,} then, {divided.held_out_count:,} now): it has changed, or others of them "
            "count as copies of learnt ones. Bring the val part of the training back, or train again."
        )
    return divided


def find_leaked_again(
    source: str, record: Record, measured: Split, *, cache: Path, report: Report
) -> Leaked | None:
    """Tell which test pictures have a copy among those that a checkpoint learnt.

    It is an addition to what was measured already: whatever keeps it from being found out stops nobody.

    Args:
        source: `cifar10`, an .npz file or a folder.
        record: of the checkpoint.
        measured: what `training.data.read_test` gave for the same.
        cache: folder for downloads and decoded pictures.
        report: told before a search, and of the training part of a folder, a sentence at a time.

    Returns:
        None where it is not known: of data that are not those of the training, or cannot be read, or do not fit
        into memory, and of a folder whose training part would have to be decoded first.
    """
    try:
        return _find_leaked_again(source, record, measured, cache=cache, report=report)
    except (DataError, OSError, MemoryError):  # a test part alone can be measured on
        return None


def _find_leaked_again(
    source: str, record: Record, measured: Split, *, cache: Path, report: Report
) -> Leaked | None:
    if source != CIFAR10 and Path(source).is_dir():
        if find_parts(Path(source)).test is None:
            return _find_in_undivided(Path(source), record, measured, cache=cache)
        takes_val = holds_val_out(record)
        learnt = read_learnt(Path(source), record.input, cache=cache, report=report, takes_val=takes_val)
        if learnt is None:
            return None
        if fingerprint(*learnt) != record.training.data_fingerprint:
            report(
                f"the training part of {source} is not what the checkpoint has learnt: nobody knows whether it"
                " has learnt some of what it is measured on"
            )
            return None
        report("looking for test pictures that equal or look like learnt ones")
        return find_leaked(_read(source, record, cache=cache, report=_say_nothing))
    if is_archive(source):
        return _find_in_archive(Path(source), record, measured)
    dataset = _read(source, record, cache=cache, report=_say_nothing)
    is_same = fingerprint(dataset.labels, dataset.train) == record.training.data_fingerprint
    return find_leaked(dataset) if is_same else None


def _find_in_undivided(root: Path, record: Record, measured: Split, *, cache: Path) -> Leaked | None:
    """Know that none are equal where the seed divided the folder of the training: such copies stay together."""
    learnt = read_all_but(measured, root, record, cache=cache, report=_say_nothing)
    if fingerprint(record.labels, learnt) != record.training.data_fingerprint:
        return None
    return Leaked(torch.zeros(len(measured), dtype=torch.bool), has_alike=False)


def _find_in_archive(path: Path, record: Record, measured: Split) -> Leaked | None:
    """Compare with the training part of an archive, of which only digests are kept."""
    labels, targets, pieces = read_learnt_archive(path)
    known: set[bytes] = set()

    def fitted() -> Iterator[Tensor]:
        for piece in pieces:
            images = fit_images(piece, record.input)
            known.update(digests(images))
            yield images

    is_same = fingerprint_of_pieces(labels, fitted(), targets) == record.training.data_fingerprint
    return find_equal(measured.images, known) if is_same else None


def _say_nothing(_: str) -> None:
    """Take what was told when the test part was read."""


def _read(source: str, record: Record, *, cache: Path, report: Report) -> Dataset:
    height, width = record.input.height, record.input.width
    # pictures that are no squares are an archive's own: --input-size makes squares
    side = height if height == width else None
    return read_dataset(
        source,
        seed=record.training.seed,
        cache=cache,
        report=report,
        input_size=side,
        takes_val=holds_val_out(record),
    )


def require_held_out(record: Record) -> None:
    """Refuse to calibrate a checkpoint whose training learnt from every picture.

    Raises:
        TrainingError: it did.
    """
    if not held_out_count(record):
        raise TrainingError(
            "The checkpoint was trained on all of its training pictures: nothing was held out, and on pictures "
            "that it has learnt from its scores look better than they are. Train it again with --held-out 20, say."
        )


def require_enough_for_rule(record: Record) -> None:
    """Refuse to fit an abstain rule on too few pictures.

    Raises:
        TrainingError: the training of the checkpoint held out too few.
    """
    count = held_out_count(record)
    if count < FEWEST_FOR_RULE:
        raise TrainingError(
            f"--accept is of the abstain rule, which needs {FEWEST_FOR_RULE} held-out pictures; the training held "
            f"out {count}. Leave --accept out, or train again with "
            f"{'as many in the val part, or with ' if holds_val_out(record) else ''}--held-out {FEWEST_FOR_RULE}."
        )


def holds_val_out(record: Record) -> bool:
    """Whether the training of a checkpoint held out the val part of its data, and no training pictures."""
    return record.training.configuration.get(HELD_OUT_PART) == VAL


def held_out_count(record: Record) -> int:
    """How many pictures the training of a checkpoint held out; 0 where its record does not say."""
    count = record.training.configuration.get("held_out", 0)
    return count if type(count) is int and count > 0 else 0
