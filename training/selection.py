"""A small network that learns beside the large one, and picks what the large one learns from.

What is already easy teaches little, so the large network learns the hardest half of each batch only; the small one
adds a twentieth to the arithmetic of that half (of `compact`: a sixth).

Source: airbench96_faster (96.00 %, n=200, with 37 % less arithmetic than without). There the small network has no
residual groups and a stem whose bias rests, and makes its whole run first, writing down what it picked; here it is
built and trained as the large one, and both make each step together, on the same pictures. And there no picture is
left over at the end of an epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.networks import Architecture
from models.preprocessing import InputSpec
from training.devices import Computing
from training.epoch import Look
from training.fresh import fit_stem, fresh_network
from training.losses import Loss, losses_of
from training.ranks import Ranks
from training.recipes import LargeBatchRecipe, Selection
from training.schedule import make_optimizers, set_rates
from training.wrapped import Wrapped


@dataclass
class Selector:
    """The small network, in training. It makes as many steps as the large one, with the same rates.

    Attributes:
        table: how much is picked, and how often the small network learns.
        recipe: of the large network, as it is carried out.
        network: the small one, on its device.
        forward: what is called instead of it.
        optimizers: over its parameters.
        losses: of logits and what is wanted, a number for each picture.
        ranks: the processes that train together.
        loss: per picked picture, at the last step; float32, without dimensions, on the device.
    """

    table: Selection
    recipe: LargeBatchRecipe
    network: nn.Module
    forward: Wrapped
    optimizers: tuple[torch.optim.Optimizer, ...]
    losses: Loss
    ranks: Ranks
    loss: Tensor

    def pick(self, index: Tensor, look: Look, *, step: int, steps: int) -> Tensor:
        """Pick the pictures of a batch with the largest losses, and let the small network learn when it is time.

        Args:
            index: of all pictures of the batch, the same in all processes.
            look: how pictures are seen.
            step: counted from 0.
            steps: of the run.

        Returns:
            Index of the picked pictures, in the order of the batch.
        """
        set_rates(self.recipe, self.optimizers, step=step, steps=steps)
        is_learning = step % self.table.learns_every == 0
        images, wanted = look(self.ranks.share(index))
        with torch.set_grad_enabled(is_learning):
            own = self.losses(self.forward(images), wanted)
        whole = self.ranks.gather(own.detach(), count=len(index))
        picked = whole.topk(self.table.pictures_of(len(index)), sorted=False).indices.sort().values
        self.loss = whole[picked].mean()
        if is_learning:
            is_picked = torch.zeros(len(index), dtype=torch.bool, device=own.device).index_fill_(0, picked, True)
            self._learn(torch.where(self.ranks.share(is_picked), own, 0).sum())
        return index[picked]

    def _learn(self, loss: Tensor) -> None:
        self.network.zero_grad(set_to_none=True)
        self.ranks.scale(loss).backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()

    def state(self) -> dict[str, Any]:
        """Give what a saved state holds of it."""
        return {
            "network": dict(self.network.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to where a state was taken."""
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def make_selector(
    recipe: LargeBatchRecipe,
    images: Tensor,
    *,
    classes: int,
    spec: InputSpec,
    computing: Computing,
    ranks: Ranks,
) -> Selector | None:
    """Build the small network of a recipe; None where it has none.

    Args:
        recipe: fitted to the data.
        images: uint8 (pictures, height, width, 3) to learn from, at least a batch, on the device.
        classes: number of labels.
        spec: of the images.
        computing: on what, in which dtype, compiled or not.
        ranks: the processes that train together.
    """
    table = recipe.selection
    if table is None:
        return None
    large = recipe.architecture
    small = Architecture(large.name, {**large.arguments, "widths": table.widths})
    fresh = fresh_network(small, classes=classes, spec=spec, device=computing.device)
    fit_stem(fresh, images, recipe=recipe)
    network = ranks.together(fresh).train()
    per_epoch = len(images) // recipe.batch_size
    return Selector(
        table=table,
        recipe=recipe,
        network=network,
        forward=Wrapped(network, computing, ranks),
        optimizers=make_optimizers(recipe, network, steps_per_epoch=per_epoch, dtype=computing.dtype),
        losses=losses_of(recipe),
        ranks=ranks,
        loss=torch.zeros((), device=computing.device),
    )
