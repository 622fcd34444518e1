"""Folders of pictures as data sets: both parts, or the one that a checkpoint is measured on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.preprocessing import InputSpec
from models.record import Record
from training.data.class_trees import (
    Tree,
    composed,
    find_parts,
    is_decoded,
    read_tree,
    refuse_bare,
    report_unreadable,
    report_unused,
)
from training.data.dataset import Dataset, Split, fingerprint, to_unicode
from training.data.duplicates import Copies, Places
from training.data.findings import Findings, collect, to_lines
from training.data.picture_cache import Report
from training.data.splitting import copies_in, kept_together, split_tree
from training.errors import DataError


def read_folder(root: Path, spec: InputSpec, *, seed: int, cache: Path, report: Report) -> Dataset:
    """Read a folder of pictures, and divide it where it is not divided.

    Args:
        root: with one folder per class, or with train/ and test/.
        spec: of the images that the pictures become.
        seed: of the division.
        cache: folder for decoded pictures.
        report: told of the progress, a sentence at a time, and of what was found where the folder is refused.

    Raises:
        DataError: it cannot be used.
    """
    name = to_unicode(root.resolve().name)
    train_root, test_root = find_parts(root)
    if (train_root is None) != (test_root is None):
        raise DataError(
            f"{root} has {(train_root or test_root or root).name}/ but no other part. Add train/ and test/ both, "
            "or name the folder that holds the class folders: it is then split by --seed."
        )
    report_unused(root, [part for part in (train_root, test_root) if part is not None] or [root], report)
    if train_root is None or test_root is None:
        tree = read_tree(root, spec=spec, cache=cache, report=report)
        found = copies_in([tree])
        copies = kept_together(tree, found)
        if copies is not found:
            report(
                "warning: each class holds nothing but copies of one picture, or what looks like pictures of "
                "another class. So that something can be measured on, pictures that look alike count as different"
            )
        try:
            train, test = split_tree(tree, copies, seed=seed)
        except DataError:
            for line in to_lines(_findings(name, tree, copies, np.zeros(0, np.int64))):
                report(line)  # the reason may be among it
            raise
        findings = _findings(name, tree, copies, test)
        return Dataset(
            name, tree.labels, _take(tree, train), _take(tree, test), findings=findings, is_test_drawn=True
        )
    refuse_bare(test_root)  # before the other part is decoded
    tree = read_tree(train_root, spec=spec, cache=cache, report=report)
    test_tree = read_tree(test_root, spec=spec, cache=cache, report=report, fewest_classes=1)
    strangers = sorted(set(test_tree.labels) - set(tree.labels))
    if strangers:
        raise DataError(f"{test_root} has the classes {', '.join(strangers)}, which {train_root} has not.")
    return _two_parts(name, (train_root.name, tree), (test_root.name, _renumbered(test_tree, tree.labels)))


def _findings(name: str, tree: Tree, copies: Copies, test: Places) -> Findings:
    """Put together what is known of a tree whose pictures at `test` are measured on."""
    return collect(
        name,
        tree.labels,
        files=[read.file for read in tree.pictures.read],
        targets=tree.targets,
        is_test=np.isin(np.arange(len(tree)), test),
        copies=copies,
        unreadable=tree.pictures.unreadable,
    )


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


def read_learnt(
    root: Path, spec: InputSpec, *, cache: Path, report: Report
) -> tuple[tuple[str, ...], Split] | None:
    """Read the training part of a folder alone, if that takes no decoding.

    Args:
        root: with train/ and test/.
        spec: of the images that the pictures become.
        cache: folder for decoded pictures.
        report: told of the progress, a sentence at a time.

    Returns:
        Its labels and its pictures; None where the folder has not both parts, or they are not decoded.

    Raises:
        DataError: it cannot be used.
        OSError: it cannot be looked at.
    """
    train_root, test_root = find_parts(root)
    if train_root is None or test_root is None or not is_decoded(train_root, spec=spec, cache=cache):
        return None
    tree = read_tree(train_root, spec=spec, cache=cache, report=report)
    return tree.labels, _whole(tree, below=f"{train_root.name}/")


def read_test_folder(
    root: Path, record: Record, *, cache: Path, report: Report
) -> tuple[str, tuple[str, ...], Split]:
    """Read what a checkpoint can be measured on: the test part, else what its training held out, else everything.

    Args:
        root: as for `read_folder`.
        record: of the checkpoint.
        cache: folder for decoded pictures.
        report: told what was skipped, a sentence at a time.

    Returns:
        What it is, in words; its labels; the pictures.

    Raises:
        DataError: it cannot be used.
    """
    name = root.resolve().name
    train_root, test_root = find_parts(root)
    tree = read_tree(test_root or root, spec=record.input, cache=cache, report=report, fewest_classes=1)
    report_unreadable(tree.pictures, report)
    report_unused(root, [test_root or root], report, apart_from=train_root)
    if test_root is None:
        is_alike = tree.labels == tuple(map(composed, record.labels))
        held_out = _held_out(tree, record) if is_alike else None
        if held_out is not None:
            return f"{name}, the test part of its training", tree.labels, held_out
        report(
            f"warning: {name} has no test part, and is not what the checkpoint was trained on, or has changed "
            f"since, if only in one label: all {len(tree):,} pictures count. If the training was on this folder, "
            "it has learnt most of them, and the figures are too good; train again, or measure on pictures that "
            "it has not seen"
        )
    below = f"{test_root.name}/" if test_root else ""
    return f"{name} {'test' if test_root else 'whole'}", tree.labels, _whole(tree, below=below)


def _held_out(tree: Tree, record: Record) -> Split | None:
    """Return what a checkpoint's training held out of a tree; None if it was not trained on it."""
    try:
        copies = kept_together(tree, copies_in([tree]))
        train, test = split_tree(tree, copies, seed=record.training.seed)
    except DataError:
        return None
    is_same = fingerprint(record.labels, _take(tree, train)) == record.training.data_fingerprint
    return _take(tree, test) if is_same else None


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
