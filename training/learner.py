"""Everything that changes from one step of a training to the next, and the step itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from training.devices import Computing
from training.epoch import Look
from training.lookahead import SlowCopy
from training.ranks import Ranks
from training.recipes import LargeBatchRecipe
from training.selection import Selector
from training.student import Student, make_student


@dataclass
class Learner:
    """The student, and all that goes along with it. Its state and the recipe decide all that follows.

    Attributes:
        student: the network, with the recipe that is carried out.
        slow: the copy that looks ahead; None where the recipe has none.
        selector: picks what is learnt; None where the recipe learns from every picture.
        steps_per_epoch: whole batches in a pass.
        step: steps made.
        seconds: that they took.
        epoch_loss: sum of the losses per picture of the epoch's steps so far, float64, on the device: reading
            it at each step would make a GPU wait.
    """

    student: Student
    slow: SlowCopy | None
    selector: Selector | None
    steps_per_epoch: int
    epoch_loss: Tensor
    step: int = 0
    seconds: float = 0.0
    log_every: ClassVar[int] = 10  # steps

    @property
    def recipe(self) -> LargeBatchRecipe:
        """As it is carried out."""
        return self.student.recipe

    @property
    def ranks(self) -> Ranks:
        """The processes that train together."""
        return self.student.ranks

    @property
    def batch_size(self) -> int:
        """Pictures a step, of all processes together."""
        return self.recipe.batch_size

    @property
    def pictures_learnt(self) -> int:
        """Pictures of a batch that a step learns from."""
        selection = self.recipe.selection
        return self.batch_size if selection is None else selection.pictures_of(self.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.epochs * self.steps_per_epoch

    @property
    def lr(self) -> float:
        """The schedule's factor at the last step."""
        group = self.student.optimizers[-1].param_groups[-1]
        return float(group["lr"] / group["highest_lr"])

    def choose(self, index: Tensor, look: Look) -> Tensor:
        """Choose what the next step learns from: all of a batch, or what the selector picks of it.

        Args:
            index: of all pictures of the batch, the same in all processes.
            look: how pictures are seen.
        """
        if self.selector is None:
            return index
        return self.selector.pick(index, look, step=self.step, steps=self.steps)

    def learn(self, images: Tensor, wanted: Tensor) -> Tensor:
        """Take one step on this process's share of what was chosen: forward, loss in float32, backward, update.

        Args:
            images: uint8 or float in 0…255, (share, height, width, 3), on the network's device.
            wanted: (share,) classes or (share, classes) logits of a teacher, there too.

        Returns:
            The loss per picture of all that was chosen, before the step; a tensor without dimensions.
        """
        if self.step % self.steps_per_epoch == 0:
            self.epoch_loss.zero_()
        self.student.set_rates(step=self.step, steps=self.steps)
        loss = self.student.losses(images, wanted).sum()
        self.student.descend(loss)
        self.step += 1
        if self.slow is not None:
            self.slow.follow(done=self.step, steps=self.steps)
        loss_per_picture = self.ranks.total(loss.detach()) / self.pictures_learnt
        self.epoch_loss += loss_per_picture
        return loss_per_picture

    def state(self) -> dict[str, Any]:
        """Give what a saved state holds: tensors, numbers, texts, lists and dictionaries, nothing else."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "epoch_loss": self.epoch_loss,
            **self.student.state(),
            "slow": None if self.slow is None else self.slow.tensors,
            "selector": None if self.selector is None else self.selector.student.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to where a state was taken."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.epoch_loss.copy_(state["epoch_loss"])
        self.student.restore(state)
        if self.slow is not None:
            self.slow.restore(state["slow"])
        if self.selector is not None:
            self.selector.student.restore(state["selector"])


def make_learner(
    recipe: LargeBatchRecipe,
    network: nn.Module,
    *,
    pictures: int,
    selector: Selector | None,
    computing: Computing,
    ranks: Ranks,
) -> Learner:
    """Prepare a network for its first step.

    Args:
        recipe: fitted to the data.
        network: with its stem fitted, on its device.
        pictures: to learn from, at least a batch.
        selector: of the same recipe; None where it learns from every picture.
        computing: in which dtype, compiled or not.
        ranks: the processes that train together.
    """
    return Learner(
        student=make_student(recipe, network, pictures=pictures, computing=computing, ranks=ranks),
        slow=None if recipe.lookahead is None else SlowCopy(recipe.lookahead, network),
        selector=selector,
        steps_per_epoch=pictures // recipe.batch_size,
        epoch_loss=torch.zeros((), dtype=torch.float64, device=next(network.parameters()).device),
    )
