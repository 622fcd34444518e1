"""The conditions of a measurement: a number without them is not a number."""

import json
import os
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from training.devices import choose_device, describe_hardware
from training.runs.provenance import current_commit, now_utc


def describe(benchmark: str, *, device: str = "auto") -> dict[str, object]:
    """Name benchmark, moment, commit, hardware, and the versions and settings of Glimpse's environment."""
    return {
        "benchmark": benchmark,
        "at": now_utc(),
        "commit": current_commit(),
        "hardware": describe_hardware(choose_device(device)),
        "versions": own_versions(("torch", "fastapi", "starlette", "uvicorn", "pillow", "openvino")),
        "torch_build": torch.__version__,
        "settings": {name: value for name, value in os.environ.items() if name.startswith("GLIMPSE_")},
    }


def own_versions(distributions: Sequence[str]) -> dict[str, str]:
    """Versions of what is installed beside this code; what is not there is left out."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def versions_of(python: Path, distributions: Sequence[str]) -> dict[str, str]:
    """Ask another environment for the versions of what is installed there."""
    code = "import json, sys; from importlib.metadata import version as v; "
    code += "print(json.dumps({'python': sys.version.split()[0], **{n: v(n) for n in sys.argv[1:]}}))"
    done = subprocess.run(
        [str(python), "-c", code, *distributions], capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found
