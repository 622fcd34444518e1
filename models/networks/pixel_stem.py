"""The whitening stem for arithmetic that rounds to bfloat16: fed with whole pixels, its filters in two parts.

Whitening takes differences of almost equal pixels and magnifies them, so a rounded filter does not cancel what
it should: of all that bfloat16 changed in the answers of two networks, the stem was behind 87 and 98 % of the
variance (docs/experiments.md, 2026-11-25). Whole numbers up to 256 are exact in bfloat16, two of its numbers hold
a weight to 16 bits, and sums are taken in float32.
"""

from copy import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.layers import WhiteningStem
from models.networks.network import Network
from models.networks.normalization import Normalization
from models.networks.whitened import WhitenedNetwork

_MIDDLE = 128  # of a pixel's values; without it the bias would take a large sum off again


class PixelStem(nn.Module):
    """What the normalisation and the whitening stem are together, but for roundings.

    Args:
        normalize: what the network does to images first.
        stem: fitted.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, normalize: Normalization, stem: WhiteningStem) -> None:
        super().__init__()
        mean, std = normalize.mean.double(), normalize.std.double()  # (1, 3, 1, 1)
        filters = stem.weight.detach().double()
        of_pixels = filters / (255 * std)
        coarse = of_pixels.bfloat16().double()
        offset = (filters * (_MIDDLE / 255 - mean) / std).sum(dim=(1, 2, 3))
        weight = torch.cat([coarse, of_pixels - coarse], dim=1)  # (24, 6, 2, 2)
        self.register_buffer("weight", weight.float())
        self.register_buffer("bias", (stem.bias.detach().double() + offset).float())

    def forward(self, images: Tensor) -> Tensor:
        """Whiten uint8 images (batch, height, width, 3) into (batch, 24, height - 1, width - 1)."""
        pixels = images.permute(0, 3, 1, 2).to(self.weight.dtype) - _MIDDLE
        return F.conv2d(torch.cat([pixels, pixels], dim=1), self.weight, self.bias)


def with_pixel_stem(network: WhitenedNetwork) -> Network:
    """Return a network that shares the weights of this one, but for its stem."""
    twin = copy(network)
    stem = PixelStem(network.normalize, network.stem)
    twin._modules = {**network._modules, "normalize": nn.Identity(), "stem": stem}  # the copy's is the very same
    return twin
