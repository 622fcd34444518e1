"""The layers that the `fast` and the `residual` network share.

Source: K. Jordan, arXiv 2404.00498, and its repository.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.normalization import Normalization
from models.networks.quantization import Range, round_to_levels

_STEM_KERNEL = 2
STEM_CHANNELS = 2 * 3 * _STEM_KERNEL**2
"""Every whitening filter and its negation: 24."""
_WHITENING_EPSILON = 5e-4  # arXiv 2404.00498: keeps the filters of nearly empty directions bounded
NORM_EPSILON = 1e-12
"""What batch norms add to a variance before they divide by its root. Source: arXiv 2404.00498's repository."""
_PICTURES_AT_ONCE = 250  # 250 pictures of 96 × 96 take 0.3 GB for a moment, 5,000 take 6


class ShiftBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with its scale fixed at 1; only the shift is trained.

    Args:
        channels: of the features.
        rate: share of the newest batch in the running statistics.
        epsilon: is added to a variance before its root divides.
    """

    def __init__(self, channels: int, *, rate: float, epsilon: float = NORM_EPSILON) -> None:
        super().__init__(channels, eps=epsilon, momentum=rate)
        self.weight.requires_grad_(False)


class WhiteningStem(nn.Conv2d):
    """2×2 convolution whose frozen filters are computed from pictures instead of learnt; its bias is trained."""

    bias: nn.Parameter  # of this convolution it is always there

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


class Convolution(nn.Conv2d):
    """3×3, same size, no bias; its first filters pass their channel through, the rest start at random.

    In front of a pooling of 2×2, what the pooling would drop is not computed: of an odd side the last row or
    column is in no square. That saves 11 % of the `fast` network's arithmetic at 32 pixels, where all three sides
    are odd (docs/experiments.md, 2026-11-25).

    Args:
        channels_in: of the maps that come.
        channels_out: of those that go.
        is_halved: whether a pooling of 2×2 follows.
        input_range: lowest and highest value of the maps that come; they are rounded to the 256 levels between
            (`models/networks/quantization.py`). None leaves them as they are.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, is_halved: bool = False, input_range: Range | None = None
    ) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=False)
        self.is_halved = is_halved
        self.input_range = input_range
        with torch.no_grad():
            nn.init.dirac_(self.weight[:channels_in])

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (batch, channels, rows, columns) into as many rows and columns; halved, perhaps one less."""
        return self.convolve(x, self.weight)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """As `forward`, with other filters of the same shape."""
        if self.input_range is not None:
            x = round_to_levels(x, self.input_range)
        if not self.is_halved:
            return F.conv2d(x, weight, padding=1)
        rows, columns = x.shape[-2:]
        padded = F.pad(x, (1, 1 - columns % 2, 1, 1 - rows % 2))
        return F.conv2d(padded, weight)
