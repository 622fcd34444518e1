"""Golden pictures: a checkpoint carries pictures and the answers that it must give for them.

A digest proves that the file is the one that was written; only an answer proves that the pixels are
prepared, the layers ordered and the labels named as they were when it was written.
"""

import numpy as np
import torch

from models.errors import GoldenError
from models.preprocessing import Answers, Images, Probabilities

GOLDEN_COUNT = 8
_SEED = 20_261_123
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""Largest allowed difference of one probability. Measured on a `cifar10` without rounding: 1.1e-6 between batch
sizes 1 and 8 in float32, 5.4e-3 in bfloat16; a mean that is wrong by 0.001 makes 4.7e-4. float16 keeps three bits
more than bfloat16."""

QUANTIZED_TOLERANCE = 2e-2
"""The same for a quantized network in any arithmetic: a value that lies between two levels falls on one or the
other by the last bit of a sum, and the next layers carry that on: 6.2e-3 on the first quantized `cifar10`."""

_DISTANCE_FACTOR = 5
"""A distance is about 1 and adds up many features: it may differ by so much more than a probability."""


def draw(height: int, width: int, count: int = GOLDEN_COUNT) -> Images:
    """Draw pictures of coloured waves and grain from a fixed seed; no data set is needed.

    Waves, because pure noise looks the same to every network, and a picture far from all classes
    reacts most to a wrong mean.

    Returns:
        uint8 (count, height, width, 3), the same on every machine.
    """
    random = np.random.Generator(np.random.PCG64(_SEED))
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    images = np.empty((count, height, width, 3), np.uint8)
    for image in images:
        base = random.uniform(60, 195, 3)
        waves = random.uniform(-8, 8, (3, 2))
        phases = random.uniform(0, 2 * np.pi, 3)
        angle = rows[..., None] * waves[:, 0] + columns[..., None] * waves[:, 1]
        grain = random.normal(0, 10, (height, width, 3))
        image[:] = np.clip(base + 60 * np.sin(angle * np.pi + phases) + grain, 0, 255)
    return images


def check(got: Probabilities, expected: Probabilities, *, tolerance: float) -> None:
    """Compare the answers of a loaded model with those stored when it was saved.

    Args:
        got: probabilities now, (count, classes).
        expected: probabilities when saved, same shape.
        tolerance: largest allowed absolute difference of one probability.

    Raises:
        GoldenError: a probability differs by more, or is no number.
    """
    worst = _worst_difference(got, expected, name="answers")
    if not worst <= tolerance:  # also when it is NaN
        raise GoldenError(
            "The golden pictures give other answers than when the checkpoint was saved: a probability differs by "
            f"{worst:.4f}, allowed is {tolerance}. Layers or weights have changed; restore the original file."
        )


def check_distances(got: Answers, expected: Answers, *, tolerance: float) -> None:
    """Compare the distances of the golden pictures with those stored when the checkpoint was saved.

    Args:
        got: distances now, (count, 1).
        expected: distances when saved, same shape.
        tolerance: largest difference of one probability; a distance may differ by five times that share of itself,
            or of 1 if it is less.

    Raises:
        GoldenError: a distance differs by more, or is no number.
    """
    worst = _worst_difference(got, expected, name="distances", unit=np.maximum(np.abs(expected), 1))
    allowed = _DISTANCE_FACTOR * tolerance
    if not worst <= allowed:  # also when it is NaN
        raise GoldenError(
            "The golden pictures are at other distances from the classes than when the checkpoint was saved: one "
            f"differs by {worst:.2%} of itself, allowed are {allowed:.2%}. The tensors abstain.* or the weights "
            "have changed; restore the original file."
        )


def _worst_difference(got: Answers, expected: Answers, *, name: str, unit: Answers | float = 1.0) -> float:
    """Find the largest difference of any two numbers, each over its unit; NaN where one is no number.

    Raises:
        GoldenError: the shapes differ; it calls the numbers by their name.
    """
    if got.shape != expected.shape:
        raise GoldenError(
            f"The golden pictures gave {name} of shape {got.shape}, stored are {expected.shape}. "
            "Restore the original file."
        )
    return float((np.abs(got.astype(np.float64) - expected) / unit).max())
