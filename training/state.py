"""The file that a training goes on from: plain containers of tensors, numbers and texts, no code."""

import io
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.files import write_atomically
from models.memory import lacks_device_memory, lacks_memory
from training.errors import TrainingError

FORMAT_VERSION = 1
BEGIN_AGAIN = "delete it to start this run from the beginning"
"""What to do about a state that cannot be read, where there is no other one."""
_DAMAGE = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
)
"""What torch's reader raises over bytes that are not what it expects."""


def is_finite(state: object) -> bool:
    """Whether all numbers of a state are finite: with others a run would go on for nothing.

    Args:
        state: as for `write_state`, or a part of one.
    """
    if isinstance(state, Mapping):
        return all(is_finite(part) for part in state.values())
    if isinstance(state, list | tuple):
        return all(is_finite(part) for part in state)
    if isinstance(state, Tensor):
        return bool(state.isfinite().all())
    return not isinstance(state, float) or math.isfinite(state)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state whole or not at all: beside its target, flushed, then renamed.

    Args:
        path: of the file.
        state: tensors on any device, numbers, texts, lists and dictionaries.
    """
    buffer = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, **state}, buffer)
    write_atomically(path, buffer.getvalue())


def read_state(path: Path, *, device: torch.device, advice: str = BEGIN_AGAIN) -> dict[str, Any] | None:
    """Read a state; None where none was saved yet.

    Args:
        path: of the file.
        device: where its tensors go.
        advice: what to do if it is damaged.

    Raises:
        TrainingError: the file is damaged, or of another version of Glimpse.
        OSError: it cannot be read.
        RuntimeError: there is no memory for it.
    """
    if not path.exists():
        return None
    try:
        file = io.BytesIO(path.read_bytes())  # a disk that fails is heard here; is_zipfile would call it damage
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no whole archive")
        file.seek(0)
        state = torch.load(file, map_location=device, weights_only=True)
    except _DAMAGE as error:
        if lacks_memory(error) or lacks_device_memory(error):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrainingError(
            f"The state {path} cannot be read ({reason}). It is damaged or was not written by Glimpse; {advice}."
        ) from error
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise TrainingError(
            f"The state {path} has format version {version!r}; this Glimpse reads version {FORMAT_VERSION}. "
            "Resume with the Glimpse that wrote it, or start a new run."
        )
    return dict(state)
