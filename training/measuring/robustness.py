"""How much of its accuracy a network keeps on spoilt pictures, kind by kind and severity by severity."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor

from models.networks.network import Network
from training.data.dataset import Split
from training.measuring.corruptions import KINDS, SEVERITIES, corrupt
from training.measuring.views import single_view
from training.progress import RunProgress

PICTURES = 1_000
"""That are spoilt unless asked otherwise: 56 runs over them took 40 s on 2 cores of an EPYC (Zen 5), and a figure
is known to ±3.1 points at worst (95 %, where half is right). The mean over all is known better: its errors partly
cancel."""
_FEWEST = 100
"""A figure about fewer would be known to less than ±10 points."""
_SIDE = 32
"""Pixels, of the pictures that the 40 s are of."""


@dataclass(frozen=True)
class Robustness:
    """Accuracy on spoilt copies of the same pictures, single view, as fractions.

    Attributes:
        n: pictures, each spoilt in every way.
        seed: of their choice, of noise and of directions.
        clean: accuracy on these n pictures as they are.
        accuracy: kind → one for each severity, 1 to 5.
        mean: over all kinds and severities.
    """

    n: int
    seed: int
    clean: float
    accuracy: Mapping[str, tuple[float, ...]]
    mean: float


def affordable_pictures(images: Tensor) -> int:
    """Tell how many pictures of a size are spoilt in about the time that 1,000 of 32 × 32 pixels take.

    Args:
        images: (n, height, width, 3).

    Returns:
        100 to 1,000: from 102 pixels a side on it takes longer, at 224 five times as long and not 49 times.
    """
    height, width = images.shape[1:3]
    return min(PICTURES, max(_FEWEST, round(PICTURES * _SIDE**2 / (height * width))))


def measure_robustness(
    network: Network, split: Split, *, pictures: int, seed: int, place: str, console: Console
) -> Robustness:
    """Spoil some pictures of a split in every way of `training.measuring.corruptions` and count the right answers.

    Args:
        network: in evaluation mode, on its device.
        split: to choose from.
        pictures: how many; a split with fewer counts whole.
        seed: of everything random.
        place: what is done, in words, for the console.
        console: told of the progress.
    """
    places = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:pictures].sort().values
    images, targets = split.images[places], split.targets[places]
    accuracy: dict[str, tuple[float, ...]] = {}
    with RunProgress(console, steps=len(KINDS) * len(SEVERITIES)) as progress:
        for kind in KINDS:
            row = []
            for severity in SEVERITIES:
                spoilt = corrupt(images, kind=kind, severity=severity, seed=seed, places=places)
                row.append(_accuracy(network, spoilt, targets))
                progress.step(place=f"{place}, {kind.replace('_', ' ')} {severity}", pictures=len(images))
            accuracy[kind] = tuple(row)
    every = [value for row in accuracy.values() for value in row]
    clean = _accuracy(network, images, targets)
    return Robustness(len(images), seed, clean, accuracy, sum(every) / len(every))


def robustness_lines(robustness: Robustness) -> list[str]:
    """Write it as lines of text: a row for each kind, a column for each severity, their mean last."""
    head = f"{'Accuracy, %':14}" + "".join(f"{severity:>7}" for severity in SEVERITIES) + "   mean"
    rows = [
        f"{kind:14}" + "".join(f"{100 * value:7.1f}" for value in (*row, sum(row) / len(row)))
        for kind, row in robustness.accuracy.items()
    ]
    return [
        f"Spoilt copies of {robustness.n:,} pictures (seed {robustness.seed}, single view), severities 1 to 5:",
        head,
        *rows,
        f"Mean of all: {100 * robustness.mean:.2f} %; the same pictures clean: {100 * robustness.clean:.2f} %",
    ]


def _accuracy(network: Network, images: Tensor, targets: Tensor) -> float:
    return int((single_view(network, images).argmax(1) == targets).sum()) / len(targets)
