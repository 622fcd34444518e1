"""The layers that the `fast` and the `residual` network share.

Source: K. Jordan, arXiv 2404.00498, and its repository.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.normalization import Normalization

_STEM_KERNEL = 2
STEM_CHANNELS = 2 * 3 * _STEM_KERNEL**2
"""Every whitening filter and its negation: 24."""
_WHITENING_EPSILON = 5e-4  # arXiv 2404.00498: keeps the filters of nearly empty directions bounded
_BATCH_NORM_EPSILON = 1e-12
_PICTURES_AT_ONCE = 250  # 250 pictures of 96 × 96 take 0.3 GB for a moment, 5,000 take 6
SMALLEST_SIDE = 9
"""In pixels: the stem takes one off, then three halvings must leave one."""


class ShiftBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with its scale fixed at 1; only the shift is trained.

    Args:
        channels: of the features.
        rate: share of the newest batch in the running statistics.
    """

    def __init__(self, channels: int, *, rate: float) -> None:
        super().__init__(channels, eps=_BATCH_NORM_EPSILON, momentum=rate)
        self.weight.requires_grad_(False)


class WhiteningStem(nn.Conv2d):
    """2×2 convolution whose frozen filters are computed from pictures instead of learnt; its bias is trained."""

    def __init__(self) -> None:
        super().__init__(3, STEM_CHANNELS, _STEM_KERNEL)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def fit(self, images: Tensor, normalize: Normalization) -> None:
        """Set the filters so that the output is decorrelated: the patch whitening of these images.

        Args:
            images: uint8 (n, height, width, 3), unaugmented; 5,000 are plenty.
            normalize: what the network does to images first.
        """
        covariance = torch.zeros(12, 12, dtype=torch.float64, device=images.device)  # uncentred
        count = 0
        for chunk in torch.split(images, _PICTURES_AT_ONCE):
            patches = F.unfold(normalize(chunk).float(), _STEM_KERNEL)  # (n, 12, positions)
            rows = patches.transpose(1, 2).reshape(-1, patches.shape[1]).double()
            covariance += rows.T @ rows
            count += len(rows)
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance / count)
        filters = (eigenvectors / torch.sqrt(eigenvalues + _WHITENING_EPSILON)).T
        filters = filters.reshape(-1, 3, _STEM_KERNEL, _STEM_KERNEL)
        self.weight.copy_(torch.cat([filters, -filters]))


def identity_convolution(channels_in: int, channels_out: int, *, is_halved: bool = False) -> nn.Conv2d:
    """3×3, same size, no bias; its first filters pass their channel through, the rest start at random.

    Args:
        channels_in: of the maps that come.
        channels_out: of those that go.
        is_halved: whether a pooling of 2×2 follows.
    """
    kind = HalvedConvolution if is_halved else nn.Conv2d
    convolution = kind(channels_in, channels_out, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:channels_in])
    return convolution


class HalvedConvolution(nn.Conv2d):
    """3×3, same size, in front of a pooling of 2×2: what the pooling would drop is not computed.

    Of an odd side the last row or column is in no square. A convolution that stops before it saves 11 % of the
    `fast` network's arithmetic at 32 pixels, where all three sides are odd (docs/experiments.md, 2026-11-25).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (batch, channels, rows, columns) into as many rows and columns, or one less: even numbers."""
        rows, columns = x.shape[-2:]
        padded = F.pad(x, (1, 1 - columns % 2, 1, 1 - rows % 2))
        return F.conv2d(padded, self.weight)
