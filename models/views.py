"""Several views of a picture, and what a network says to all of them together.

They are asked where one view leaves a network unsure: in an evaluation, and in the service's second look.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.preprocessing import Answers, Images

Pixels = TypeVar("Pixels", Tensor, Images)

_SMALLEST = np.finfo(np.float32).tiny


def six_views(images: Pixels, *, mirrors: bool) -> tuple[tuple[float, Pixels], ...]:
    """Give the weighted views whose logits are averaged: three crops, each with its mirror image if that may be.

    The picture itself counts half, the crops one pixel up-left and one down-right a quarter each.

    Args:
        images: uint8 (batch, height, width, 3), a tensor or an array. In the service it is an array: tensors are
            indexed by several threads at once, which took 100 times as long beside a busy engine.
        mirrors: False leaves the mirror images out, where these are another class: three views.

    Returns:
        The picture itself first.
    Source:
        arXiv 2404.00498, section 3.5; averaging logits does better than averaging probabilities.
    """
    height, width = images.shape[1:3]
    views = []
    for weight, step in ((0.5, 0), (0.25, -1), (0.25, 1)):
        rows, columns = _reflected(height, step), _reflected(width, step)
        moved = images if step == 0 else images[:, rows][:, :, columns]
        if mirrors:
            views += [(weight / 2, moved), (weight / 2, images[:, rows][:, :, columns[::-1].copy()])]
        else:
            views.append((weight, moved))
    return tuple(views)


def _reflected(length: int, step: int) -> npt.NDArray[np.int64]:
    """Number the places of a side that is moved by a step; beyond an edge it is mirrored, without repeating it."""
    places: npt.NDArray[np.int64] = np.abs(np.arange(length, dtype=np.int64) + step)
    return np.minimum(places, 2 * (length - 1) - places)


def shows_mirror_images(configuration: Mapping[str, Any]) -> bool:
    """Tell whether mirror images count among a network's six views: unless it was trained with --no-mirror.

    Args:
        configuration: of its training, as a checkpoint's record has it.
    """
    return not configuration.get("unmirrored")


def together(answers: Answers, weights: Sequence[float], *, classes: int) -> Answers:
    """Turn a network's answers to several views of a picture into one, by the mean of their logits.

    A probability is known up to a factor that all classes share, so the mean of logarithms is that of logits.

    Args:
        answers: float32 (views, columns): probabilities, then perhaps the distance; the picture itself first.
        weights: of the views, 1 in all.
        classes: number of probabilities.

    Returns:
        float32 (columns,); the distance is that of the picture itself.
    """
    logs = np.log(np.maximum(answers[:, :classes], _SMALLEST, dtype=np.float64))
    mean = np.asarray(weights) @ logs
    likely = np.exp(mean - mean.max())
    return np.concatenate([likely / likely.sum(), answers[0, classes:]]).astype(np.float32)
