"""`python -m training …`: the commands, in the order in which they are offered."""

import io
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from training.commands.checkpoints import calibrate, export, outliers, report
from training.commands.data import inspect, mistakes, samples
from training.commands.evaluate import evaluate
from training.commands.predict import predict
from training.commands.quantize import quantize
from training.commands.train import train
from training.nearest import with_nearest_choice


class _Commands(TyperGroup):
    """Names the word that was meant where an option takes one of a few; typer does so of commands and options."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the context's type is click's or typer's, by the version
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = with_nearest_choice(error.message)
            raise


app = typer.Typer(
    name="training",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it takes "[default: 0]" for markup, and leaves it out
    help="Train a small image classifier, and measure what it is worth.",
)

_OF_DATA = (inspect, mistakes, samples)
_OF_CHECKPOINTS = (predict, evaluate, calibrate, outliers, report, export)
for _command in (train, quantize, *_OF_DATA, *_OF_CHECKPOINTS):
    app.command()(_command)


def run(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: as typed; None takes those of the process.

    Returns:
        0 done, 1 a refused input, 2 usage, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names are bytes, and need not be text
    for argument in sys.argv[1:] if arguments is None else arguments:
        if not argument or (argument.startswith("--") and argument.partition("=")[1:] == ("=", "")):
            # as a path it would be the working folder
            sys.stderr.write("Error: an argument is empty; is it a variable that is not set?\n")
            return 2
    try:
        app(arguments)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    return 0
