"""The small VGG-like network that reaches 94 % on CIFAR-10 in a few passes: 1.97 million parameters.

Source: K. Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, and the later
Muon variant (94.01 %, n=200). Here the last pooling is a global maximum, which is the same thing at
32 × 32 and lets the network take other sizes, during training (progressive resizing) and after it.
"""

from collections.abc import Sequence

import torch
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

_BATCH_NORM_RATE = 0.4  # the record's value


class _Group(nn.Module):
    """conv 3×3, max-pool 2, norm, GELU, conv 3×3, norm, GELU."""

    def __init__(self, channels_in: int, channels_out: int, ranges: Sequence[Range | None]) -> None:
        super().__init__()
        entry, middle = ranges
        self.conv1 = Convolution(channels_in, channels_out, is_halved=True, input_range=entry)
        self.norm1 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE)
        self.conv2 = Convolution(channels_out, channels_out, input_range=middle)
        self.norm2 = ShiftBatchNorm(channels_out, rate=_BATCH_NORM_RATE)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class FastNetwork(nn.Module):
    """Whitening stem, three groups, global maximum, scaled head without bias.

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
        widths: Sequence[int] = (64, 256, 256),
        input_ranges: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        if min(spec.height, spec.width) < SMALLEST_SIDE:
            raise ValueError(f"the fast network needs at least {SMALLEST_SIDE} × {SMALLEST_SIDE} pixels")
        if not widths or min(widths) < 1:
            raise ValueError(
                f"the widths are {list(widths)}; at least one group with at least one channel is needed"
            )
        self.temperature = temperature
        self.normalize = Normalization(spec)
        self.stem = WhiteningStem()
        channels = (STEM_CHANNELS, *widths)
        ranges = ranges_of_groups(input_ranges, groups=len(widths), convolutions=2)
        self.groups = nn.Sequential(*map(_Group, channels, widths, ranges))
        self.head = nn.Linear(widths[-1], classes, bias=False)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())
        self.logit_scale = 1 / widths[-1]

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
        x = self.groups(x)  # (batch, 256, 3, 3)
        features: Tensor = x.amax(dim=(2, 3))  # (batch, 256)
        return features

    def logits(self, features: Tensor) -> Tensor:
        """Turn features (batch, features) into logits (batch, classes)."""
        logits: Tensor = self.head(features) * (self.logit_scale / self.temperature)
        return logits

    def fit_stem(self, images: Tensor) -> None:
        """Compute the frozen filters of the stem from uint8 images (n, height, width, 3)."""
        self.stem.fit(images, self.normalize)
