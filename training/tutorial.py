"""The beginner's training loop, to the letter; what it adds is that it can be stopped and resumed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from training.data.dataset import Split
from training.errors import check_finite
from training.interrupts import Interrupts, interrupts_between_steps
from training.progress import RunProgress
from training.recipes import TutorialRecipe
from training.runs.run import Run


@dataclass
class Beginner:
    """The tutorial's network in training.

    Attributes:
        recipe: as it is carried out.
        network: on its device.
        optimizer: over its parameters.
        steps_per_epoch: mini-batches in a pass.
        order: state of the generator before it shuffles the pass of the next step.
        step: mini-batches learnt.
        seconds: that they took.
        epoch_loss: sum over the present pass.
        running_loss: sum since the last report.
    """

    recipe: TutorialRecipe
    network: nn.Module
    optimizer: torch.optim.Optimizer
    steps_per_epoch: int
    order: Tensor
    step: int = 0
    seconds: float = 0.0
    epoch_loss: float = 0.0
    running_loss: float = 0.0

    @property
    def batch_size(self) -> int:
        """Pictures a step."""
        return self.recipe.batch_size

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.epochs * self.steps_per_epoch

    @property
    def lr(self) -> float:
        """The rate is the same from the first step to the last."""
        return 1.0

    @property
    def log_every(self) -> int:
        """Mini-batches between two lines of metrics: as often as the tutorial prints one."""
        return self.recipe.report_every

    def learn(self, images: Tensor, targets: Tensor) -> float:
        """Take one step, and return the loss before it."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.network(images), targets)
        loss.backward()
        self.optimizer.step()
        if self.step % self.steps_per_epoch == 0:
            self.epoch_loss = self.running_loss = 0.0
        self.step += 1
        self.epoch_loss += loss.item()
        self.running_loss += loss.item()
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Give what a saved state holds: tensors, numbers, lists and dictionaries, nothing else."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "epoch_loss": self.epoch_loss,
            "running_loss": self.running_loss,
            "order": self.order,
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to where a state was taken."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.epoch_loss, self.running_loss = state["epoch_loss"], state["running_loss"]
        self.order = state["order"].cpu()
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def train_tutorial(
    recipe: TutorialRecipe,
    network: nn.Module,
    data: Split,
    *,
    seed: int,
    device: torch.device,
    console: Console,
    run: Run | None,
) -> float:
    """Plain SGD over shuffled batches of four; float32, as the tutorial has it.

    Returns:
        Seconds of training.
    """
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(
        TensorDataset(data.images, data.targets),
        batch_size=recipe.batch_size,
        shuffle=True,
        num_workers=recipe.workers,
        multiprocessing_context="fork",  # they hold Ctrl-C back as this process does; no default since Python 3.14
        generator=generator,
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    beginner = Beginner(recipe, network, optimizer, len(loader), generator.get_state())
    state = run.load_state(device=device) if run else None
    if state is not None:
        beginner.restore(state)
    _make_steps(beginner, loader, generator, device=device, console=console, run=run)
    return beginner.seconds


def _make_steps(
    beginner: Beginner,
    loader: DataLoader[tuple[Tensor, ...]],
    generator: torch.Generator,
    *,
    device: torch.device,
    console: Console,
    run: Run | None,
) -> None:
    recipe, per_epoch = beginner.recipe, beginner.steps_per_epoch
    with (
        interrupts_between_steps() as interrupts,
        RunProgress(console, steps=beginner.steps, done=beginner.step) as progress,
    ):
        for epoch in range(beginner.step // per_epoch, recipe.epochs):
            generator.set_state(beginner.order)
            done, started_s = beginner.step % per_epoch, time.monotonic()
            for step, (images, targets) in enumerate(islice(loader, done, None), start=done + 1):
                loss = beginner.learn(images.to(device), targets.to(device))
                check_finite(loss, epoch=epoch, step=step)
                beginner.seconds += time.monotonic() - started_s
                progress.step(place=f"epoch {epoch + 1}/{recipe.epochs}", loss=loss, pictures=len(targets))
                if step % recipe.report_every == 0:
                    mean_loss = beginner.running_loss / recipe.report_every
                    progress.say(f"[{epoch + 1}, {step:5d}] loss: {mean_loss:.3f}")
                    beginner.running_loss = 0.0
                if step < per_epoch:
                    _end_step(beginner, run, loss=loss, interrupts=interrupts)
                started_s = time.monotonic()
            beginner.order = generator.get_state()  # only now is the loader done with it
            _end_step(beginner, run, loss=loss, interrupts=interrupts)
    if run is not None:
        run.keep_snapshot(beginner)  # the rate never falls: a longer run goes on from the end


def _end_step(beginner: Beginner, run: Run | None, *, loss: float, interrupts: Interrupts) -> None:
    if run is not None:
        run.note_step(beginner, loss=loss, must_save=interrupts.is_pending)
    interrupts.obey()
