"""`python -m training …`: what a person types, and what is printed."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from torch import Tensor

from models.checkpoint import load, save
from models.errors import GlimpseError
from models.preprocessing import InputSpec
from models.record import Calibration, Metrics, Record, TrainingRun
from training import findings, label_mistakes
from training.data import Dataset, fingerprint, read_dataset, read_test
from training.devices import choose_device, describe_hardware, keep_freed_memory
from training.errors import TrainingError
from training.evaluate import measure, run_views
from training.grids import draw_predictions, draw_samples
from training.inspection import inspect_dataset
from training.loop import Trained
from training.loop import train as train_network
from training.provenance import current_commit, now_utc
from training.recipes import RECIPES

app = typer.Typer(
    name="training",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train a small image classifier, and measure what it is worth.",
)


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class RecipeName(StrEnum):
    """The keys of `RECIPES`, written out for the type checker."""

    tutorial = "tutorial"
    fast = "fast"


DataOption = Annotated[str, typer.Option("--data", help="cifar10, a FILE.npz, or a FOLDER of class folders.")]
SeedOption = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Of initialisation, order, augmentation and split.")
]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute; auto takes CUDA where there is one.")]
CacheOption = Annotated[Path, typer.Option(help="Folder for downloaded data sets and decoded pictures.")]
InputSizeOption = Annotated[
    int | None,
    typer.Option(min=9, max=512, help="Side of the network's pictures in pixels, instead of one that fits yours."),
]
CheckpointArgument = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A .safetensors file.")]


def run(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: as typed; None takes those of the process.

    Returns:
        0 done, 1 a refused input, 2 usage, 130 stopped by Ctrl-C.
    """
    try:
        app(arguments)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    return 0


@contextmanager
def _told_in_a_sentence() -> Iterator[Console]:
    """Give a command its console on stderr, and turn each failure that has a name into one sentence."""
    console = Console(stderr=True)
    try:
        yield console
    except KeyboardInterrupt:
        _tell(console, "Stopped by Ctrl-C; nothing was written.")
        raise typer.Exit(130) from None
    except (GlimpseError, OSError) as error:
        _tell(console, f"Error: {error}")
        raise typer.Exit(1) from None
    except torch.OutOfMemoryError as error:
        _tell(console, f"Error: the device has not enough memory ({error}). Free it, or use --device cpu.")
        raise typer.Exit(1) from None


@app.command()
def train(
    recipe: Annotated[RecipeName, typer.Option(help="Which training configuration.")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The checkpoint to write, a .safetensors file.")],
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's own.")] = None,
    cache: CacheOption = Path("data"),
    input_size: InputSizeOption = None,
) -> None:
    """Train a network, measure it on the test part, and write one checkpoint."""
    with _told_in_a_sentence() as console:
        _check_target(out)
        keep_freed_memory()
        chosen = RECIPES[recipe.value]
        target = choose_device(device.value)
        dataset = read_dataset(data, seed=seed, cache=cache, report=_teller(console), input_size=input_size)
        height, width = dataset.train.images.shape[1:3]
        spec = InputSpec(height=height, width=width, mean=chosen.mean, std=chosen.std)
        _tell_data(console, dataset)
        trained = train_network(
            chosen,
            dataset.train,
            classes=len(dataset.labels),
            spec=spec,
            seed=seed,
            device=target,
            console=console,
            epochs=epochs,
        )
        views = run_views(trained.network, dataset.test.images, console=console)
        metrics = measure(views, dataset.test, labels=dataset.labels, name=f"{dataset.name} test")
        record = _record(out.stem, trained, dataset, spec, metrics, seed=seed, device=target)
        digest = save(out, trained.network, record)
        _print_metrics(metrics)
        _print_label_mistakes(dataset, views.single_view)
        typer.echo(f"Trained in {trained.seconds:.0f} s; wrote {out} ({digest})")


@app.command()
def evaluate(
    checkpoint: CheckpointArgument,
    data: DataOption,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")] = False,
    grid: Annotated[
        Path | None, typer.Option(help="Also draw a test batch with its labels into this PNG.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Measure a checkpoint: overall, per class, single view and six views."""
    with _told_in_a_sentence() as console:
        if grid is not None:
            _check_png(grid)
        loaded = load(checkpoint)
        labels = loaded.record.labels
        network = loaded.network.to(choose_device(device.value))
        name, split = read_test(data, loaded.record, cache=cache, report=_teller(console))
        views = run_views(network, split.images, console=console)
        metrics = measure(views, split, labels=labels, name=name)
        if grid is not None:
            draw_predictions(split, views.single_view, labels=labels, seed=seed, path=grid)
            _tell(console, f"wrote {grid}")
        if as_json:
            fields = dataclasses.asdict(metrics)
            del fields["split"]
            typer.echo(json.dumps(fields, indent=2))
        else:
            _print_metrics(metrics)


@app.command()
def inspect(
    data: DataOption,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")] = False,
    seed: SeedOption = 0,
    cache: CacheOption = Path("data"),
    input_size: InputSizeOption = None,
) -> None:
    """Look at a data set: counts, unreadable files, copies within and across its parts, contradictions."""
    with _told_in_a_sentence() as console:
        dataset = read_dataset(data, seed=seed, cache=cache, report=_teller(console), input_size=input_size)
        found = inspect_dataset(dataset)
        typer.echo(findings.to_json(found) if as_json else "\n".join(findings.to_lines(found)))


@app.command()
def mistakes(
    data: DataOption,
    recipe: Annotated[RecipeName, typer.Option(help="To train the judging networks with.")] = RecipeName.fast,
    folds: Annotated[int, typer.Option(min=2, max=20, help="Trainings; each judges what it did not learn.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list on stdout instead of text.")] = False,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's own.")] = None,
    cache: CacheOption = Path("data"),
    input_size: InputSizeOption = None,
) -> None:
    """List the likeliest label mistakes of a whole data set; takes as long as --folds trainings."""
    with _told_in_a_sentence() as console:
        keep_freed_memory()
        target = choose_device(device.value)
        dataset = read_dataset(data, seed=seed, cache=cache, report=_teller(console), input_size=input_size)
        found = label_mistakes.judge_all(
            RECIPES[recipe.value],
            dataset,
            folds=folds,
            seed=seed,
            device=target,
            console=console,
            epochs=epochs,
        )
        typer.echo(label_mistakes.to_json(found) if as_json else "\n".join(label_mistakes.to_lines(found)))


@app.command()
def samples(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    seed: SeedOption = 0,
    cache: CacheOption = Path("data"),
) -> None:
    """Draw a labelled grid of random training pictures."""
    with _told_in_a_sentence() as console:
        _check_png(out)
        dataset = read_dataset(data, seed=seed, cache=cache, report=_teller(console))
        _tell_data(console, dataset)
        draw_samples(dataset.train, labels=dataset.labels, seed=seed, path=out)
        typer.echo(f"wrote {out}")


def _record(
    name: str,
    trained: Trained,
    dataset: Dataset,
    spec: InputSpec,
    metrics: Metrics,
    *,
    seed: int,
    device: torch.device,
) -> Record:
    return Record(
        name=name,
        architecture=trained.recipe.architecture,
        labels=dataset.labels,
        input=spec,
        calibration=Calibration(),
        metrics=metrics,
        training=TrainingRun(
            recipe=trained.recipe.name,
            configuration=dataclasses.asdict(trained.recipe),
            seed=seed,
            data_fingerprint=fingerprint(dataset.labels, dataset.train),
            commit=current_commit(),
            torch=torch.__version__,
            hardware=describe_hardware(device),
            seconds=round(trained.seconds, 1),
        ),
        created_at=now_utc(),
    )


def _tell_data(console: Console, dataset: Dataset) -> None:
    """Tell what was found in a folder; of anything else, how many pictures it has."""
    if dataset.findings is None:
        sizes = f"{len(dataset.train):,} pictures to learn from, {len(dataset.test):,} to measure on"
        _tell(console, f"{dataset.name}: {sizes}")
        return
    for line in findings.to_lines(dataset.findings):
        _tell(console, line)


def _print_label_mistakes(dataset: Dataset, of_test: Tensor) -> None:
    """List the likeliest label mistakes of a folder; `of_test` are the probabilities of its test part."""
    if dataset.findings is None:
        return
    typer.echo("Among the pictures that were measured on, ", nl=False)
    typer.echo("\n".join(label_mistakes.to_lines(label_mistakes.judge_held_out(dataset, of_test))))


def _print_metrics(metrics: Metrics) -> None:
    typer.echo(f"{metrics.split}: {metrics.n:,} pictures")
    typer.echo(f"Accuracy of the network: {_percent(metrics.accuracy['single_view'])} (single view)")
    typer.echo(f"Accuracy of the network: {_percent(metrics.accuracy['six_views'])} (six views)")
    typer.echo(f"Expected calibration error: {_percent(metrics.expected_calibration_error)}")
    width = max(len(label) for label in metrics.per_class)
    for label, accuracy in metrics.per_class.items():
        text = "no pictures" if accuracy is None else f"{100 * accuracy:2.0f} %"
        typer.echo(f"Accuracy of {label:>{width}} : {text}")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _check_target(out: Path) -> None:
    """Refuse before minutes of training what could not be written after them."""
    if out.suffix != ".safetensors":
        raise TrainingError(f"--out {out} must end in .safetensors.")
    if out.is_dir():
        raise TrainingError(f"--out {out} is a folder; name a file in it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):
        pass


def _check_png(path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise TrainingError(f"The grid is written as a PNG; name it so instead of {path}.")


def _teller(console: Console) -> Callable[[str], None]:
    return lambda sentence: _tell(console, sentence)


def _tell(console: Console, sentence: str) -> None:
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
