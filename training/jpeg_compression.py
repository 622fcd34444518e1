"""What a picture loses by being written as JPEG, for a whole batch at once and on any device."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMINANCE = """
    16 11 10 16  24  40  51  61   12 12 14 19  26  58  60  55   14 13 16 24  40  57  69  56
    14 17 22 29  51  87  80  62   18 22 37 56  68 109 103  77   24 35 55 64  81 104 113  92
    49 64 78 87 103 121 120 101   72 92 95 98 112 100 103  99
"""
_CHROMINANCE = """
    17 18 24 47 99 99 99 99   18 21 26 66 99 99 99 99   24 26 56 99 99 99 99 99   47 66 99 99 99 99 99 99
    99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99
"""
"""Steps of the 8 × 8 frequencies at quality 50. Source: ITU-T T.81, annex K.1, tables K.1 and K.2."""
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""Source: JFIF 1.02; ITU-T T.871, section 7."""


def compress(pixels: Tensor, quality: Tensor) -> Tensor:
    """Lose what a JPEG file would, without writing one: each picture at its own quality, on any device.

    Colour at half the size, then the 8 × 8 frequencies rounded to their steps. Only that is lossy in the format; a
    test holds it against Pillow's.

    Args:
        pixels: float32 (batch, 3, height, width) in 0…255.
        quality: float32 (batch,), 1 to 99.

    Returns:
        Same shape, not rounded; values may lie beyond 0…255.
    Source:
        ITU-T T.81, A.3 and annex K; the scale of the steps is that of the IJG library's jpeg_quality_scaling.
    """
    height, width = pixels.shape[2:]
    padded = F.pad(pixels, [0, -width % 16, 0, -height % 16], mode="replicate")
    ycc = torch.einsum("ij,njhw->nihw", pixels.new_tensor(_TO_YCC), padded)
    luminance = _quantize(ycc[:, :1] - 128, _steps(_LUMINANCE, quality)) + 128
    colour = _quantize(F.avg_pool2d(ycc[:, 1:], 2), _steps(_CHROMINANCE, quality))
    colour = F.interpolate(colour, scale_factor=2.0, mode="bilinear")
    rgb = torch.einsum("ij,njhw->nihw", pixels.new_tensor(_TO_RGB), torch.cat([luminance, colour], dim=1))
    return rgb[:, :, :height, :width]


def _steps(table: str, quality: Tensor) -> Tensor:
    """Give the steps of each picture: float32 (batch, 1, 1, 1, 8, 8), whole numbers from 1 to 255."""
    scale = torch.where(quality < 50, 5_000 / quality, 200 - 2 * quality)  # percent
    base = quality.new_tensor([float(step) for step in table.split()]).view(8, 8)
    return ((base * scale.view(-1, 1, 1, 1, 1, 1) + 50) / 100).floor().clamp(1, 255)


def _quantize(plane: Tensor, steps: Tensor) -> Tensor:
    """Round the frequencies of each 8 × 8 block: (batch, channels, height, width), sides in whole blocks."""
    n, channels, height, width = plane.shape
    cosines = _cosines(plane)
    blocks = plane.view(n, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    frequencies = cosines @ blocks @ cosines.T
    rounded = (frequencies / steps).round() * steps
    return (cosines.T @ rounded @ cosines).transpose(3, 4).reshape(n, channels, height, width)


def _cosines(like: Tensor) -> Tensor:
    """The orthonormal 8-point cosine transform, (frequency, place)."""
    places = torch.arange(8, device=like.device, dtype=torch.float64)
    table = torch.cos(math.pi / 8 * (places + 0.5) * places[:, None]) / 2
    table[0] /= math.sqrt(2)
    return table.to(like.dtype)
