"""The demos and what can be changed in them: the one table, and the judgement of what a caller sends."""

import ast
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple

from app.engines import takes_cuda
from app.errors import ParameterError
from app.settings import Settings
from app.wire.headers import shortened

Value = int | float | str
_WHOLE = re.compile(r"-?[0-9]{1,9}")
_DECIMAL = re.compile(r"-?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Integer:
    """A whole number, both bounds included, in steps from the lower one."""

    help: str
    minimum: int
    maximum: int
    step: int = 1
    kind: ClassVar[Literal["integer"]] = "integer"
    choices: ClassVar[None] = None

    @property
    def allowed(self) -> str:
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"a whole number from {self.minimum} to {self.maximum}{steps}"

    def read(self, text: str) -> int | None:
        """Understand what was sent; None where it is not allowed."""
        if not _WHOLE.fullmatch(text) or not self.minimum <= int(text) <= self.maximum:
            return None
        return int(text) if (int(text) - self.minimum) % self.step == 0 else None

    def to_source(self, value: Value) -> str:
        """Write a value that `read` gave as it stands in a script."""
        return repr(value)

    def from_source(self, source: str) -> Value | None:
        """Read back what stands in a script; None where it is not allowed."""
        return self.read(source)


@dataclass(frozen=True)
class Number:
    """A decimal number, both bounds included."""

    help: str
    minimum: float
    maximum: float
    step: ClassVar[None] = None
    kind: ClassVar[Literal["number"]] = "number"
    choices: ClassVar[None] = None

    @property
    def allowed(self) -> str:
        return f"a number from {self.minimum} to {self.maximum}"

    def read(self, text: str) -> float | None:
        """Understand what was sent; None where it is not allowed."""
        value = float(text) if _DECIMAL.fullmatch(text) else math.nan
        return value if self.minimum <= value <= self.maximum else None

    def to_source(self, value: Value) -> str:
        """Write a value that `read` gave as it stands in a script."""
        return repr(value)

    def from_source(self, source: str) -> Value | None:
        """Read back what stands in a script; None where it is not allowed."""
        return self.read(source)


@dataclass(frozen=True)
class Choice:
    """One of a few words.

    Attributes:
        choices: the words.
        form: pattern by which one of them is written into a script.
    """

    help: str
    choices: tuple[str, ...]
    form: str = "{}"
    kind: ClassVar[Literal["choice"]] = "choice"
    minimum: ClassVar[None] = None
    step: ClassVar[None] = None
    maximum: ClassVar[None] = None

    @property
    def allowed(self) -> str:
        return f"one of {', '.join(self.choices)}"

    def read(self, text: str) -> str | None:
        """Understand what was sent; None where it is not allowed. The word is the table's, not the caller's."""
        return next((choice for choice in self.choices if choice == text), None)

    def to_source(self, value: Value) -> str:
        """Write a value that `read` gave as it stands in a script."""
        return self.form.format(value)

    def from_source(self, source: str) -> Value | None:
        """Read back what stands in a script; None where it is not allowed."""
        wanted = ast.dump(ast.parse(source))
        same = (choice for choice in self.choices if ast.dump(ast.parse(self.to_source(choice))) == wanted)
        return next(same, None)


Parameter = Integer | Number | Choice

_SEED = Integer("where the random numbers start", 0, 9_999)
_DEVICE = Choice("where the tensors live", ("cpu", "cuda"), '"{}"')
_FLOATS = Choice("how each element is stored", ("float32", "float64", "float16", "bfloat16"), "torch.{}")

# 16 × 16 are the 256 elements whose values are shown. The devices demo takes longest: at its largest it does
# 10 billion operations, 2n³ for each size, four times.
DEMOS: Mapping[str, Mapping[str, Parameter]] = MappingProxyType(
    {
        "creation": {
            "rows": Integer("rows of each tensor", 1, 16),
            "columns": Integer("columns of each tensor", 1, 16),
            "dtype": _FLOATS,
            "seed": _SEED,
            "device": _DEVICE,
        },
        "arithmetic": {
            "rows": Integer("rows of x and y", 1, 16),
            "columns": Integer("columns of x and y", 1, 16),
            "dtype": _FLOATS,
            "seed": _SEED,
            "device": _DEVICE,
        },
        "reshaping": {
            "rows": Integer("rows of x; even, so that they can be paired", 2, 16, step=2),
            "columns": Integer("columns of x", 2, 16),
            "dtype": Choice("how each element is stored", ("int64", "int32", "uint8", "float32"), "torch.{}"),
            "device": _DEVICE,
        },
        "numpy-bridge": {
            "rows": Integer("elements of each tensor and array", 1, 16),
            "dtype": Choice(
                "how each element is stored", ("float32", "float64", "float16", "int64", "int32"), "torch.{}"
            ),
            "device": Choice("where the tensor lives that must come home", ("cpu", "cuda"), '"{}"'),
        },
        "dynamic-graph": {
            "size": Integer("elements of the input and of the weight", 1, 8),
            "target": Number("the length until which the loop goes on", 0.1, 1000.0),
            "most_steps": Integer("turns of the loop at most", 0, 12),
            "seed": _SEED,
            "device": _DEVICE,
        },
        "devices": {
            "largest": Integer("rows and columns of the largest matrix, at most", 32, 1024),
            "repeats": Integer("timed products of each size", 1, 3),
            "dtype": Choice("how each element is stored", ("float32", "float64"), "torch.{}"),
            "seed": _SEED,
        },
        "anatomy": {
            "picture": Integer("which golden picture goes through", 0, 7),
        },
    }
)
"""Every demo, in the order in which a learner meets them, with one row for each parameter.

The defaults stand in the scripts, and nowhere else."""


class Devices(NamedTuple):
    """Where demos may run.

    Attributes:
        own: the device of the service, where they run unless told otherwise.
        available: all that may be asked for.
    """

    own: str
    available: tuple[str, ...]


CPU = Devices("cpu", ("cpu",))


def devices_of(settings: Settings) -> Devices:
    """Look which devices there are, unless the operator has chosen the CPU: looking loads the driver."""
    if not takes_cuda("torch", settings.device):  # it is torch that runs the demos, whatever runs the network
        return CPU
    return Devices("cuda" if takes_cuda(settings.engine, settings.device) else "cpu", ("cpu", "cuda"))


def parameters_of(demo: str, available: tuple[str, ...]) -> dict[str, Parameter]:
    """Look up a demo's parameters, with the devices that are there.

    Args:
        demo: a key of `DEMOS`.
        available: the devices that are there.
    """
    return {
        name: replace(parameter, choices=available)
        if name == "device" and isinstance(parameter, Choice)
        else parameter
        for name, parameter in DEMOS[demo].items()
    }


def read_values(demo: str, sent: Iterable[tuple[str, str]], available: tuple[str, ...]) -> dict[str, Value]:
    """Understand what a caller sent: only values that the table allows come out.

    Args:
        demo: a key of `DEMOS`.
        sent: names and values, as text.
        available: the devices that are there.

    Raises:
        ParameterError: an unknown name, one that came twice, or a value that is not allowed.
    """
    parameters = parameters_of(demo, available)
    values: dict[str, Value] = {}
    for name, text in sent:
        parameter = parameters.get(name)
        if parameter is None:
            raise ParameterError(
                f"The demo {demo} has no parameter {shortened(name)}; it has {', '.join(parameters)}."
            )
        if name in values:
            raise ParameterError(f"The parameter {name} came more than once. Send it once.")
        value = parameter.read(text)
        if value is None:
            missing = (
                " There is no CUDA device here, or the operator has chosen the CPU."
                if name == "device" and text == "cuda"
                else ""
            )
            raise ParameterError(
                f"The parameter {name} is {shortened(text)}; allowed is {parameter.allowed}.{missing}"
            )
        values[name] = value
    return values
