"""A slow copy of a network, from which it goes on every few steps."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.recipes import Lookahead


class SlowCopy:
    """Follows every floating tensor of a network's state: weights and running statistics.

    Args:
        table: how often and how strongly.
        network: as it is at the start.
    """

    def __init__(self, table: Lookahead, network: nn.Module) -> None:
        self._table = table
        self._fast = {name: t for name, t in network.state_dict().items() if t.is_floating_point()}
        self.tensors = {name: tensor.clone() for name, tensor in self._fast.items()}

    @torch.no_grad()
    def follow(self, *, done: int, steps: int) -> None:
        """Move towards the network and put the network there, if it is time; at the end, only the latter.

        Args:
            done: steps, the one just made included.
            steps: of the run.
        """
        if done % self._table.every == 0:
            kept = self._table.strength * (done / steps) ** 3
            for name, slow in self.tensors.items():
                slow.lerp_(self._fast[name], 1 - kept)
        elif done < steps:
            return
        for name, slow in self.tensors.items():
            self._fast[name].copy_(slow)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the copy over from a saved state."""
        for name, slow in self.tensors.items():
            slow.copy_(tensors[name])
