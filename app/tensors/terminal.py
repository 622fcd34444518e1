"""`python -m app tensors [demo] [options]`: the lab in a terminal.

Exit codes: 0 done, 1 the output cannot be written, 2 an unknown demo or a wrong option, 3 the checkpoint cannot be
loaded.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from app.ending import refuse
from app.errors import ParameterError, SettingsError
from app.settings import read_settings
from app.tensors.catalogue import DEMOS, Devices, devices_of, parameters_of, read_values
from app.tensors.lab import ANATOMY, Served, demos, run_demo
from app.tensors.report import list_for_terminal, to_terminal
from models.checkpoint import load
from models.errors import CheckpointError


def main(arguments: Sequence[str]) -> int:
    """Run one demo and print it; without a name, list what there is."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the texts have → and ×, which not every terminal's encoding has
    name = next((word for word in arguments[:1] if not word.startswith("-")), None)
    if name is not None and name not in DEMOS:
        return refuse(f"There is no demo {name!r}. There are: {', '.join(DEMOS)}.", 2)
    try:
        settings = read_settings([])
        devices = devices_of(settings)
        sent = vars(_parser(name, devices).parse_args(arguments[1:] if name else arguments))
        if name is None:
            return _write(list_for_terminal(demos(devices)))
        checkpoint = sent.pop("checkpoint", None)
        if checkpoint is not None:
            settings = read_settings([f"--checkpoint={checkpoint}"])
        path = Path(settings.checkpoint)
        given = [(key, text) for key, text in sent.items() if text is not None]
        values = read_values(name, given, devices.available)
        served = Served(path.name, load(path)) if name == ANATOMY else None
        run = run_demo(name, values, served, devices)
    except (ParameterError, SettingsError) as error:
        return refuse(str(error), 2)
    except CheckpointError as error:
        return refuse(str(error), 3)
    return _write(to_terminal(run))


def _parser(name: str | None, devices: Devices) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m app tensors {name or '[demo]'}",
        description=f"Run a demo of the tensor lab. There are: {', '.join(DEMOS)}.",
        allow_abbrev=False,
    )
    for key, parameter in parameters_of(name, devices.available).items() if name else ():
        parser.add_argument(f"--{key.replace('_', '-')}", dest=key, help=f"{parameter.help}: {parameter.allowed}")
    if name == ANATOMY:
        parser.add_argument(
            "--checkpoint", help="the .safetensors file; else GLIMPSE_CHECKPOINT, else the shipped one"
        )
    return parser


def _write(text: str) -> int:
    """Print, and hear at once when that fails; whoever closes a pipe, as `head` does, has read enough."""
    if sys.stdout is None:  # a shell closed it
        return refuse("There is no standard output to write to.", 1)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            return refuse(f"The output cannot be written: {error.strerror}.", 1)
    return 0
