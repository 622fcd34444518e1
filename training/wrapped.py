"""What is called instead of a network in training: compiled, and wrapped for its processes."""

import gc

from torch import Tensor, nn

from training.devices import Computing
from training.ranks import Ranks


class Wrapped:
    """Calls a network in the computing's dtype, and has its gradients summed over the processes.

    Args:
        network: on its device; its batch norms see the whole batch (`Ranks.together`).
        computing: in which dtype, compiled or not.
        ranks: the processes that train together.
    """

    def __init__(self, network: nn.Module, computing: Computing, ranks: Ranks) -> None:
        self._network = network
        self._computing = computing
        self._ranks = ranks
        self._forward: nn.Module | None = None
        self._trained = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Compute float32 logits (batch, classes)."""
        forward = self._ready()
        with self._computing.autocast():
            logits: Tensor = forward(images)
        return logits.float()

    def _ready(self) -> nn.Module:
        """Wrap the network anew whenever some of its parameters came to rest."""
        trained = sum(p.requires_grad for p in self._network.parameters())
        if self._forward is None or trained != self._trained:
            self._trained, self._forward = trained, None
            gc.collect()  # an old wrapper goes first: as long as it lives it sums gradients too
            self._forward = self._ranks.parallel(self._computing.compiled(self._network))
        return self._forward
