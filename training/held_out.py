"""A part of the training pictures that no recipe learns from.

Hyper-parameters, the temperature and the abstain threshold are chosen on it, so that the test part is
read for nothing but the final figures.
"""

import math
from dataclasses import replace

import torch

from training.dataset import Dataset, Split
from training.errors import TrainingError

MOST_HELD_OUT = 2_000
"""Enough to know an accuracy of 95 % to ± 0.5 points (one standard error)."""
_SHARE = 0.1
_FEWEST_PICTURES = 100  # of fewer, a tenth would say nothing, and the training would miss it


def default_count(pictures: int) -> int:
    """How many of so many training pictures are held out unless the user decides."""
    return min(MOST_HELD_OUT, int(_SHARE * pictures)) if pictures >= _FEWEST_PICTURES else 0


def set_aside(dataset: Dataset, *, count: int | None, seed: int) -> Dataset:
    """Move some of a data set's training pictures into its held-out part.

    Args:
        dataset: as it was read.
        count: of pictures; None takes `default_count`, 0 learns from everything.
        seed: of the draw.

    Raises:
        TrainingError: a class would have no picture left to learn from.
    """
    count = default_count(len(dataset.train)) if count is None else count
    if count == 0:
        return dataset
    train, held_out = hold_out(dataset.train, count=count, seed=seed)
    return replace(dataset, train=train, held_out=held_out)


def hold_out(split: Split, *, count: int, seed: int) -> tuple[Split, Split]:
    """Divide pictures; each class gives its share, and keeps at least one picture.

    Args:
        split: to divide.
        count: of pictures to hold out.
        seed: the same seed holds out the same pictures.

    Returns:
        What remains and what is held out, both in the order of `split`.

    Raises:
        TrainingError: more are wanted than the classes can give.
    """
    rank, size = _ranks(split.targets, seed=seed)
    can_go = rank < size - 1
    if not 0 < count <= int(can_go.sum()):
        raise TrainingError(
            f"--held-out {count} cannot be taken from {len(split)} training pictures: each class must keep at "
            f"least one, so {int(can_go.sum())} at most."
        )
    # the lower a picture's rank within its class, relative to the class's size, the sooner it goes
    share = torch.where(can_go, (rank + 0.5) / size, math.inf)
    goes = torch.zeros(len(split), dtype=torch.bool)
    goes[torch.argsort(share, stable=True)[:count]] = True
    return chosen(split, ~goes), chosen(split, goes)


def chosen(split: Split, mask: torch.Tensor) -> Split:
    """Copy the pictures that a mask, bool (n,), chooses, with the names of their files."""
    files = tuple(split.files[place] for place in torch.nonzero(mask).flatten().tolist()) if split.files else ()
    return Split(split.images[mask], split.targets[mask], files)


def _ranks(targets: torch.Tensor, *, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give each picture a random place within its class, from 0, and the size of that class."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(targets), generator=generator)
    by_class = shuffled[torch.argsort(targets[shuffled], stable=True)]
    sizes = torch.bincount(targets)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(targets)
    rank[by_class] = torch.arange(len(targets)) - starts[targets[by_class]]
    return rank, sizes[targets]
