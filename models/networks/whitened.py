"""What the `fast` and the `residual` network have in common: a whitening stem, groups, one head.

Source: K. Jordan, arXiv 2404.00498, and its repository. There the last pooling has a fixed size; here it is a
global maximum, which is the same thing at 32 × 32 and lets a network take other sizes, during training
(progressive resizing) and after it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.layers import NORM_EPSILON, STEM_CHANNELS, WhiteningStem
from models.networks.network import Network, Stage
from models.networks.quantization import Range, ranges_of_groups
from models.preprocessing import InputSpec
from models.values import is_fraction


class MakeGroup(Protocol):
    """Makes a group of layers."""

    def __call__(
        self, channels_in: int, channels_out: int, ranges: Sequence[Range | None], /, *, epsilon: float
    ) -> nn.Module:
        """Make one of channels in, channels out, what each convolution rounds to (None for nothing), and norms."""


HEAD = "head.weight"
"""Name of the last layer's weights (classes, features) in a network of this kind."""

SMALLEST_SIDE = 9
"""In pixels: the stem takes one off, then three halvings must leave one."""


class WhitenedNetwork(Network):
    """Whitening stem, groups that halve the sides, global maximum, scaled head without bias.

    Random numbers are drawn for stem, groups and head in this order: another would give a seed other weights. A
    network of this kind then sets `logit_scale`, and changes what shall begin otherwise.

    Attributes:
        logit_scale: the logits are multiplied by it.

    Args:
        name: as in the table of networks, for messages.
        make_group: makes each group.
        convolutions: 3×3 ones in each group.
        classes: number of classes.
        spec: size, mean and deviation of the images; both sides at least 9 pixels.
        widths: channels of the groups.
        temperature: the logits are divided by it.
        input_ranges: lowest and highest value in front of each 3×3 convolution, in their order; with them it is a
            quantized network (`models/networks/quantization.py`).
        norm_epsilon: what the batch norms add to a variance before they divide by its root.

    Raises:
        ValueError: the images are too small, a group has no channel, the ranges do not fit, or nothing is added.
    """

    logit_scale: float

    def __init__(
        self,
        name: str,
        make_group: MakeGroup,
        *,
        convolutions: int,
        classes: int,
        spec: InputSpec,
        widths: Sequence[int],
        temperature: float = 1.0,
        input_ranges: Sequence[Sequence[float]] | None = None,
        norm_epsilon: float = NORM_EPSILON,
    ) -> None:
        super().__init__(spec, temperature=temperature)
        if min(spec.height, spec.width) < SMALLEST_SIDE:
            raise ValueError(f"the {name} network needs at least {SMALLEST_SIDE} × {SMALLEST_SIDE} pixels")
        if not widths or min(widths) < 1:
            raise ValueError(
                f"the widths are {list(widths)}; at least one group with at least one channel is needed"
            )
        if not (is_fraction(norm_epsilon) and norm_epsilon > 0):
            raise ValueError(f"norm_epsilon is {norm_epsilon!r}; a number above 0, at most 1, is needed")
        self.stem = WhiteningStem()
        channels = (STEM_CHANNELS, *widths)
        ranges = ranges_of_groups(input_ranges, groups=len(widths), convolutions=convolutions)
        self.groups = nn.Sequential(*map(partial(make_group, epsilon=norm_epsilon), channels, widths, ranges))
        self.head = nn.Linear(widths[-1], classes, bias=False)

    @property
    def feature_count(self) -> int:
        """How many numbers the head sees."""
        return self.head.in_features

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The groups: each halves what came, and the stem's 2×2 filters have moved it by half a pixel."""
        strides = [2**number for number in range(1, len(self.groups) + 1)]
        return tuple(
            Stage(group, stride, (stride + 1) / 2) for group, stride in zip(self.groups, strides, strict=True)
        )

    def features(self, images: Tensor) -> Tensor:
        """Compute from uint8 images (batch, height, width, 3) what the head sees: (batch, features)."""
        x = F.gelu(self.stem(self.normalize(images)))  # (batch, 24, 31, 31) of 32 × 32 pixels
        x = self.groups(x)  # (batch, features, 3, 3)
        return self._highest(x)  # (batch, features)

    def _highest(self, maps: Tensor) -> Tensor:
        """Take the maximum of each map.

        The gradient of `amax` goes to where the maps are equal to it. A compiled backward pass computes the maps
        anew, without rounding them to half precision in between: nothing is equal, and the gradient is 0 / 0.
        """
        if self.training and torch.compiler.is_compiling():
            return maps.flatten(2).max(dim=2).values  # goes to its place instead
        highest: Tensor = maps.amax(dim=(2, 3))
        return highest

    def logits(self, features: Tensor) -> Tensor:
        """Turn features (batch, features) into logits (batch, classes)."""
        logits: Tensor = self.head(features) * (self.logit_scale / self.temperature)
        return logits

    def fit_stem(self, images: Tensor) -> None:
        """Compute the frozen filters of the stem from uint8 images (n, height, width, 3)."""
        self.stem.fit(images, self.normalize)
