"""How a network in training answers pictures that it does not learn from."""

import torch
from torch import Tensor, nn

from training.chunks import chunks
from training.data.dataset import Split
from training.data.sampling import draw_by_class
from training.devices import Computing

_MOST_PICTURES = 1_000
"""Known to about two points, which tells whether a training still gets better, for about a hundredth of the
time of an epoch of CIFAR-10. Source: choice."""


class Validation:
    """Asks the same held-out pictures whenever it is called, and leaves the training as it was, to the bit.

    The network answers with its batch norms' averages, as it will when it is served. Nothing is chosen by it.

    Args:
        held_out: not learnt from; some of them are asked where there are many.
        computing: on what, and in which dtype.
    """

    def __init__(self, held_out: Split, computing: Computing) -> None:
        places = draw_by_class(held_out.targets, count=_MOST_PICTURES, seed=0)
        self._images = held_out.images[places].to(computing.device)
        self._targets = held_out.targets[places].to(computing.device)
        self._computing = computing

    def accuracy(self, network: nn.Module) -> float:
        """Return the share of the pictures that a network names rightly.

        Args:
            network: on the device; in training mode, before and after.
        """
        network.eval()
        accuracy = share_named_rightly(network, self._images, self._targets, self._computing)
        network.train()
        return accuracy


@torch.no_grad()
def share_named_rightly(network: nn.Module, images: Tensor, targets: Tensor, computing: Computing) -> float:
    """Return the share of pictures that a network names rightly.

    Args:
        network: on the device, in evaluation mode.
        images: uint8 (n, height, width, 3), there too.
        targets: int64 (n,), there too.
        computing: in which dtype.
    """
    with computing.autocast():
        answers = torch.cat([network(chunk).argmax(1) for chunk in chunks(images)])
    return float((answers == targets).double().mean())
