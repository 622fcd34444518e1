"""Folders of pictures as data sets: all parts, or the one that a checkpoint is measured on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.preprocessing import InputSpec
from models.record import Record
from training.data.class_trees import (
    Tree,
    class_names,
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
from training.data.splitting import copies_in, kept_together, shuffle, split_tree
from training.errors import DataError


def read_folder(
    root: Path, spec: InputSpec, *, seed: int, cache: Path, report: Report, takes_val: bool = False
) -> Dataset:
    """Read a folder of pictures, and divide it where it is not divided.

    Args:
        root: with one folder per class, or with train/ and test/, and val/ beside them.
        spec: of the images that the pictures become.
        seed: of the division.
        cache: folder for decoded pictures.
        report: told of the progress, a sentence at a time, and of what was found where the folder is refused.
        takes_val: whether val/ beside train/ and test/ is read, too; else nothing is looked for in it.

    Raises:
        DataError: it cannot be used.
    """
    name = to_unicode(root.resolve().name)
    parts = find_parts(root) if takes_val else replace(find_parts(root), val=None)
    train_root, test_root = parts.train, parts.test
    if (train_root is None) != (test_root is None):
        raise DataError(
            f"{root} has {(train_root or test_root or root).name}/ but no other part. Add train/ and test/ both, "
            "or name the folder that holds the class folders: it is then split by --seed."
        )
    report_unused(root, parts.folders or [root], report)
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
    others = {"test": test_root} if parts.val is None else {"test": test_root, "val": parts.val}
    return _join_parts(name, _read_parts(train_root, others, spec, cache=cache, report=report))


def _findings(name: str, tree: Tree, copies: Copies, test: Places) -> Findings:
    """Put together what is known of a tree whose pictures at `test` are measured on."""
    return collect(
        name,
        tree.labels,
        files=[read.file for read in tree.pictures.read],
        targets=tree.targets,
        part_of=np.where(np.isin(np.arange(len(tree)), test), "test", "train"),
        copies=copies,
        unreadable=tree.pictures.unreadable,
    )


def _read_parts(
    train_root: Path, others: Mapping[str, Path], spec: InputSpec, *, cache: Path, report: Report
) -> dict[str, tuple[str, Tree]]:
    """Read the training part and others, whose classes are numbered as there.

    Returns:
        Part → the name of its folder, and what was read in it.

    Raises:
        DataError: one cannot be used, or has a class that the training part has not.
    """
    known = set(map(composed, class_names(train_root, fewest=2)))
    for part, other in others.items():  # before anything is decoded
        refuse_bare(other)
        strangers = sorted(set(map(composed, class_names(other, fewest=1))) - known)
        if strangers:
            advice = "" if part == "test" else " Add training pictures of them, or move that folder away."
            raise DataError(f"{other} has the classes {', '.join(strangers)}, which {train_root} has not.{advice}")
    learnt = read_tree(train_root, spec=spec, cache=cache, report=report)
    trees = {"train": (train_root.name, learnt)}
    for part, other in others.items():
        tree = read_tree(other, spec=spec, cache=cache, report=report, fewest_classes=1)
        trees[part] = (other.name, _renumbered(tree, learnt.labels))
    return trees


def _join_parts(name: str, parts: Mapping[str, tuple[str, Tree]]) -> Dataset:
    """Join trees that number their classes alike: part → the name of its folder, and what was read in it."""
    trees = [tree for _, tree in parts.values()]
    labels = trees[0].labels
    splits = {part: _whole(tree, below=f"{folder}/") for part, (folder, tree) in parts.items()}
    findings = collect(
        name,
        labels,
        files=[file for split in splits.values() for file in split.files],
        targets=np.concatenate([tree.targets for tree in trees]),
        part_of=np.repeat(list(parts), list(map(len, trees))),
        copies=copies_in(trees),
        unreadable=[
            replace(item, file=f"{folder}/{item.file}")
            for folder, tree in parts.values()
            for item in tree.pictures.unreadable
        ],
    )
    return Dataset(name, labels, splits["train"], splits["test"], findings=findings, val=splits.get("val"))


def read_learnt(
    root: Path, spec: InputSpec, *, cache: Path, report: Report, takes_val: bool = False
) -> tuple[tuple[str, ...], Split] | None:
    """Read the training part of a folder alone, if that takes no decoding.

    Args:
        root: with train/ and test/.
        spec: of the images that the pictures become.
        cache: folder for decoded pictures.
        report: told of the progress, a sentence at a time.
        takes_val: whether val/, where it is there, has to be decoded, too.

    Returns:
        Its labels and its pictures; None where the folder has not both parts, or they are not decoded.

    Raises:
        DataError: it cannot be used.
        OSError: it cannot be looked at.
    """
    parts = find_parts(root)
    train_root = parts.train
    if train_root is None or parts.test is None or not is_decoded(train_root, spec=spec, cache=cache):
        return None
    if takes_val and parts.val and not is_decoded(parts.val, spec=spec, cache=cache, fewest_classes=1):
        return None
    tree = read_tree(train_root, spec=spec, cache=cache, report=report)
    return tree.labels, _whole(tree, below=f"{train_root.name}/")


def read_all_but(measured: Split, root: Path, record: Record, *, cache: Path, report: Report) -> Split:
    """Read what a checkpoint has learnt, if some pictures of a folder without parts were drawn to be measured on.

    Args:
        measured: those pictures.
        root: with one folder per class.
        record: of the checkpoint.
        cache: folder for decoded pictures.
        report: told of the progress, a sentence at a time.

    Raises:
        DataError: it cannot be used.
    """
    tree = read_tree(root, spec=record.input, cache=cache, report=report, fewest_classes=1)
    files = set(measured.files)
    is_learnt = np.array([read.file not in files for read in tree.pictures.read])
    in_order = np.concatenate(list(shuffle(tree, seed=record.training.seed)))
    return _take(tree, in_order[is_learnt[in_order]])


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
    parts = find_parts(root)
    test_root = parts.test
    tree = read_tree(test_root or root, spec=record.input, cache=cache, report=report, fewest_classes=1)
    report_unreadable(tree.pictures, report)
    report_unused(root, [test_root or root], report, apart_from=replace(parts, test=None).folders)
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
