"""How long a step of each recipe takes, how much of it is work on the data, and the time to an accuracy.

    python -m benchmarks.training [--steps N] [--recipes fast accurate …] [--device cpu]      --recipes alone: none
    python -m benchmarks.training --full [fast accurate …] [--seeds N] --data FILE.npz|cifar10   to their ends

Steps are timed on random pictures of CIFAR-10's size; timings do not depend on what they show. Medians over N
steps after one that is not counted, at each of a recipe's resolutions. `taught` asks an `accurate` network that
has learnt nothing; what its answers take is a part of the step, but no work on the data. Whole runs are added up
from mean steps, for the small network that selects for `accurate` and `compact` learns at one step of four only.
The full run trains recipes to their ends, one after the other: `fast` and `tutorial`, unless others are named.
Each was made to reach an accuracy (`benchmarks/whole_runs.py`), and is told to have reached it or not, beside its
seconds: of training alone, without reading the data and measuring. With several seeds (0 to N − 1) the goal is the
mean's, and a run of seed 0 comes before those that count. Where it is the first thing that the process computes
(--recipes alone), what it takes longer is what a process does only once: loading kernels, or making them with
--compile.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor

from benchmarks.conditions import describe
from benchmarks.whole_runs import GOALS, train_several
from models.networks.network import Network
from models.preprocessing import InputSpec
from training.devices import Computing, choose_device, choose_dtype, keep_freed_memory
from training.epoch import draw_epoch
from training.fresh import fit_stem, fresh_network
from training.learner import make_learner
from training.ranks import ALONE
from training.recipes import ACCURATE, RECIPES, LargeBatchRecipe, TutorialRecipe
from training.selection import make_selector
from training.teacher import answers_of
from training.tutorial import Beginner

Given = ParamSpec("Given")
Returned = TypeVar("Returned")

PICTURES = 50_000
SIDE = 32
CLASSES = 10
TEACHER = ACCURATE.architecture


class _Watched(Generic[Given, Returned]):
    """Calls a function, and adds up the time that it takes."""

    def __init__(self, function: Callable[Given, Returned], device: torch.device) -> None:
        self.seconds = 0.0
        self._function = function
        self._device = device

    def __call__(self, *arguments: Given.args, **named: Given.kwargs) -> Returned:
        _wait(self._device)
        started_s = time.perf_counter()
        returned = self._function(*arguments, **named)
        _wait(self._device)
        self.seconds += time.perf_counter() - started_s
        return returned


def time_recipe(
    recipe: LargeBatchRecipe, images: torch.Tensor, *, steps: int, computing: Computing
) -> list[dict[str, Any]]:
    """Run a few steps at each resolution of a recipe.

    Returns:
        For each, medians: milliseconds of data work and of the whole step, pictures per second, and the share of
        the data work, which includes drawing the epoch's order, spread over its steps.
    """
    spec = InputSpec(height=SIDE, width=SIDE)
    targets = torch.randint(0, CLASSES, (len(images),)).to(computing.device)

    def labels(_: Tensor, index: Tensor) -> Tensor:
        return targets[index]

    network = fresh_network(recipe.architecture, classes=CLASSES, spec=spec, device=computing.device)
    fit_stem(network, images, recipe=recipe)
    learner = make_learner(
        recipe,
        network,
        pictures=len(images),
        selector=make_selector(recipe, images, classes=CLASSES, spec=spec, computing=computing, ranks=ALONE),
        computing=computing,
        ranks=ALONE,
    )
    teacher = answers_of([_untaught(computing)], computing) if recipe.teaching else None
    answer = teacher and _Watched(teacher, computing.device)
    rows = []
    for until, side in recipe.resolutions:
        started_s = time.perf_counter()
        number = int(until * recipe.epochs) - 1
        epoch = draw_epoch(recipe, images, answer or labels, spec=spec, seed=0, number=number)
        _wait(computing.device)
        order_s = (time.perf_counter() - started_s) / learner.steps_per_epoch
        look = _Watched(epoch.look, computing.device)
        data_s, whole_s = [], []
        for index in islice(cycle(epoch.batches()), steps + 1):
            started_s, look.seconds = time.perf_counter(), order_s
            if answer:
                answer.seconds = 0.0
            learner.learn(*look(learner.choose(index, look))).item()
            whole_s.append(time.perf_counter() - started_s + order_s)
            data_s.append(look.seconds - (answer.seconds if answer else 0.0))
        rows.append(_row(recipe, round(SIDE * side), data_s[1:], whole_s[1:], dtype=computing.dtype))
    return rows


def time_tutorial(recipe: TutorialRecipe, images: torch.Tensor, *, steps: int) -> list[dict[str, Any]]:
    """Run mini-batches of the beginner's recipe, without its workers, so that data work can be told apart.

    Args:
        recipe: the beginner's.
        images: on the device to compute on, in float32 as the recipe does.
        steps: a hundredth of the mini-batches.
    """
    device = images.device
    spec = InputSpec(height=SIDE, width=SIDE)
    network = fresh_network(recipe.architecture, classes=CLASSES, spec=spec, device=device)
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    beginner = Beginner(
        recipe, network, optimizer, len(images) // recipe.batch_size, torch.Generator().get_state()
    )
    dataset = torch.utils.data.TensorDataset(images.cpu(), torch.randint(0, CLASSES, (len(images),)))
    loader = iter(torch.utils.data.DataLoader(dataset, batch_size=recipe.batch_size, shuffle=True))
    data_s, whole_s = [], []
    for _ in range(100 * steps + 1):
        started_s = time.perf_counter()
        batch, targets = (tensor.to(device) for tensor in next(loader))
        data_s.append(time.perf_counter() - started_s)
        beginner.learn(batch, targets)
        whole_s.append(time.perf_counter() - started_s)
    return [_row(recipe, SIDE, data_s[1:], whole_s[1:], dtype=torch.float32)]


def _untaught(computing: Computing) -> Network:
    """A teacher who has learnt nothing: its answers take as long."""
    spec = InputSpec(height=SIDE, width=SIDE)
    return fresh_network(TEACHER, classes=CLASSES, spec=spec, device=computing.device).eval()


def _row(
    recipe: LargeBatchRecipe | TutorialRecipe,
    pixels: int,
    data_s: list[float],
    whole_s: list[float],
    *,
    dtype: torch.dtype,
) -> dict[str, Any]:
    data, whole = statistics.median(data_s), statistics.median(whole_s)
    return {
        "recipe": recipe.name,
        "pixels": pixels,
        "dtype": str(dtype).removeprefix("torch."),
        "data_ms": round(data * 1000, 3),
        "step_ms": round(whole * 1000, 2),
        "mean_step_ms": round(statistics.mean(whole_s) * 1000, 2),
        "pictures_per_s": round(recipe.batch_size / whole),
        "data_share": round(data / whole, 4),
    }


def _seconds(recipe: LargeBatchRecipe | TutorialRecipe, rows: list[dict[str, Any]]) -> int:
    """Add up a whole run on 50,000 pictures from the steps that were timed."""
    if isinstance(recipe, TutorialRecipe):
        return round(recipe.epochs * PICTURES / float(rows[0]["pictures_per_s"]))
    starts = (0.0, *(until for until, _ in recipe.resolutions))
    steps = recipe.epochs * (PICTURES // recipe.batch_size)
    shares = [until - start for start, (until, _) in zip(starts, recipe.resolutions, strict=False)]
    step_s = [float(row["mean_step_ms"]) / 1000 for row in rows]
    return round(sum(steps * share * s for share, s in zip(shares, step_s, strict=True)))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--recipes", nargs="*", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--compile", action="store_true", help="let torch.compile make kernels first")
    parser.add_argument("--full", nargs="*", choices=list(GOALS), help="train to the end (fast tutorial)")
    parser.add_argument("--seeds", type=int, default=1, help="for --full: whole runs of each recipe that count")
    parser.add_argument("--data", help="for --full: cifar10, or an .npz file")
    arguments = parser.parse_args()
    if arguments.full is not None and arguments.data is None:
        parser.error("--full needs --data")
    if arguments.seeds < 1:
        parser.error(f"--seeds {arguments.seeds} trains nothing: give 1 or more")
    keep_freed_memory()
    device = choose_device(arguments.device)
    computing = Computing(device, choose_dtype("auto", device), arguments.compile)
    images = torch.randint(0, 256, (PICTURES, SIDE, SIDE, 3), dtype=torch.uint8).to(device)
    rows, whole = [], {}
    if arguments.recipes:
        print(f"{'recipe':>9} {'pixels':>6} {'step ms':>9} {'data ms':>9} {'share':>7} {'pictures/s':>11}")
    for name in arguments.recipes:
        recipe = RECIPES[name]
        if isinstance(recipe, TutorialRecipe):
            timed = time_tutorial(recipe, images, steps=arguments.steps)
        else:
            timed = time_recipe(recipe, images, steps=arguments.steps, computing=computing)
        for row in timed:
            print(
                f"{row['recipe']:>9} {row['pixels']:6} {row['step_ms']:9.2f} {row['data_ms']:9.3f} "
                f"{row['data_share']:7.2%} {row['pictures_per_s']:11,}"
            )
        whole[name] = _seconds(recipe, timed)
        rows += timed
    if whole:
        added = ", ".join(f"{name} {seconds:,} s" for name, seconds in whole.items())
        print(f"whole runs, added up from these steps: {added}")
    full, summaries = train_several(
        [] if arguments.full is None else arguments.full or ["fast", "tutorial"],
        seeds=arguments.seeds,
        data=arguments.data,
        device=arguments.device,
        is_compiled=arguments.compile,
    )
    facts = {
        **describe("training", device=arguments.device),
        "n": arguments.steps,
        "rows": rows,
        "whole_run_s": whole,
        "full_runs": full,
        "summaries": summaries,
        "compiled": computing.is_compiled,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
