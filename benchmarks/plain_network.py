"""The network of a checkpoint as somebody would run it who has PyTorch and nothing else."""

from models.checkpoint import Checkpoint
from models.networks.layers import Convolution
from models.networks.network import Network


def plain_network(checkpoint: Checkpoint) -> Network:
    """Give the network of a checkpoint without the rounding of a quantized one, which costs PyTorch time.

    Args:
        checkpoint: freshly loaded; its network is changed in place.
    """
    for module in checkpoint.network.modules():
        if isinstance(module, Convolution):
            module.input_range = None
    return checkpoint.network
