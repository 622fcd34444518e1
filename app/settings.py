"""What an operator can set: one table, read from the command line, then GLIMPSE_* variables, then defaults."""

import argparse
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import SettingsError
from app.origins import to_origins
from app.pinning import to_digest
from models.checkpoint import CHECKPOINTS
from models.pictures import DEFAULT_MAX_PIXELS, MOST_PIXELS

PREFIX = "GLIMPSE_"
_SERVICE_LINK = re.compile(r"GLIMPSE_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))")

_LEAST_S, _DAY_S = 0.1, 86_400
"""Bounds in seconds: a shorter time leaves none for anything else, a longer one is for ever. Source: choice."""

_SHORTEST_KEY = 16
_SECRETS = {"admin_key"}
"""Settings that are never shown, not even when they are refused."""
_SHOWN_CHARACTERS = 100
"""Of a value that is refused: more would hide what is said of it."""


class Settings(BaseSettings):
    """Every option of `python -m app`, each also GLIMPSE_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 lets the system choose")
    checkpoint: Path = Field(CHECKPOINTS / "cifar10.safetensors", description="the .safetensors file to serve")
    checkpoint_digest: str | None = Field(
        None, description="digest that the file must have, sha256:…; another file is refused"
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="what runs the network; auto: torch on CUDA, else openvino, else torch"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto, cpu or cuda; auto takes CUDA where there is one"
    )
    workers: int = Field(
        0,
        ge=0,
        le=64,
        description="processes, each with a model and its share of the cores; 0 takes what fits them",
    )
    second_look: Literal["off", "on"] = Field(
        "off", description="on: ask six views of a picture before its answer abstains; surer, and more work"
    )
    max_batch_size: int = Field(
        0, ge=0, le=1024, description="most pictures of one run; 0 leaves it to the engine"
    )
    max_queue: int = Field(1024, ge=1, description="most pictures in work at a time, of each worker; more get 503")
    deadline_ms: int = Field(
        10_000, ge=1, description="time for an answer once the body is there; X-Request-Timeout-Ms changes it"
    )
    max_deadline_ms: int = Field(60_000, ge=1, description="most that X-Request-Timeout-Ms may ask for")
    golden_interval_s: float = Field(
        30,
        ge=_LEAST_S,
        le=_DAY_S,
        description="how often the golden pictures are asked; a wrong answer makes it not ready",
    )
    max_body_bytes: int = Field(20_000_000, ge=1, description="largest picture file; more gets 413")
    max_batch_bytes: int = Field(100_000_000, ge=1, description="largest body of /predict/batch; more gets 413")
    max_batch_files: int = Field(256, ge=1, description="most files of one /predict/batch; more get 413")
    max_bodies_bytes: int = Field(
        500_000_000,
        ge=1,
        description="most bytes of all bodies together that are in work, of each worker; more get 503",
    )
    upload_timeout_s: float = Field(
        120,
        ge=_LEAST_S,
        le=_DAY_S,
        description="time for a request to arrive, else 408; and for its caller to read the answer",
    )
    keep_alive_s: int = Field(
        75, ge=1, le=_DAY_S, description="time an idle connection stays open; longer than that of a proxy in front"
    )
    max_pixels: int = Field(
        DEFAULT_MAX_PIXELS,
        ge=1,
        le=MOST_PIXELS,
        description="most pixels of a picture, read before decoding; more gets 413",
    )
    admin_key: SecretStr | None = Field(
        None,
        description="key of 16 characters or more for POST /model/reload; without one there is no such route",
    )
    cors_origins: str | None = Field(
        None, description="whose pages may call it: https://app.example, http://localhost:3000, or * for all"
    )
    drain_delay_s: float = Field(
        1, ge=0, le=_DAY_S, description="time after SIGTERM in which it still answers all, not ready any more"
    )
    drain_timeout_s: int = Field(
        7, ge=0, description="time after that for requests in flight; `docker stop` kills after 10 s in all"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged: debug, info, warning or error"
    )

    @field_validator("host")
    @classmethod
    def _names_an_address(cls, host: str) -> str:
        """Refuse an empty one, which Python takes for every address."""
        if not host:
            raise ValueError("name an address, or 0.0.0.0 for all")
        return host

    @field_validator("checkpoint", mode="before")
    @classmethod
    def _names_a_file(cls, path: object) -> object:
        """Refuse an empty path, which Python takes for the working folder."""
        if path == "":
            raise ValueError("name a .safetensors file")
        return path

    @field_validator("checkpoint_digest")
    @classmethod
    def _is_a_digest(cls, digest: str | None) -> str | None:
        return None if digest is None else to_digest(digest)

    @field_validator("admin_key")
    @classmethod
    def _is_safe_and_can_be_sent(cls, key: SecretStr | None) -> SecretStr | None:
        """Refuse a key that can be guessed, or that no header carries: each client encodes it in its own way."""
        if key is not None and len(key) < _SHORTEST_KEY:
            raise ValueError(f"it has {len(key)} characters, and needs {_SHORTEST_KEY} or more")
        if key is not None and not re.fullmatch(r"[!-~]([ -~]*[!-~])?", key.get_secret_value()):
            raise ValueError("use letters, digits and signs of ASCII, and spaces only between them")
        return key

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: str | None) -> str | None:
        return None if origins is None else to_origins(origins)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse settings that contradict each other."""
        if self.deadline_ms > self.max_deadline_ms:
            raise _over("deadline_ms", self.deadline_ms, "max_deadline_ms", self.max_deadline_ms)
        if self.admin_key and self.workers > 1:
            raise ValueError("a reload reaches one process: leave out admin_key, or set workers to 1")
        if self.max_batch_files > self.max_queue:
            raise _over("max_batch_files", self.max_batch_files, "max_queue", self.max_queue)
        for name in ("max_body_bytes", "max_batch_bytes"):
            if (limit := getattr(self, name)) > self.max_bodies_bytes:
                raise _over(name, limit, "max_bodies_bytes", self.max_bodies_bytes)
        return self


def _over(name: str, value: int, bound: str, most: int) -> ValueError:
    return ValueError(f"{name} is {value}, over {bound}, {most}: lower the first, or raise the second")


_NAMES = re.compile(rf"\b({'|'.join(Settings.model_fields)})\b")


def read_settings(arguments: Sequence[str]) -> Settings:
    """Read the settings of this process.

    Args:
        arguments: words of the command line, without the program's name.

    Raises:
        SettingsError: an unknown option or GLIMPSE_* variable, an option without its value, or a value out of its
            range; one line for each.
        SystemExit: --help is asked for (0).
    """
    _refuse_unknown_variables(os.environ)
    try:
        read, unknown = _parser().parse_known_args(arguments)
    except argparse.ArgumentError as error:
        is_missing = error.message.startswith("expected")
        told = "has no value. Give it one" if is_missing else f"takes no value ({error.message}). Give it none"
        raise SettingsError(f"{error.argument_name} {told}, or leave it out.") from error
    if unknown:
        raise SettingsError(_unknown_option(unknown[0]))
    given = {name: value for name, value in vars(read).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(dict(fault), given) for fault in error.errors())) from error


def to_environment(settings: Settings) -> dict[str, str]:
    """Write settings as the variables that `read_settings` of another process would read."""
    return {
        PREFIX + name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in settings
        if value is not None
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Serve a checkpoint over HTTP. Every option is also GLIMPSE_* in the environment.",
        epilog="python -m app tensors [demo] runs the tensor lab in the terminal.",
        allow_abbrev=False,
        exit_on_error=False,
    )
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else field.default
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=f"{field.description} ({default})")
    return parser


def _unknown_option(word: str) -> str:
    known = [f"--{name.replace('_', '-')}" for name in Settings.model_fields]
    close = difflib.get_close_matches(word.partition("=")[0], known, n=1)
    hint = f"did you mean {close[0]}?" if close else "--help lists all; `python -m app tensors` is the lab."
    return f"{word} is not an option; {hint}"


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """Refuse mistyped variables: pydantic-settings ignores them, and the operator wonders why nothing changed."""
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


def _sentence(fault: Mapping[str, Any], given: Mapping[str, str]) -> str:
    if not fault["loc"]:  # settings that contradict each other; `_agree` calls them by their fields' names
        told = _NAMES.sub(lambda found: _source(found[0], given), str(fault["ctx"]["error"]))
        return f"The settings do not agree: {told}."
    name = str(fault["loc"][0])
    source = _source(name, given)
    text = str(fault["input"])
    shown = repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")
    advice = fault["ctx"]["error"] if fault["type"] == "value_error" else _advice(name)
    return f"{source} is {'a secret' if name in _SECRETS else shown}: {advice}."


def _advice(name: str) -> str:
    """Say what a setting may be that is a number or one of a few words: pydantic says it in words of its own."""
    schema = Settings.model_json_schema()["properties"][name]
    if "enum" in schema:
        *words, last = schema["enum"]
        allowed = f"{', '.join(words)} or {last}"
    else:
        kind = "a whole number" if schema["type"] == "integer" else "a number"
        upwards = f"to {schema['maximum']}" if "maximum" in schema else "upwards"
        allowed = f"{kind} from {schema['minimum']} {upwards}"
    return f"give {allowed}, or leave it out, which is {schema['default']}"


def _source(name: str, given: Mapping[str, str]) -> str:
    """Call a setting as whoever gave it did: by its option, or else by its variable."""
    return f"--{name.replace('_', '-')}" if name in given else PREFIX + name.upper()
