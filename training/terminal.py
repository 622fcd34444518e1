"""What all commands do around their work: tell, refuse in a sentence, print what was measured."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import typer
from rich.console import Console

from models.errors import GlimpseError
from models.record import Metrics
from training.errors import TrainingError
from training.interrupts import Terminated
from training.intervals import interval
from training.run import CHECKPOINT, CONFIGURATION


@contextmanager
def told_in_a_sentence(run_folder: Path | None = None) -> Iterator[Console]:
    """Give a command its console on stderr, and turn each failure that has a name into one sentence.

    Args:
        run_folder: that an interrupted command can go on from.
    """
    console = Console(stderr=True)
    try:
        yield console
    except KeyboardInterrupt as stop:
        by, code = ("SIGTERM", 143) if isinstance(stop, Terminated) else ("Ctrl-C", 130)
        then = "nothing was written."
        if run_folder is not None and (run_folder / CHECKPOINT).exists():
            then = f"{run_folder / CHECKPOINT} is written; its page is made with: python -m training report"
        elif run_folder is not None and (run_folder / CONFIGURATION).exists():
            then = f"go on with: python -m training train --resume {run_folder}"
        tell(console, f"Stopped by {by}; {then}")
        raise typer.Exit(code) from None
    except (GlimpseError, OSError) as error:
        tell(console, f"Error: {error}")
        raise typer.Exit(1) from None
    except torch.OutOfMemoryError as error:
        tell(console, f"Error: the device has not enough memory ({error}). Free it, or use --device cpu.")
        raise typer.Exit(1) from None


def print_metrics(metrics: Metrics) -> None:
    """Print what was measured, overall and per class."""
    typer.echo(f"{metrics.split}: {metrics.n:,} pictures")
    typer.echo(f"Accuracy of the network: {_percent(metrics.accuracy['single_view'])} (single view)")
    typer.echo(f"Accuracy of the network: {_percent(metrics.accuracy['six_views'])} (six views)")
    seen = interval(round(metrics.accuracy["single_view"] * metrics.n), metrics.n)
    typer.echo(f"95 % interval of the single view: {100 * seen.low:.2f} to {_percent(seen.high)}")
    typer.echo(f"Expected calibration error: {_percent(metrics.expected_calibration_error)}")
    if metrics.accepted is not None:
        kept = (
            ""
            if metrics.accuracy_of_accepted is None
            else f", {_percent(metrics.accuracy_of_accepted)} of them right"
        )
        typer.echo(f"Accepted, without abstaining: {_percent(metrics.accepted)}{kept}")
    width = max(len(label) for label in metrics.per_class)
    for label, accuracy in metrics.per_class.items():
        text = "no pictures" if accuracy is None else f"{100 * accuracy:2.0f} %"
        typer.echo(f"Accuracy of {label:>{width}} : {text}")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def check_target(out: Path) -> None:
    """Refuse before minutes of training what could not be written after them."""
    if out.suffix != ".safetensors":
        raise TrainingError(f"--out {out} must end in .safetensors.")
    check_file(out)


def check_png(path: Path) -> None:
    """Refuse a grid that would not be a PNG, or could not be written."""
    if path.suffix.lower() != ".png":
        raise TrainingError(f"The grid is written as a PNG; name it so instead of {path}.")
    check_file(path)


def check_file(path: Path) -> None:
    """Refuse a file that could not be written; its folder is made.

    Raises:
        TrainingError: a folder has its name.
        OSError: its folder cannot be made, or nothing can be written into it.
    """
    if path.is_dir():
        raise TrainingError(f"{path} is a folder; name a file in it.")
    check_folder(path.parent)


def check_folder(path: Path) -> None:
    """Make a folder, and refuse one that nothing can be written into.

    Raises:
        TrainingError: a file has its name.
        OSError: it cannot be made or written into.
    """
    if path.is_file():
        raise TrainingError(f"{path} is a file; name a folder.")
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        pass


def teller(console: Console) -> Callable[[str], None]:
    """Turn a console into a function that is told a sentence at a time."""
    return lambda sentence: tell(console, sentence)


def tell(console: Console, sentence: str) -> None:
    """Print a sentence as it is, whatever brackets stand in it."""
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
