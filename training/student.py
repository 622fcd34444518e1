"""A network that learns in large batches, and what moves its weights; the large and the small one are such."""

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.devices import Computing
from training.losses import Loss, losses_of
from training.optimizers import make_optimizers
from training.ranks import Ranks
from training.recipes import LargeBatchRecipe
from training.schedule import set_rates


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


@dataclass(frozen=True)
class Student:
    """A network with its optimizers. A step is `set_rates`, `losses`, and `descend` along their sum.

    Attributes:
        recipe: as it is carried out.
        network: on its device.
        forward: what is called instead of it.
        optimizers: over its parameters.
        loss: of logits and what is wanted, a number for each picture.
        ranks: the processes that train together.
    """

    recipe: LargeBatchRecipe
    network: nn.Module
    forward: Wrapped
    optimizers: tuple[torch.optim.Optimizer, ...]
    loss: Loss
    ranks: Ranks

    def set_rates(self, *, step: int, steps: int) -> None:
        """Set the learning rates of a step, and freeze what rests from there on.

        Args:
            step: counted from 0.
            steps: of the run.
        """
        set_rates(self.recipe, self.optimizers, step=step, steps=steps)

    def losses(self, images: Tensor, wanted: Tensor) -> Tensor:
        """Compare what the network says to images with what is wanted.

        Args:
            images: uint8 or float in 0…255, (share, height, width, 3), on the network's device.
            wanted: (share,) classes or (share, classes) logits of a teacher, there too.

        Returns:
            float32 (share,).
        """
        return self.loss(self.forward(images), wanted)

    def descend(self, loss: Tensor) -> None:
        """Move the weights: backward, update.

        Args:
            loss: the sum over this process's share, without dimensions.
        """
        self.network.zero_grad(set_to_none=True)
        self.ranks.scale(loss).backward()
        for optimizer in self.optimizers:
            optimizer.step()

    def state(self) -> dict[str, Any]:
        """Give what a saved state holds of it: tensors, numbers, texts, lists and dictionaries, nothing else."""
        return {
            "network": dict(self.network.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to where a state was taken; what else it holds is left aside."""
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def make_student(
    recipe: LargeBatchRecipe, network: nn.Module, *, pictures: int, computing: Computing, ranks: Ranks
) -> Student:
    """Prepare a network for its first step.

    Args:
        recipe: fitted to the data.
        network: with its stem fitted, on its device; its batch norms see the whole batch (`Ranks.together`).
        pictures: to learn from, at least a batch.
        computing: in which dtype, compiled or not.
        ranks: the processes that train together.
    """
    steps_per_epoch = pictures // recipe.batch_size
    return Student(
        recipe=recipe,
        network=network.train(),
        forward=Wrapped(network, computing, ranks),
        optimizers=make_optimizers(recipe, network, steps_per_epoch=steps_per_epoch, dtype=computing.dtype),
        loss=losses_of(recipe),
        ranks=ranks,
    )
