"""How many pictures a network sees at once where nothing is learnt: fewer of large ones, or memory would fill."""

import torch
from torch import Tensor

MOST = 500
"""Of 32 × 32 pixels: the first 64 maps that the `fast` network makes of them take 123 MB in float32."""
_SIDE = 32  # pixels, of the pictures that every `most` is meant for


def chunk_size(images: Tensor, *, most: int = MOST) -> int:
    """Count how many pictures of this size together have no more pixels than `most` of 32 × 32.

    Args:
        images: (n, height, width, 3).
        most: pictures at once, however small they are.

    Returns:
        1 to `most`; it depends on nothing but the size, so that a chunk is the same in every run.
    """
    height, width = images.shape[1:3]
    return max(1, min(most, most * _SIDE**2 // (height * width)))


def chunks(images: Tensor, *, most: int = MOST) -> tuple[Tensor, ...]:
    """Divide pictures (n, height, width, 3) into as many at once as `chunk_size` tells."""
    return torch.split(images, chunk_size(images, most=most))
