"""Everything that changes from one step of a training to the next, and the step itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.lookahead import SlowCopy
from training.recipes import LargeBatchRecipe
from training.schedule import make_optimizers, set_rates


@dataclass
class Learner:
    """A network in training. Its state and the recipe decide all that follows.

    Attributes:
        recipe: as it is carried out.
        network: on its device.
        optimizers: over its parameters.
        slow: the copy that looks ahead; None where the recipe has none.
        steps_per_epoch: whole batches in a pass.
        dtype: of the forward pass; float32 means no autocast.
        step: steps made.
        seconds: that they took.
        epoch_loss: sum of the losses per picture of the epoch's steps so far.
    """

    recipe: LargeBatchRecipe
    network: nn.Module
    optimizers: tuple[torch.optim.Optimizer, ...]
    slow: SlowCopy | None
    steps_per_epoch: int
    dtype: torch.dtype
    step: int = 0
    seconds: float = 0.0
    epoch_loss: float = 0.0

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.epochs * self.steps_per_epoch

    @property
    def lr(self) -> float:
        """Learning rate of the recipe's last group, as a share of its highest."""
        group = self.optimizers[-1].param_groups[-1]
        return float(group["lr"] / group["highest_lr"])

    def learn(self, images: Tensor, targets: Tensor) -> float:
        """Take one step on one batch: forward in `dtype`, loss in float32, backward, update.

        Args:
            images: uint8 or float in 0…255, (batch, height, width, 3), on the network's device.
            targets: int64 (batch,), there too.

        Returns:
            The loss per picture, before the step.
        """
        if self.step % self.steps_per_epoch == 0:
            self.epoch_loss = 0.0
        set_rates(self.recipe, self.optimizers, step=self.step, steps=self.steps)
        with torch.autocast(images.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.network(images)
        loss = F.cross_entropy(
            logits.float(), targets, label_smoothing=self.recipe.label_smoothing, reduction="sum"
        )
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        if self.slow is not None:
            self.slow.follow(done=self.step, steps=self.steps)
        loss_per_picture = loss.item() / len(targets)
        self.epoch_loss += loss_per_picture
        return loss_per_picture

    def state(self) -> dict[str, Any]:
        """Give what a saved state holds: tensors, numbers, texts, lists and dictionaries, nothing else."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "epoch_loss": self.epoch_loss,
            "network": dict(self.network.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "slow": None if self.slow is None else self.slow.tensors,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to where a state was taken."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.epoch_loss = state["epoch_loss"]
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.slow is not None:
            self.slow.restore(state["slow"])


def make_learner(recipe: LargeBatchRecipe, network: nn.Module, *, pictures: int, dtype: torch.dtype) -> Learner:
    """Prepare a network for its first step.

    Args:
        recipe: fitted to the data.
        network: with its stem fitted, on its device.
        pictures: to learn from, at least a batch.
        dtype: of the forward pass.
    """
    steps_per_epoch = pictures // recipe.batch_size
    optimizers = make_optimizers(recipe, network, steps_per_epoch=steps_per_epoch, dtype=dtype)
    slow = None if recipe.lookahead is None else SlowCopy(recipe.lookahead, network)
    return Learner(recipe, network.train(), optimizers, slow, steps_per_epoch, dtype)
