"""The residual network that reaches 96 % on CIFAR-10: 9.9 million parameters, 829 MFLOP a picture.

Source: K. Jordan, airbench96 (arXiv 2404.00498; repository version with widths 128/384/512: 96.03 %, n=400),
but for the last pooling (`models/networks/whitened.py`).
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.layers import Convolution, ShiftBatchNorm
from models.networks.quantization import Range
from models.networks.whitened import WhitenedNetwork

_BATCH_NORM_RATE = 0.1  # PyTorch's default, which the record keeps
_LOGIT_SCALE = 1 / 9  # airbench96


class _ResidualGroup(nn.Module):
    """conv, max-pool 2, norm, GELU; then conv, norm, GELU, conv, norm, added to where these began, GELU."""

    def __init__(
        self, channels_in: int, channels_out: int, ranges: Sequence[Range | None], *, epsilon: float
    ) -> None:
        super().__init__()
        first, second, third = ranges
        self.conv1 = Convolution(channels_in, channels_out, is_halved=True, input_range=first)
        self.norm1 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE, epsilon=epsilon)
        self.conv2 = Convolution(channels_out, channels_out, input_range=second)
        self.norm2 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE, epsilon=epsilon)
        self.conv3 = Convolution(channels_out, channels_out, input_range=third)
        self.norm3 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE, epsilon=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        entry = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        x = F.gelu(self.norm2(self.conv2(entry)))
        return F.gelu(self.norm3(self.conv3(x)) + entry)


class ResidualNetwork(WhitenedNetwork):
    """Whitening stem, three residual groups, global maximum, scaled head without bias.

    Args:
        widths: channels of the three groups.
        given: the rest of what `WhitenedNetwork` takes, each by its name: classes, spec, …
    """

    def __init__(self, *, widths: Sequence[int] = (128, 384, 512), **given: Any) -> None:  # noqa: ANN401 - WhitenedNetwork has the types
        super().__init__("residual", _ResidualGroup, convolutions=3, widths=widths, **given)
        nn.init.zeros_(self.stem.bias)
        self.logit_scale = _LOGIT_SCALE
