"""A quantized network for a compiler: it sees that the filters are bytes, and multiplies bytes.

The filters of a quantized network stand on their grid already, and PyTorch computes with them as they are. In a
graph they are numbers like others; rounding them there once more changes none, and tells what they are.
"""

import copy

from torch import Tensor, nn

from models.networks.layers import Convolution
from models.networks.network import Network
from models.networks.quantization import round_filters


class _ByteConvolution(nn.Module):
    def __init__(self, convolution: Convolution) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution.convolve(x, round_filters(self.convolution.weight))


def with_byte_filters(network: Network) -> Network:
    """Return a copy of a quantized network that answers the same, and whose graph rounds the filters, too."""
    twin = copy.deepcopy(network)
    for module in list(twin.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Convolution) and child.input_range is not None:
                setattr(module, name, _ByteConvolution(child))
    return twin
