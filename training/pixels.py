"""What a number of each picture does to its pixels, float32 (batch, 3, height, width) with numbers (batch,)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def per_picture(values: Tensor) -> Tensor:
    """Shape numbers (batch,) so that each stands for all pixels of its picture: (batch, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def look_through(
    pixels: Tensor,
    *,
    along: Tensor | float = 1.0,
    right_by_down: Tensor | float = 0.0,
    down_by_right: Tensor | float = 0.0,
    right: Tensor | float = 0.0,
    down: Tensor | float = 0.0,
) -> Tensor:
    """Look at an affine map of the picture, all numbers (batch,): each place at another, seen from the middle.

    Args:
        pixels: float32 (batch, 3, height, width).
        along: pixels to the right for each to the right, and down for each down.
        right_by_down: pixels to the right for each down.
        down_by_right: pixels down for each to the right.
        right: in halves of a width.
        down: in halves of a height.
    """
    height, width = pixels.shape[2:]
    matrix = torch.zeros(len(pixels), 2, 3, device=pixels.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = along
    matrix[:, 0, 1] = right_by_down * height / width
    matrix[:, 1, 0] = down_by_right * width / height
    matrix[:, 0, 2], matrix[:, 1, 2] = right, down
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
