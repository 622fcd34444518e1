"""The lab: what demos there are, and one of them run with values."""

import copy
import dataclasses
import functools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from app.tensors import scripts
from app.tensors.catalogue import CPU, DEMOS, Devices, Parameter, Value, parameters_of
from app.tensors.runner import Step, run
from app.tensors.turns import Turns
from models.checkpoint import Checkpoint

ANATOMY, DEVICES = "anatomy", "devices"


class Served(NamedTuple):
    """The checkpoint that is looked at.

    Attributes:
        file: name of the file without its folder: where it lies is nobody's business.
        checkpoint: the one that was loaded from there.
    """

    file: str
    checkpoint: Checkpoint


class Lab(NamedTuple):
    """What the lab has as long as the service runs.

    Attributes:
        devices: those that may be used.
        turns: runs one demo at a time, in the lab's thread.
    """

    devices: Devices
    turns: Turns


@dataclass(frozen=True)
class Demo:
    """A demo and what can be changed in it.

    Attributes:
        parameters: name → what is allowed; of `device` those that are there.
        defaults: name → value, as it stands in the script.
    """

    name: str
    title: str
    summary: str
    parameters: Mapping[str, Parameter]
    defaults: Mapping[str, Value]


@dataclass(frozen=True)
class DemoRun:
    """A demo that ran.

    Attributes:
        parameters: name → the value that it had; all of them.
        torch: version of PyTorch.
        duration_ms: time that the whole run took.
        code: the whole script, as it ran.
    """

    demo: str
    title: str
    summary: str
    parameters: Mapping[str, Value]
    torch: str
    duration_ms: float
    code: str
    steps: tuple[Step, ...]


def demos(devices: Devices) -> list[Demo]:
    """Describe all demos, in order."""
    return [_describe(name, devices) for name in DEMOS]


def run_demo(name: str, values: Mapping[str, Value], served: Served | None, devices: Devices = CPU) -> DemoRun:
    """Run a demo; for a large matrix product it takes some tenths of a second at most.

    Args:
        name: a key of the catalogue.
        values: name → value, as the catalogue read it; others keep their default.
        served: what the anatomy demo looks at, and no other; it gets a network of its own, since hooks on the one
            that answers pictures would run for them, too.
        devices: those that may be used.
    """
    started_s = time.perf_counter()
    demo = _describe(name, devices)
    parameters = {**demo.defaults, **values}
    sources = {key: demo.parameters[key].to_source(value) for key, value in parameters.items()}
    if name == DEVICES and "cuda" not in devices.available:
        sources["use_cuda"] = "False"  # there may be one that the operator wants to be left alone
    given: dict[str, object] = {}
    if name == ANATOMY:
        assert served is not None
        sources["checkpoint"] = f"load(Path({_quoted(served.file)}))"
        network = copy.deepcopy(served.checkpoint.network).cpu()
        given["checkpoint"] = dataclasses.replace(served.checkpoint, network=network)
    script = scripts.replaced(scripts.read(name), sources)
    steps = run(script, given)
    return DemoRun(
        demo=name,
        title=demo.title,
        summary=demo.summary,
        parameters=parameters,
        torch=str(torch.__version__),
        duration_ms=round((time.perf_counter() - started_s) * 1000, 3),
        code=script.text,
        steps=steps,
    )


def _quoted(text: str) -> str:
    """Write a text as Python source, in double quotes as a formatter would where that is simple."""
    return json.dumps(text) if text.isascii() else repr(text)


@functools.cache
def _describe(name: str, devices: Devices) -> Demo:
    script = scripts.read(name)
    written = scripts.assigned(script)
    parameters = parameters_of(name, devices.available)
    defaults = {}
    for key, parameter in DEMOS[name].items():
        default = devices.own if key == "device" else parameter.from_source(written[key])
        assert default is not None, f"{name}: the default of {key} is not allowed by its own bounds"
        defaults[key] = default
    return Demo(name, script.title, script.summary, parameters, defaults)
