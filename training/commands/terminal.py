"""What all commands do around their work: refuse in a sentence, print what was measured."""

import contextlib
import os
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
from training.commands.options import MOST_SEED
from training.configuration import read_configuration
from training.data.held_out import FEWEST_FOR_RULE
from training.errors import TrainingError
from training.evaluate import balanced_accuracy
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
        except (GlimpseError, OSError, RuntimeError, MemoryError) as error:
            sentence = _sentence(error, _what_is_left(run_folder))
            if sentence is None:
                raise
            if not isinstance(error, GlimpseError):
                console.quiet = False  # of one process among several, and no other may meet it
            tell(console, f"Error: {sentence}")
            raise typer.Exit(1) from None


def _sentence(error: Exception, left: str | None) -> str | None:
    """Say what a command met, and what to do; None for a fault of ours.

    Args:
        error: what ended the command.
        left: what the folder of its run holds, and how to go on with it, if it has one.
    """
    if isinstance(error, GlimpseError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error}" + (f". Mend it; {left}" if left else "")
    why = (str(error).splitlines() or ["no reason was given"])[0]
    if lacks_device_memory(error):
        advice = f"use --device cpu; {left}" if left else "use --device cpu."
        return f"the device has not enough memory ({why}). Free it, or {advice}"
    if _NO_COMPILER in str(error):
        advice = f"leave --compile out; {left} --no-compile" if left else "leave --compile out."
        return f"torch.compile makes no kernels here ({why}). Install a C++ compiler, as g++, or {advice}"
    if lacks_memory(error):
        size = "a smaller --input-size"
        advice = f"start a new run with {size}; {left}" if left else f"take {size}."
        return f"there is not enough memory ({why}). Free it, or {advice}"
    return None


class CommandError(typer.BadParameter):
    """Options that make no command together; the sentence is told as it is, with exit code 2."""

    def format_message(self) -> str:
        return self.message


def _what_is_left(run_folder: Path | None) -> str | None:
    """Say what a run's folder holds, and what to do with it; None where there is nothing yet."""
    if run_folder is None:
        return None
    checkpoint = run_folder / CHECKPOINT
    if os.path.exists(checkpoint):
        return f"{checkpoint} is written; its page is made with: {page_command(run_folder)}"
    if os.path.exists(run_folder / CONFIGURATION):
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
    seed = ["--seed", asked.seed] if asked.seed <= MOST_SEED else []  # older versions took larger ones
    options = ["--data", asked.data, "--cache", asked.cache, *seed, "--device", asked.device]
    words = [run_folder / CHECKPOINT, *options, "--run", run_folder, "--out", run_folder]
    return f"{command} {shlex.join(map(str, words))}"


NO_RULE = (
    f"This file has no abstain rule and always answers. `calibrate` gives it one if its training held out "
    f"{FEWEST_FOR_RULE} pictures; else, if you can spare them, train again with "
    f"--held-out {FEWEST_FOR_RULE} or more."
)
"""Of a checkpoint, in place of what its rule accepts."""


def print_metrics(metrics: Metrics, *, may_abstain: bool) -> None:
    """Print what was measured, overall and per class.

    Args:
        metrics: of a checkpoint.
        may_abstain: whether it has a rule; who has none accepts everything, and is told how to get one instead.
    """
    print_lines([f"{metrics.split}: {metrics.n:,} pictures"])
    typer.echo(f"Accuracy of the network: {_percent(metrics.accuracy['single_view'])} (single view)")
    typer.echo(f"Accuracy of the network: {_percent(metrics.accuracy['six_views'])} (six views)")
    seen = interval(round(metrics.accuracy["single_view"] * metrics.n), metrics.n)
    typer.echo(f"95 % interval of the single view: {100 * seen.low:.2f} to {_percent(seen.high)}")
    typer.echo(f"Mean of the classes (balanced accuracy): {_percent(balanced_accuracy(metrics))} (single view)")
    typer.echo(f"Expected calibration error: {_percent(metrics.expected_calibration_error)}")
    if not may_abstain:
        typer.echo(NO_RULE)
    elif metrics.accepted is not None:
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
