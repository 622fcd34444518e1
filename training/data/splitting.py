"""Divide the pictures of a class tree into those to learn from and those to measure on."""

from collections.abc import Iterator, Sequence

import numpy as np

from training.data.class_trees import Tree
from training.data.duplicates import Copies, Places, find_copies, take_for_scenes
from training.errors import DataError

_TEST_SHARE = 0.2
"""Of each class, where the folder has no test part: 80 to 20 is the field's custom."""


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


def shuffle(tree: Tree, *, seed: int) -> Iterator[Places]:
    """Give the pictures of each class in the order in which a split takes them."""
    random = np.random.default_rng(seed)
    for target in range(len(tree.labels)):
        places = np.flatnonzero(tree.targets == target)
        yield places[random.permutation(len(places))]


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
    classes_of = _classes_of(tree, copies)
    train, test = [], []
    for target, (label, shuffled) in enumerate(zip(tree.labels, shuffle(tree, seed=seed), strict=True)):
        if len(shuffled) < 2:
            raise DataError(
                f"The class {label!r} has one readable picture; at least two are needed, one to learn from "
                "and one to measure on."
            )
        groups = copies.group[shuffled]
        free = {group for group in groups.tolist() if classes_of[group] == {target}}
        held_out = _choose_groups(groups, free, wanted=max(1, round(_TEST_SHARE * len(shuffled))))
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
