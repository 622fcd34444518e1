"""Some pictures that stand for all of them, drawn by a seed.

Every k-th picture does not: where classes take turns, as in an archive with `y = i % 10`, it finds a few of them.
"""

import torch
from torch import Tensor


def draw_by_class(targets: Tensor, *, count: int, seed: int) -> Tensor:
    """Draw pictures so that each class gives its share, and at least one.

    Args:
        targets: int64 (n,).
        count: of pictures. Of more classes than that, some are drawn.
        seed: the same seed draws the same pictures.

    Returns:
        Their places, int64 (min(n, count),), in order.
    """
    rank, size = rank_within_classes(targets, seed=seed)
    if count < int((rank == 0).sum()):
        return draw_evenly(len(targets), count=count, seed=seed)
    share = torch.where(rank == 0, 0.0, (rank + 0.5) / size)
    return torch.argsort(share, stable=True)[:count].sort().values


def draw_evenly(n: int, *, count: int, seed: int) -> Tensor:
    """Draw one picture of each of so many stretches: folders stand class by class, and all of them are seen.

    Args:
        n: number of pictures.
        count: to draw.
        seed: the same seed draws the same pictures.

    Returns:
        Their places, int64 (min(n, count),), in order.
    """
    borders = torch.arange(min(n, count) + 1) * n // min(n, count)
    chance = torch.rand(len(borders) - 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return borders[:-1] + (chance * borders.diff()).long()


def rank_within_classes(targets: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
    """Give each picture a random place within its class, from 0, and the size of that class.

    Args:
        targets: int64 (n,).
        seed: of the places.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(targets), generator=generator)
    by_class = shuffled[torch.argsort(targets[shuffled], stable=True)]
    sizes = torch.bincount(targets)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(targets)
    rank[by_class] = torch.arange(len(targets)) - starts[targets[by_class]]
    return rank, sizes[targets]
