"""The two training loops: the beginner's, and the one that reaches 94 %."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from models.networks import build
from models.networks.fast import FastNetwork
from models.preprocessing import InputSpec
from training.augment import batches, crop, draw_order, resize
from training.data import Split
from training.devices import fast_dtype
from training.errors import TrainingError
from training.interrupts import interrupts_between_steps
from training.optimizers import Muon
from training.progress import RunProgress
from training.recipes import RECIPE_SIDE, FastRecipe, Recipe, TutorialRecipe


@dataclass(frozen=True)
class Trained:
    """What a run leaves behind.

    Attributes:
        network: in evaluation mode, on the run's device.
        recipe: as it was carried out: epochs and batch size follow the data.
        seconds: of training alone.
    """

    network: nn.Module
    recipe: Recipe
    seconds: float


def train(
    recipe: Recipe,
    data: Split,
    *,
    classes: int,
    spec: InputSpec,
    seed: int,
    device: torch.device,
    console: Console,
    epochs: int | None = None,
) -> Trained:
    """Train a network from nothing.

    The same seed on the same CPU with the same number of threads gives the same weights.

    Args:
        recipe: what to do.
        data: to learn from.
        classes: number of labels.
        spec: of the images in `data`.
        seed: of initialisation, order and augmentation.
        device: to compute on.
        console: told of the progress.
        epochs: instead of the recipe's own.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    torch.manual_seed(seed)
    network = build(recipe.architecture, classes=classes, spec=spec).to(device)
    network = network.to(memory_format=torch.channels_last)
    started_s = time.monotonic()
    done: Recipe
    if isinstance(recipe, TutorialRecipe):
        done = replace(recipe, epochs=epochs or recipe.epochs)
        _train_tutorial(done, network, data, seed=seed, device=device, console=console)
    else:
        done = fit_to_data(recipe, len(data), shorter_side=min(spec.height, spec.width), epochs=epochs)
        _train_fast(done, cast(FastNetwork, network), data, seed=seed, device=device, console=console)
    return Trained(network.eval(), done, time.monotonic() - started_s)


def fit_to_data(recipe: FastRecipe, pictures: int, *, shorter_side: int, epochs: int | None) -> FastRecipe:
    """Give a small data set smaller batches and more passes, and fit batch and shift to the pictures' size.

    Larger pictures are shifted by the same share of their side, and fewer of them fill the same memory.

    Args:
        recipe: as in the table.
        pictures: to learn from, at least one.
        shorter_side: of the pictures, in pixels.
        epochs: wanted by the user; None lets the data decide.
    """
    if shorter_side < recipe.smallest_resized:
        recipe = replace(recipe, resolutions=((1.0, 1.0),))
    larger = max(1.0, shorter_side / RECIPE_SIDE)
    recipe = replace(recipe, shift=round(recipe.shift * larger), batch_size=round(recipe.batch_size / larger**2))
    batch_size = min(max(recipe.batch_size, 32), max(pictures // 8, min(pictures, 32)))
    enough = math.ceil(recipe.fewest_steps / (pictures // batch_size))
    epochs = epochs or max(recipe.epochs, enough)
    return replace(recipe, batch_size=batch_size, epochs=epochs)


def _train_tutorial(
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
                running_loss += _finite(loss.item(), epoch=epoch, step=step)
                progress.step(place=place, loss=loss.item(), pictures=len(targets))
                if step % recipe.report_every == 0:
                    progress.say(f"[{epoch + 1}, {step:5d}] loss: {running_loss / recipe.report_every:.3f}")
                    running_loss = 0.0
                obey_interrupt()


def _train_fast(
    recipe: FastRecipe,
    network: FastNetwork,
    data: Split,
    *,
    seed: int,
    device: torch.device,
    console: Console,
) -> None:
    """Muon for the filters, SGD for the rest, both falling linearly to zero."""
    images, targets = data.images.to(device), data.targets.to(device)
    network.fit_stem(images[: recipe.stem_pictures])
    steps_per_epoch = len(data) // recipe.batch_size
    steps = recipe.epochs * steps_per_epoch
    stem_steps = min(steps, round(recipe.stem_bias_epochs * steps_per_epoch))
    dtype = fast_dtype(device)
    optimizers = make_optimizers(recipe, network, dtype=dtype)
    schedule = Schedule(optimizers, steps=steps, stem_steps=stem_steps)
    network.train()
    step = 0
    with RunProgress(console, steps=steps) as progress:
        for epoch in range(recipe.epochs):
            order = draw_order(len(data), shift=recipe.shift, seed=seed, epoch=epoch).to(device)
            side = resolution(recipe, epoch)
            place = f"epoch {epoch + 1}/{recipe.epochs}"
            for index in batches(order, recipe.batch_size):
                schedule.set(step)
                if step == stem_steps:
                    network.stem.bias.requires_grad_(False)  # type: ignore[union-attr]
                batch = resize(crop(images, order, index), side)
                wanted = targets[index]
                loss = learn(recipe, network, optimizers, images=batch, targets=wanted, dtype=dtype)
                step += 1
                loss_per_picture = _finite(loss, epoch=epoch, step=step)
                progress.step(place=place, loss=loss_per_picture, pictures=len(index))


def learn(
    recipe: FastRecipe,
    network: FastNetwork,
    optimizers: tuple[torch.optim.Optimizer, ...],
    *,
    images: Tensor,
    targets: Tensor,
    dtype: torch.dtype,
) -> float:
    """Take one step on one batch: forward in `dtype`, loss in float32, backward, update.

    Args:
        recipe: for its label smoothing.
        network: in training mode.
        optimizers: over its parameters.
        images: uint8 or float in 0…255, (batch, height, width, 3), on the network's device.
        targets: int64 (batch,), there too.
        dtype: of the forward pass; float32 means no autocast.

    Returns:
        The loss per picture, before the step.
    """
    with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
        logits = network(images)
    loss = F.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing, reduction="sum")
    network.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for optimizer in optimizers:
        optimizer.step()
    return loss.item() / len(targets)


def resolution(recipe: FastRecipe, epoch: int) -> float:
    """Side length of an epoch's pictures, as a share of the input's."""
    done = (epoch + 0.5) / recipe.epochs
    return next(side for until, side in recipe.resolutions if done < until)


class Schedule:
    """Every learning rate falls linearly to zero; that of the stem's bias sooner.

    Args:
        optimizers: whose groups hold their first learning rate as `initial_lr`.
        steps: of the run.
        stem_steps: after which the stem's bias rests.
    """

    def __init__(self, optimizers: tuple[torch.optim.Optimizer, ...], *, steps: int, stem_steps: int) -> None:
        self._groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group in self._groups:
            group["initial_lr"] = group["lr"]
        self._steps = steps
        self._stem_steps = stem_steps

    def set(self, step: int) -> None:
        """Set the rates of a step, counted from 0."""
        for group in self._groups:
            last = self._stem_steps if group.get("is_stem") else self._steps
            group["lr"] = group["initial_lr"] * max(0.0, 1 - step / last)


def make_optimizers(
    recipe: FastRecipe, network: FastNetwork, *, dtype: torch.dtype
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Give the filters to Muon, and the stem's bias, the shifts and the head to SGD, each with its rate."""
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    filters = [p for _, p in trained if p.ndim == 4]
    shifts = [p for name, p in trained if p.ndim == 1 and not name.startswith("stem")]
    decay = recipe.decay_per_picture * recipe.batch_size

    def group(parameters: Sequence[Tensor], lr: float, *, is_stem: bool = False) -> dict[str, object]:
        return {"params": parameters, "lr": lr, "weight_decay": decay / lr, "is_stem": is_stem}

    sgd = torch.optim.SGD(
        [
            group([cast(Tensor, network.stem.bias)], recipe.bias_lr, is_stem=True),
            group(shifts, recipe.bias_lr),
            group([network.head.weight], recipe.head_lr),
        ],
        momentum=recipe.sgd_momentum,
        nesterov=True,
    )
    return sgd, Muon(filters, lr=recipe.muon_lr, momentum=recipe.muon_momentum, dtype=dtype)


def _finite(loss: float, *, epoch: int, step: int) -> float:
    if not math.isfinite(loss):
        raise TrainingError(
            f"The loss became {loss} in epoch {epoch + 1}, step {step}: the training diverged, and nothing was "
            "written. Try another --seed, or check the data for wrong labels."
        )
    return loss
