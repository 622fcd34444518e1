"""The beginner's training loop, to the letter."""

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from training.data import Split
from training.errors import check_finite
from training.interrupts import interrupts_between_steps
from training.progress import RunProgress
from training.recipes import TutorialRecipe


def train_tutorial(
    recipe: TutorialRecipe,
    network: nn.Module,
    data: Split,
    *,
    seed: int,
    device: torch.device,
    console: Console,
) -> None:
    """Plain SGD over shuffled batches of four; float32, as the tutorial has it."""
    loader = DataLoader(
        TensorDataset(data.images, data.targets),
        batch_size=recipe.batch_size,
        shuffle=True,
        num_workers=recipe.workers,
        generator=torch.Generator().manual_seed(seed),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    steps = recipe.epochs * len(loader)
    with interrupts_between_steps() as obey_interrupt, RunProgress(console, steps=steps) as progress:
        for epoch in range(recipe.epochs):
            place = f"epoch {epoch + 1}/{recipe.epochs}"
            running_loss = 0.0
            for step, (images, targets) in enumerate(loader, start=1):
                optimizer.zero_grad()
                loss = F.cross_entropy(network(images.to(device)), targets.to(device))
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                running_loss += check_finite(loss.item(), epoch=epoch, step=step)
                progress.step(place=place, loss=loss.item(), pictures=len(targets))
                if step % recipe.report_every == 0:
                    progress.say(f"[{epoch + 1}, {step:5d}] loss: {running_loss / recipe.report_every:.3f}")
                    running_loss = 0.0
                obey_interrupt()
