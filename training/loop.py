"""The training loop of the recipes with large batches, and the door to the beginner's."""

import time
from dataclasses import dataclass
from itertools import islice

import torch
from rich.console import Console
from torch import Tensor

from models.networks.network import Network
from models.preprocessing import InputSpec
from training.chunks import chunk_size
from training.data.dataset import Split
from training.devices import Computing
from training.epoch import Wanted, draw_epoch
from training.errors import check_finite
from training.fresh import Start, fit_stem, fresh_network, take_start
from training.interrupts import interrupts_between_steps
from training.learner import Learner, make_learner
from training.norms import settle_norms
from training.progress import RunProgress
from training.ranks import ALONE, Ranks
from training.recipes import LargeBatchRecipe, Recipe, TutorialRecipe
from training.runs.extension import snapshot_epoch
from training.runs.run import Run
from training.selection import make_selector
from training.tutorial import train_tutorial
from training.validation import Validation


@dataclass(frozen=True)
class Trained:
    """What a run leaves behind.

    Attributes:
        network: in evaluation mode, on the run's device.
        recipe: as it was carried out: epochs and batch size follow the data.
        seconds: of training alone, over all its parts if it was stopped and resumed.
    """

    network: Network
    recipe: Recipe
    seconds: float


def train(
    recipe: Recipe,
    data: Split,
    *,
    classes: int,
    spec: InputSpec,
    seed: int,
    computing: Computing,
    console: Console,
    run: Run | None = None,
    held_out: Split | None = None,
    start: Start | None = None,
    wanted: Wanted | None = None,
    ranks: Ranks = ALONE,
) -> Trained:
    """Train a network, from nothing, from another one's weights, or from where a run was left.

    The same seed on the same CPU with the same number of threads gives the same weights, stopped and
    resumed or not.

    Args:
        recipe: what to do, fitted to the data.
        data: to learn from.
        classes: number of labels.
        spec: of the images in `data`.
        seed: of initialisation, order and augmentation.
        computing: on what, in which dtype, compiled or not.
        console: told of the progress.
        run: where states are saved and metrics written, and to go on from; None keeps nothing.
        held_out: asked after each epoch, which is shown and noted, but for the tutorial; None asks nothing.
        start: weights to start with, of the recipe's architecture; None draws them, as the tutorial must.
        wanted: the answers of teachers; None takes the classes of `data`, as the tutorial must.
        ranks: the processes that train together; the tutorial trains in one.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    torch.manual_seed(seed)
    network = fresh_network(recipe.architecture, classes=classes, spec=spec, device=computing.device)
    if isinstance(recipe, TutorialRecipe):
        assert (start, wanted, ranks) == (None, None, ALONE), "training/contradictions.py refuses these"
        seconds = train_tutorial(
            recipe, network, data, seed=seed, device=computing.device, console=console, run=run
        )
        return Trained(network.eval(), recipe, seconds)
    started_s = time.monotonic()
    images, targets = data.images.to(computing.device), data.targets.to(computing.device)
    learner = begin(
        recipe, network, images, classes=classes, spec=spec, computing=computing, start=start, ranks=ranks
    )
    with ranks.first_alone():
        state = run.load_state(device=computing.device) if run else None
    if state is not None:
        learner.restore(state)
    else:
        learner.seconds = time.monotonic() - started_s
    _make_steps(
        learner,
        images,
        wanted or (lambda _, index: targets[index]),
        spec=spec,
        seed=seed,
        console=console,
        run=run if ranks.is_first else None,
        validation=Validation(held_out, computing) if held_out is not None and ranks.is_first else None,
    )
    settling_s = time.monotonic()
    most = max(recipe.batch_size, chunk_size(images))
    settle_norms(network, images, targets, most=most, computing=computing, console=console, ranks=ranks)
    return Trained(network, recipe, learner.seconds + time.monotonic() - settling_s)


def begin(
    recipe: LargeBatchRecipe,
    network: Network,
    images: Tensor,
    *,
    classes: int,
    spec: InputSpec,
    computing: Computing,
    start: Start | None,
    ranks: Ranks,
) -> Learner:
    """Give a fresh network what it starts with, and put together what learns.

    Args:
        recipe: fitted to the data.
        network: of its architecture, as `fresh_network` builds it.
        images: uint8 (n, height, width, 3) to learn from, on the device.
        classes: number of labels.
        spec: of the images.
        computing: on what, in which dtype, compiled or not.
        start: weights to start with; None keeps those that were drawn.
        ranks: the processes that train together.
    """
    if start is None:
        fit_stem(network, images, recipe=recipe)
    else:
        take_start(network, start)
    return make_learner(
        recipe,
        ranks.together(network),
        pictures=len(images),
        selector=make_selector(recipe, images, classes=classes, spec=spec, computing=computing, ranks=ranks),
        computing=computing,
        ranks=ranks,
    )


def _make_steps(
    learner: Learner,
    images: Tensor,
    wanted: Wanted,
    *,
    spec: InputSpec,
    seed: int,
    console: Console,
    run: Run | None,
    validation: Validation | None,
) -> None:
    """Make the steps that are missing; stopped or not, the state is saved and the metrics are written."""
    recipe, per_epoch = learner.recipe, learner.steps_per_epoch
    with (
        interrupts_between_steps() as interrupts,
        RunProgress(console, steps=learner.steps, done=learner.step) as progress,
    ):
        last_loss: float | None = None
        accuracy: float | None = None
        for number in range(learner.step // per_epoch, recipe.epochs):
            if run is not None and learner.step == snapshot_epoch(recipe) * per_epoch:
                run.keep_snapshot(learner)
            lap_s = time.monotonic()
            epoch = draw_epoch(recipe, images, wanted, spec=spec, seed=seed, number=number)
            for index in islice(epoch.batches(), learner.step % per_epoch, None):
                chosen = learner.choose(index, epoch.look)
                loss = learner.learn(*epoch.look(learner.ranks.share(chosen)))
                last_loss = _read(loss, learner, epoch=number, last=last_loss)
                learner.seconds += time.monotonic() - lap_s
                if validation is not None and learner.step % per_epoch == 0:
                    accuracy = validation.accuracy(learner.student.network)
                progress.step(
                    place=f"epoch {number + 1}/{recipe.epochs}",
                    loss=last_loss,
                    held_out=accuracy,
                    pictures=len(index),
                )
                must_stop = learner.ranks.agree(interrupts.is_pending)
                if run is not None:
                    run.note_step(learner, loss=loss, held_out=accuracy, must_save=must_stop)
                if must_stop:
                    interrupts.obey()
                    raise KeyboardInterrupt  # another process of this training was told to stop
                lap_s = time.monotonic()  # asking held-out pictures and saving a state is no training


def _read(loss: Tensor, learner: Learner, *, epoch: int, last: float | None) -> float | None:
    """Look at the loss; on a GPU, which need not be waited for at each step, mostly the last one stays."""
    is_last = learner.step % learner.steps_per_epoch == 0
    if loss.is_cuda and learner.step % learner.log_every and not is_last:
        return last
    check_finite(learner.epoch_loss.item(), epoch=epoch, step=learner.step)
    if learner.selector is not None:
        check_finite(learner.selector.loss.item(), epoch=epoch, step=learner.step)
    return loss.item()
