"""What an operator can set: one table, read from the command line, then GLIMPSE_* variables, then defaults."""

import argparse
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.checkpoint import CHECKPOINTS
from models.errors import GlimpseError
from models.pictures import DEFAULT_MAX_PIXELS

PREFIX = "GLIMPSE_"
_SERVICE_LINK = re.compile(r"GLIMPSE_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))")


class SettingsError(GlimpseError):
    """A setting has a name or a value that cannot be used."""


class Settings(BaseSettings):
    """Every option of `python -m app`, each also GLIMPSE_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 lets the system choose")
    checkpoint: Path = Field(CHECKPOINTS / "cifar10.safetensors", description="the .safetensors file to serve")
    engine: Literal["auto", "torch"] = Field("auto", description="what runs the network")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA where there is one")
    max_body_bytes: int = Field(20_000_000, ge=1, description="largest request body; more gets 413")
    max_pixels: int = Field(
        DEFAULT_MAX_PIXELS, ge=1, description="most pixels of a picture, read before decoding; more gets 413"
    )
    drain_timeout_s: int = Field(
        8, ge=0, description="time for requests in flight after SIGTERM; `docker stop` kills after 10 s"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )


def read_settings(arguments: Sequence[str]) -> Settings:
    """Read the settings of this process.

    Args:
        arguments: of the command line, without the program's name.

    Raises:
        SettingsError: an unknown GLIMPSE_* variable, or a value out of its range; one line for each.
        SystemExit: the command line has an unknown option (2), or asks for --help (0).
    """
    _refuse_unknown_variables(os.environ)
    given = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(dict(fault), given) for fault in error.errors())) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Serve a checkpoint over HTTP. Every option is also GLIMPSE_* in the environment.",
        allow_abbrev=False,
    )
    for name, field in Settings.model_fields.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, help=f"{field.description} ({field.default})"
        )
    return parser


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """pydantic-settings ignores a mistyped variable, and the operator wonders why nothing changed."""
    known = [name.upper() for name in Settings.model_fields]
    lines = []
    for variable in environment:
        name = variable.upper().removeprefix(PREFIX)
        if not variable.upper().startswith(PREFIX) or name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = (
            f"did you mean {PREFIX}{close[0]}?" if close else f"known are {', '.join(PREFIX + n for n in known)}."
        )
        lines.append(f"The environment variable {variable} is not a setting; {hint}")
    if any(_SERVICE_LINK.match(variable) for variable in environment):
        lines.append(
            "Kubernetes sets such variables in every pod beside a Service named glimpse: "
            "set enableServiceLinks: false in the pod, or give the Service another name."
        )
    if lines:
        raise SettingsError("\n".join(lines))


def _sentence(fault: Mapping[str, object], given: Mapping[str, str]) -> str:
    location = fault["loc"]
    name = str(location[0]) if isinstance(location, tuple) and location else "settings"
    source = f"--{name.replace('_', '-')}" if name in given else PREFIX + name.upper()
    return f"{source} is {fault['input']!r}: {fault['msg']}."
