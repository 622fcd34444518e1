"""The residual network that reaches 96 % on CIFAR-10: 9.9 million parameters, 829 MFLOP a picture.

Source: K. Jordan, airbench96 (arXiv 2404.00498; repository version with widths 128/384/512: 96.03 %, n=400).
The last pooling is a global maximum, as in the `fast` network and for the same reason.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.layers import (
    SMALLEST_SIDE,
    STEM_CHANNELS,
    Convolution,
    ShiftBatchNorm,
    WhiteningStem,
)
from models.networks.normalization import Normalization
from models.networks.quantization import Range, ranges_of_groups
from models.preprocessing import InputSpec

_BATCH_NORM_RATE = 0.1  # PyTorch's default, which the record keeps
_LOGIT_SCALE = 1 / 9  # airbench96


class _ResidualGroup(nn.Module):
    """conv, max-pool 2, norm, GELU; then conv, norm, GELU, conv, norm, added to where these began, GELU."""

    def __init__(self, channels_in: int, channels_out: int, ranges: Sequence[Range | None]) -> None:
        super().__init__()
        first, second, third = ranges
        self.conv1 = Convolution(channels_in, channels_out, is_halved=True, input_range=first)
        self.norm1 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE)
        self.conv2 = Convolution(channels_out, channels_out, input_range=second)
        self.norm2 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE)
        self.conv3 = Convolution(channels_out, channels_out, input_range=third)
        self.norm3 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE)

    def forward(self, x: Tensor) -> Tensor:
        entry = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        x = F.gelu(self.norm2(self.conv2(entry)))
        return F.gelu(self.norm3(self.conv3(x)) + entry)


class ResidualNetwork(nn.Module):
    """Whitening stem, three residual groups, global maximum, scaled head without bias.

    Args:
        classes: number of classes.
        spec: size, mean and deviation of the images; both sides at least 9 pixels.
        temperature: the logits are divided by it.
        widths: channels of the three groups.
        input_ranges: lowest and highest value in front of each 3×3 convolution, in their order; with them it is a
            quantized network (`models/networks/quantization.py`).
    """

    def __init__(
        self,
        *,
        classes: int,
        spec: InputSpec,
        temperature: float = 1.0,
        widths: Sequence[int] = (128, 384, 512),
        input_ranges: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        if min(spec.height, spec.width) < SMALLEST_SIDE:
            raise ValueError(f"the residual network needs at least {SMALLEST_SIDE} × {SMALLEST_SIDE} pixels")
        if not widths or min(widths) < 1:
            raise ValueError(
                f"the widths are {list(widths)}; at least one group with at least one channel is needed"
            )
        self.temperature = temperature
        self.normalize = Normalization(spec)
        self.stem = WhiteningStem()
        nn.init.zeros_(self.stem.bias)  # type: ignore[arg-type]  # it has one
        channels = (STEM_CHANNELS, *widths)
        ranges = ranges_of_groups(input_ranges, groups=len(widths), convolutions=3)
        self.groups = nn.Sequential(*map(_ResidualGroup, channels, widths, ranges))
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Classify uint8 images (batch, height, width, 3) into logits (batch, classes)."""
        return self.logits(self.features(images))

    @property
    def feature_count(self) -> int:
        """How many numbers the head sees."""
        return self.head.in_features

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The modules that give maps (batch, channels, rows, columns), each coarser than the one before."""
        return tuple(self.groups)

    def features(self, images: Tensor) -> Tensor:
        """Compute from uint8 images (batch, height, width, 3) what the head sees: (batch, features)."""
        x = F.gelu(self.stem(self.normalize(images)))  # (batch, 24, 31, 31)
        x = self.groups(x)  # (batch, 512, 3, 3)
        features: Tensor = x.amax(dim=(2, 3))  # (batch, 512)
        return features

    def logits(self, features: Tensor) -> Tensor:
        """Turn features (batch, features) into logits (batch, classes)."""
        logits: Tensor = self.head(features) * (_LOGIT_SCALE / self.temperature)
        return logits

    def fit_stem(self, images: Tensor) -> None:
        """Compute the frozen filters of the stem from uint8 images (n, height, width, 3)."""
        self.stem.fit(images, self.normalize)
