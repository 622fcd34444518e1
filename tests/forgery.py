"""Checkpoints that somebody changed: every kind of fault, with both digests made right again."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from models import checkpoint, errors
from models.errors import CheckpointError
from models.tensor_file import tensors_digest

Tensors = dict[str, Tensor]


Fields = dict[str, Any]


Edit = Callable[[Tensors, Fields], object]


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def read(path: Path) -> tuple[Tensors, dict[str, str]]:
    """The tensors and the metadata of a file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return safetensors.torch.load(data), json.loads(data[8 : 8 + length])["__metadata__"]


def forge(path: Path, edit: Edit) -> None:
    """Change the file and compute both digests again, so that only the meaning can give it away."""
    tensors, metadata = read(path)
    fields = json.loads(metadata["glimpse"])
    edit(tensors, fields)
    fields["tensors_sha256"] = tensors_digest(tensors)
    write_text(path, tensors, json.dumps(fields))


def write_text(path: Path, tensors: Tensors, text: str) -> None:
    """Write a file with this text and its right digest."""
    metadata = {"format": "pt", "glimpse": text, "glimpse_sha256": sha256(text.encode())}
    path.write_bytes(safetensors.torch.save(tensors, metadata))


def set_fields(section: str, **values: Any) -> Edit:
    """Change fields of a section of the text."""
    return lambda _, fields: fields[section].update(values)


def replace(name: str, change: Callable[[Tensor], Tensor]) -> Edit:
    """Change one tensor."""
    return lambda tensors, _: tensors.update({name: change(tensors[name]).contiguous()})


def with_one(value: float) -> Callable[[Tensor], Tensor]:
    """Put one value into a vector."""
    return lambda tensor: tensor.index_fill(0, torch.tensor([5]), value)


def drop(name: str) -> Edit:
    """Take one tensor away."""
    return lambda tensors, _: tensors.pop(name)


def add(name: str) -> Edit:
    """Put one tensor too many."""
    return lambda tensors, _: tensors.update({name: torch.zeros(3)})


def relabel(*labels: str) -> Edit:
    """Change the labels."""
    return lambda _, fields: fields.update(labels=labels)


def _change_mean_twice(_: Tensors, fields: Fields) -> None:
    """Change the mean and the golden conditions alike, as a thorough forger would."""
    for section in (fields["input"], fields["golden"]["input"]):
        section["mean"] = [0.51, 0.5, 0.5]


ANSWERS = "golden.probabilities"


FORGERIES: dict[str, tuple[Edit, type[CheckpointError], str]] = {
    "missing key": (drop("network.fc3.bias"), errors.TensorKeysError, r"missing \['fc3.bias'\]"),
    "extra key": (add("network.fc4.bias"), errors.TensorKeysError, r"too many \['fc4.bias'\]"),
    "no images": (drop("golden.images"), errors.TensorKeysError, "golden.images is missing"),
    "no answers": (drop("golden.probabilities"), errors.TensorKeysError, "golden.probabilities is missing"),
    "shape": (replace("network.fc2.weight", torch.t), errors.TensorShapeError, r"float32 \[120, 84\]; the"),
    "dtype": (replace("network.conv1.bias", Tensor.double), errors.TensorShapeError, r"torch.float64 \[6\]"),
    "fewer labels": (relabel("red", "green"), errors.TensorShapeError, "with 2 labels needs"),
    "NaN": (replace("network.fc1.bias", with_one(float("nan"))), errors.NotFiniteError, "fc1.bias holds 1"),
    "infinity": (
        replace("network.fc2.bias", with_one(-float("inf"))),
        errors.NotFiniteError,
        "fc2.bias holds 1",
    ),
    "swapped labels": (relabel("red", "blue", "green"), errors.GoldenError, "labels changed.*'red', 'blue'"),
    "reversed labels": (relabel("blue", "green", "red"), errors.GoldenError, "labels changed.*'blue', 'green'"),
    "mean": (set_fields("input", mean=[0.51, 0.5, 0.5]), errors.GoldenError, "input's mean changed"),
    "deviation": (set_fields("input", std=[0.5, 0.51, 0.5]), errors.GoldenError, "input's std changed"),
    "temperature": (set_fields("calibration", temperature=1.2), errors.GoldenError, "temperature changed"),
    "mean, twice": (_change_mean_twice, errors.GoldenError, "differs by 0"),
    "swapped filters": (replace("network.conv1.weight", lambda x: x.flip(0)), errors.GoldenError, "differs by 0"),
    "fewer answers": (replace(ANSWERS, lambda x: x[:2]), errors.TensorShapeError, r"float32 \[2, 3\]"),
    "more classes": (replace(ANSWERS, lambda x: x[:, [0, 1, 2, 2]]), errors.TensorShapeError, r"\[8, 3\]"),
    "network": (set_fields("architecture", name="resnet"), errors.ArchitectureError, "known: tutorial, fast"),
    "arguments": (
        set_fields("architecture", arguments={"depth": 3}),
        errors.ArchitectureError,
        "argument 'depth'",
    ),
    "version": (lambda _, fields: fields.update(format_version=2), errors.FormatVersionError, "reads version 1"),
    "accuracy in words": (
        set_fields("metrics", per_class={"red": "0.9", "green": 1.0, "blue": 1.0}),
        errors.RecordError,
        "accuracy of 'red' is '0.9'",
    ),
    "no labels": (relabel(), errors.RecordError, "at least one, each a text, is needed"),
}


def decisive(network: nn.Module) -> nn.Module:
    """Three times the initial weights: the answers then depend on the picture, as after training."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    return network


def refusal(path: Path, expected: type[CheckpointError], sentence: str = "") -> str:
    """Load, expect exactly that class with the file's name in front, and return the rest of the message."""
    with pytest.raises(expected, match=rf"(?s)^{re.escape(str(path))}: .*{sentence}") as caught:
        checkpoint.load(path)
    assert caught.type is expected
    return str(caught.value).removeprefix(f"{path}: ")
