"""What all commands do around their work: refuse in a sentence, print what was measured."""

import contextlib
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from models.errors import GlimpseError
from models.memory import lacks_device_memory, lacks_memory
from models.metrics import Metrics
from training.configuration import read_configuration
from training.errors import TrainingError
from training.interrupts import Terminated, sigterm_at_once
from training.measuring.intervals import interval
from training.progress import printable, tell
from training.runs.run import CHECKPOINT, CONFIGURATION

_NO_COMPILER = "No working C++ compiler found"
"""What torch.compile says, in whatever exceptions it is wrapped."""


@contextmanager
def told_in_a_sentence(run_folder: Path | None = None) -> Iterator[Console]:
    """Give a command its console on stderr, and turn each failure that has a name into one sentence.

    Args:
        run_folder: that an interrupted command can go on from.
    """
    console = Console(stderr=True)
    with sigterm_at_once():
        try:
            yield console
        except KeyboardInterrupt as stop:
            by, code = ("SIGTERM", 143) if isinstance(stop, Terminated) else ("Ctrl-C", 130)
            tell(console, f"Stopped by {by}; {_what_is_left(run_folder) or 'nothing was written.'}")
            raise typer.Exit(code) from None
        except GlimpseError as error:
            tell(console, f"Error: {error}")
            raise typer.Exit(1) from None
        except OSError as error:
            console.quiet = False  # of one process among several, and no other may meet it
            left = _what_is_left(run_folder)
            tell(console, f"Error: {error}" + (f". Mend it; {left}" if left else ""))
            raise typer.Exit(1) from None
        except (RuntimeError, MemoryError) as error:
            console.quiet = False
            why = (str(error).splitlines() or ["no reason was given"])[0]
            left = _what_is_left(run_folder)
            if lacks_device_memory(error):
                advice = "Free it, or use --device cpu" + (f"; {left}" if left else ".")
                tell(console, f"Error: the device has not enough memory ({why}). {advice}")
                raise typer.Exit(1) from None
            if _NO_COMPILER in str(error):
                advice = "Install a C++ compiler, as g++, or leave --compile out"
                advice += f"; {left} --no-compile" if left else "."
                tell(console, f"Error: torch.compile makes no kernels here ({why}). {advice}")
                raise typer.Exit(1) from None
            if not lacks_memory(error):
                raise
            size = "a smaller --input-size"
            advice = f"start a new run with {size}; {left}" if left else f"take {size}."
            tell(console, f"Error: there is not enough memory ({why}). Free it, or {advice}")
            raise typer.Exit(1) from None


class CommandError(typer.BadParameter):
    """Options that make no command together; the sentence is told as it is, with exit code 2."""

    def format_message(self) -> str:
        return self.message


def _what_is_left(run_folder: Path | None) -> str | None:
    """Say what a run's folder holds, and what to do with it; None where there is nothing yet."""
    if run_folder is None:
        return None
    checkpoint = run_folder / CHECKPOINT
    if checkpoint.exists():
        return f"{checkpoint} is written; its page is made with: {page_command(run_folder)}"
    if (run_folder / CONFIGURATION).exists():
        return f"go on with: {_python()} -m training train --resume {shlex.quote(str(run_folder))}"
    return None


def _python() -> str:
    """Name the interpreter of this process, as it can be typed where it was started."""
    path = Path(sys.executable)
    with contextlib.suppress(OSError, ValueError):  # no working folder any more, or not below it
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path if len(path.parts) > 1 else sys.executable))


def page_command(run_folder: Path) -> str:
    """The command that makes the page of a finished run; without options where its configuration is unreadable."""
    command = f"{_python()} -m training report"
    try:
        asked, _ = read_configuration(run_folder / CONFIGURATION)
    except (TrainingError, OSError):
        return command
    options = ["--data", asked.data, "--cache", asked.cache, "--seed", asked.seed, "--device", asked.device]
    words = [run_folder / CHECKPOINT, *options, "--run", run_folder, "--out", run_folder]
    return f"{command} {shlex.join(map(str, words))}"


def print_metrics(metrics: Metrics) -> None:
    """Print what was measured, overall and per class."""
    print_lines([f"{metrics.split}: {metrics.n:,} pictures"])
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
    labels = [printable(label) for label in metrics.per_class]
    width = max(map(len, labels))
    for label, accuracy in zip(labels, metrics.per_class.values(), strict=True):
        text = "no pictures" if accuracy is None else f"{100 * accuracy:2.0f} %"
        typer.echo(f"Accuracy of {label:>{width}} : {text}")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines that hold names of files and classes: a name of two lines stays in one."""
    for line in lines:
        typer.echo(printable(line))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"
