"""The small VGG-like network that reaches 94 % on CIFAR-10 in a few passes: 1.97 million parameters.

Source: K. Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, and the later
Muon variant (94.01 %, n=200). Here the last pooling is a global maximum, which is the same thing at
32 × 32 and lets the network take other sizes, during training (progressive resizing) and after it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.normalization import Normalization
from models.preprocessing import InputSpec

_STEM_KERNEL = 2
_STEM_CHANNELS = 2 * 3 * _STEM_KERNEL**2  # every whitening filter and its negation: 24
_WHITENING_EPSILON = 5e-4  # arXiv 2404.00498: keeps the filters of nearly empty directions bounded
_BATCH_NORM_RATE = 0.4  # share of the newest batch in the running statistics; the record's value
_BATCH_NORM_EPSILON = 1e-12
_SMALLEST_SIDE = 9  # stem −1, then three halvings must leave one pixel


class _BatchNorm(nn.BatchNorm2d):
    """Batch normalisation with its scale fixed at 1; only the shift is trained."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_BATCH_NORM_EPSILON, momentum=_BATCH_NORM_RATE)
        self.weight.requires_grad_(False)


class _Group(nn.Module):
    """conv 3×3, max-pool 2, norm, GELU, conv 3×3, norm, GELU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = _identity_convolution(channels_in, channels_out)
        self.norm1 = _BatchNorm(channels_out)
        self.conv2 = _identity_convolution(channels_out, channels_out)
        self.norm2 = _BatchNorm(channels_out)

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
    """

    def __init__(
        self,
        *,
        classes: int,
        spec: InputSpec,
        temperature: float = 1.0,
        widths: Sequence[int] = (64, 256, 256),
    ) -> None:
        super().__init__()
        if min(spec.height, spec.width) < _SMALLEST_SIDE:
            raise ValueError(f"the fast network needs at least {_SMALLEST_SIDE} × {_SMALLEST_SIDE} pixels")
        if not widths or min(widths) < 1:
            raise ValueError(
                f"the widths are {list(widths)}; at least one group with at least one channel is needed"
            )
        self.temperature = temperature
        self.normalize = Normalization(spec)
        self.stem = nn.Conv2d(3, _STEM_CHANNELS, _STEM_KERNEL)
        self.stem.weight.requires_grad_(False)
        channels = (_STEM_CHANNELS, *widths)
        self.groups = nn.Sequential(*(_Group(*pair) for pair in zip(channels, widths, strict=False)))
        self.head = nn.Linear(widths[-1], classes, bias=False)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())
        self.logit_scale = 1 / widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Classify uint8 images (batch, height, width, 3) into logits (batch, classes)."""
        return self.logits(self.features(images))

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

    @torch.no_grad()
    def fit_stem(self, images: Tensor) -> None:
        """Set the frozen stem so that its output is decorrelated: the patch whitening of these images.

        Args:
            images: uint8 (n, height, width, 3), unaugmented; 5,000 are plenty.
        """
        covariance = torch.zeros(12, 12, dtype=torch.float64, device=images.device)  # uncentred
        count = 0
        for chunk in torch.split(images, 250):  # 250 pictures of 96 × 96 take 0.3 GB for a moment, 5,000 take 6
            patches = F.unfold(self.normalize(chunk).float(), _STEM_KERNEL)  # (n, 12, positions)
            rows = patches.transpose(1, 2).reshape(-1, patches.shape[1]).double()
            covariance += rows.T @ rows
            count += len(rows)
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance / count)
        filters = (eigenvectors / torch.sqrt(eigenvalues + _WHITENING_EPSILON)).T
        filters = filters.reshape(-1, 3, _STEM_KERNEL, _STEM_KERNEL)
        self.stem.weight.copy_(torch.cat([filters, -filters]))


def _identity_convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """3×3, same size, no bias; its first filters pass their channel through, the rest start at random."""
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:channels_in])
    return convolution
