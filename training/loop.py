"""The training loop of the recipes with large batches, and the door to the beginner's."""

import math
import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import cast

import torch
from rich.console import Console
from torch import Tensor, nn

from models.networks import build
from models.networks.fast import FastNetwork
from models.networks.residual import ResidualNetwork
from models.preprocessing import InputSpec
from training.augment import Order, batches, cover, crop, draw_order, resize
from training.data import Split
from training.devices import fast_dtype
from training.errors import check_finite
from training.interrupts import interrupts_between_steps
from training.learner import Learner, make_learner
from training.progress import RunProgress
from training.recipes import LargeBatchRecipe, Recipe, TutorialRecipe
from training.run import Run
from training.tutorial import train_tutorial


@dataclass(frozen=True)
class Trained:
    """What a run leaves behind.

    Attributes:
        network: in evaluation mode, on the run's device.
        recipe: as it was carried out: epochs and batch size follow the data.
        seconds: of training alone, over all its parts if it was stopped and resumed.
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
    run: Run | None = None,
) -> Trained:
    """Train a network, from nothing or from where a run was left.

    The same seed on the same CPU with the same number of threads gives the same weights, stopped and
    resumed or not.

    Args:
        recipe: what to do, fitted to the data.
        data: to learn from.
        classes: number of labels.
        spec: of the images in `data`.
        seed: of initialisation, order and augmentation.
        device: to compute on.
        console: told of the progress.
        run: where states are saved and metrics written, and to go on from; None keeps nothing.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    torch.manual_seed(seed)
    network = build(recipe.architecture, classes=classes, spec=spec).to(device)
    network = network.to(memory_format=torch.channels_last)
    if isinstance(recipe, TutorialRecipe):
        started_s = time.monotonic()
        train_tutorial(recipe, network, data, seed=seed, device=device, console=console)
        return Trained(network.eval(), recipe, time.monotonic() - started_s)
    on_device = Split(data.images.to(device), data.targets.to(device))
    cast(FastNetwork | ResidualNetwork, network).fit_stem(on_device.images[: recipe.stem_pictures])
    learner = make_learner(recipe, network, pictures=len(data), dtype=fast_dtype(device))
    state = run.load_state(device=device) if run else None
    if state is not None:
        learner.restore(state)
    _make_steps(learner, on_device, spec=spec, seed=seed, console=console, run=run)
    return Trained(network.eval(), recipe, learner.seconds)


def fit_to_data(recipe: Recipe, pictures: int, *, shorter_side: int, epochs: int | None) -> Recipe:
    """Give a small data set smaller batches and more passes, and leave small pictures at their size.

    Args:
        recipe: as in the table.
        pictures: to learn from, at least one.
        shorter_side: of the pictures, in pixels.
        epochs: wanted by the user; None lets the data decide.
    """
    if isinstance(recipe, TutorialRecipe):
        return replace(recipe, epochs=epochs or recipe.epochs)
    if shorter_side < recipe.smallest_resized:
        recipe = replace(recipe, resolutions=((1.0, 1.0),))
    batch_size = min(recipe.batch_size, max(pictures // 8, min(pictures, 32)))
    enough = math.ceil(recipe.fewest_steps / (pictures // batch_size))
    return replace(
        recipe,
        batch_size=batch_size,
        epochs=epochs or max(recipe.epochs, enough),
        cutout=min(recipe.cutout, shorter_side // 2),  # of a tiny picture something must stay visible
    )


def _make_steps(
    learner: Learner, data: Split, *, spec: InputSpec, seed: int, console: Console, run: Run | None
) -> None:
    """Make the steps that are missing; stopped or not, the state is saved and the metrics are written."""
    recipe, per_epoch = learner.recipe, learner.steps_per_epoch
    with (
        interrupts_between_steps() as obey_interrupt,
        RunProgress(console, steps=learner.steps, done=learner.step) as progress,
    ):
        for epoch in range(learner.step // per_epoch, recipe.epochs):
            place = f"epoch {epoch + 1}/{recipe.epochs}"
            order = draw_epoch(recipe, len(data), spec=spec, seed=seed, epoch=epoch).to(data.images.device)
            for index in islice(batches(order, recipe.batch_size), learner.step % per_epoch, None):
                started_s = time.monotonic()
                images = show(recipe, data.images, order, index, spec=spec, epoch=epoch)
                loss = learner.learn(images, data.targets[index])
                check_finite(loss, epoch=epoch, step=learner.step)
                learner.seconds += time.monotonic() - started_s
                progress.step(place=place, loss=loss, pictures=len(index))
                if run is not None:
                    run.note_step(learner, loss=loss)
                try:
                    obey_interrupt()
                except KeyboardInterrupt:
                    if run is not None:
                        run.save_state(learner)
                    raise
        if run is not None:
            run.save_state(learner)


def draw_epoch(recipe: LargeBatchRecipe, pictures: int, *, spec: InputSpec, seed: int, epoch: int) -> Order:
    """Draw order, shifts, flips and covered squares of an epoch, on the CPU."""
    rooms = (spec.height - recipe.cutout, spec.width - recipe.cutout)
    return draw_order(pictures, shift=recipe.shift, seed=seed, epoch=epoch, rooms=rooms)


def show(
    recipe: LargeBatchRecipe, images: Tensor, order: Order, index: Tensor, *, spec: InputSpec, epoch: int
) -> Tensor:
    """Make a batch as the recipe shows it to the network in an epoch.

    Returns:
        uint8 or float32 in 0…255, (batch, height, width, 3), at the epoch's resolution.
    """
    # the network eats bytes and takes the mean off itself, so the nearest byte to the mean becomes nearly zero
    red, green, blue = (round(255 * mean) for mean in spec.mean)
    cropped = crop(images, order, index)
    covered = cover(cropped, order, index, side=recipe.cutout, colour=(red, green, blue))
    return resize(covered, resolution(recipe, epoch))


def resolution(recipe: LargeBatchRecipe, epoch: int) -> float:
    """Side length of an epoch's pictures, as a share of the input's."""
    done = (epoch + 0.5) / recipe.epochs
    return next(side for until, side in recipe.resolutions if done < until)
