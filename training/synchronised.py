"""Batch normalisation over the pictures of all processes, on any device.

PyTorch's SyncBatchNorm needs a GPU. This one adds up sums and sums of squares, and is used on both, so that
the test on a CPU speaks for the GPU too.
"""

from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn


class _SumOverProcesses(torch.autograd.Function):
    """Adds a tensor up over all processes; backward, the gradients are added up likewise."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:  # noqa: ANN401 - torch's own context
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - the same
        (gradient,) = gradients
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """Shares parameters and statistics with the layer that it stands for.

    It is never compiled: PyTorch 2.11 leaves the sum out of a compiled backward pass, and every gradient below it
    is then wrong (tests/integration/test_ranks.py).

    Args:
        layer: to stand for.
    """

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        super().__init__(layer.num_features, eps=layer.eps, momentum=layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch gives it no types
    def forward(self, features: Tensor) -> Tensor:
        """Normalise (batch, channels, height, width); statistics are float32."""
        if not self.training:
            return super().forward(features)
        x = features.float()
        count = torch.full((1,), float(x.numel() / x.shape[1]), device=x.device)
        sums: Tensor = _SumOverProcesses.apply(
            torch.cat([x.sum(dim=(0, 2, 3)), x.square().sum(dim=(0, 2, 3)), count])
        )
        channels = self.num_features
        of_x, of_squares, n = sums[:channels], sums[channels : 2 * channels], sums[2 * channels]
        mean = of_x / n
        variance = (of_squares / n - mean.square()).clamp(min=0)
        self._remember(mean.detach(), variance.detach() * (n / (n - 1)).detach())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        normalized: Tensor = x * scale[:, None, None] + shift[:, None, None]
        return normalized.to(features.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)


def synchronise(network: nn.Module) -> nn.Module:
    """Replace each batch norm of a network; its state's names stay, and so do its tensors."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            setattr(network, name, SynchronisedBatchNorm(layer))
        else:
            synchronise(layer)
    return network
