"""The small VGG-like network that reaches 94 % on CIFAR-10 in a few passes: 1.97 million parameters.

Source: K. Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, and the later
Muon variant (94.01 %, n=200), but for the last pooling (`models/networks/whitened.py`).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.layers import Convolution, ShiftBatchNorm
from models.networks.quantization import Range
from models.networks.whitened import WhitenedNetwork

_BATCH_NORM_RATE = 0.4  # the record's value


class _Group(nn.Module):
    """conv 3×3, max-pool 2, norm, GELU, conv 3×3, norm, GELU."""

    def __init__(
        self, channels_in: int, channels_out: int, ranges: Sequence[Range | None], *, epsilon: float
    ) -> None:
        super().__init__()
        entry, middle = ranges
        self.conv1 = Convolution(channels_in, channels_out, is_halved=True, input_range=entry)
        self.norm1 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE, epsilon=epsilon)
        self.conv2 = Convolution(channels_out, channels_out, input_range=middle)
        self.norm2 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE, epsilon=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class FastNetwork(WhitenedNetwork):
    """Whitening stem, three groups, global maximum, scaled head without bias.

    Args:
        widths: channels of the three groups.
        given: the rest of what `WhitenedNetwork` takes, each by its name: classes, spec, …
    """

    def __init__(self, *, widths: Sequence[int] = (64, 256, 256), **given: Any) -> None:  # noqa: ANN401 - WhitenedNetwork has the types
        super().__init__("fast", _Group, convolutions=2, widths=widths, **given)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())
        self.logit_scale = 1 / widths[-1]
