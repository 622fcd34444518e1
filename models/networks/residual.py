"""The residual network that reaches 96 % on CIFAR-10: 9.9 million parameters, 829 MFLOP a picture.

Source: K. Jordan, airbench96 (arXiv 2404.00498; repository version with widths 128/384/512: 96.03 %, n=400),
but for the last pooling (`models/networks/whitened.py`).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.layers import NORM_EPSILON, Convolution, ShiftBatchNorm
from models.networks.quantization import Range
from models.networks.whitened import WhitenedNetwork
from models.preprocessing import InputSpec

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
        classes: number of classes.
        spec: size, mean and deviation of the images; both sides at least 9 pixels.
        temperature: the logits are divided by it.
        widths: channels of the three groups.
        input_ranges: lowest and highest value in front of each 3×3 convolution, in their order; with them it is a
            quantized network (`models/networks/quantization.py`).
        norm_epsilon: what the batch norms add to a variance before they divide by its root.
    """

    def __init__(
        self,
        *,
        classes: int,
        spec: InputSpec,
        temperature: float = 1.0,
        widths: Sequence[int] = (128, 384, 512),
        input_ranges: Sequence[Sequence[float]] | None = None,
        norm_epsilon: float = NORM_EPSILON,
    ) -> None:
        super().__init__(
            "residual",
            _ResidualGroup,
            convolutions=3,
            classes=classes,
            spec=spec,
            temperature=temperature,
            widths=widths,
            input_ranges=input_ranges,
            norm_epsilon=norm_epsilon,
        )
        nn.init.zeros_(self.stem.bias)
        self.logit_scale = _LOGIT_SCALE
