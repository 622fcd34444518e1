"""A checkpoint as ONNX: pixels in, probabilities out, checked in onnxruntime before it is written.

Preprocessing, temperature, floor and softmax are inside, so nothing is left to be done differently elsewhere.
"""

import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models import golden
from models.checkpoint import Checkpoint
from models.errors import GoldenError
from models.files import write_atomically
from models.graph import Graph
from training.errors import ExportError

if TYPE_CHECKING:
    import onnx

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
"""The newest that PyTorch's exporter writes without a conversion; onnxruntime reads it since 1.14, OpenVINO since
2023.1. Source: torch.onnx, onnxruntime's and OpenVINO's tables of versions."""
_CHECKED_BATCHES = (1, 3, 8)
"""Alone, odd, and all golden pictures: a batch size that froze in the graph shows."""


def export_onnx(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as one .onnx file, or leave what was there.

    Input `images`: uint8 (batch, height, width, 3). Output `probabilities`: float32 (batch, classes), with the
    checkpoint's temperature and floor applied. The file's metadata has `name`, `labels`, `input`, `digest` of the
    checkpoint and `abstain_threshold`; all but name and digest are JSON.

    Args:
        checkpoint: loaded, so already checked.
        path: of the file, ending in .onnx.

    Raises:
        ExportError: a package is missing, the graph is too large for one file, or onnxruntime answers the golden
            pictures in another way than PyTorch.
        OSError: the file cannot be written.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ExportError(f"Exporting needs what is not installed: pip install {' '.join(missing)}")
    model = _convert(checkpoint)
    _forget_the_source(model)
    for key, value in _metadata(checkpoint).items():
        model.metadata_props.add(key=key, value=value)
    try:
        data = model.SerializeToString()
    except ValueError as error:  # protobuf's limit is 2 GiB
        raise ExportError(f"The network does not fit into one .onnx file ({error}). Use a smaller one.") from error
    _check(data, checkpoint)
    write_atomically(path, data)


class _Probabilities(nn.Module):
    """What an engine runs, without the distance, and with the softmax that its callers otherwise apply."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        floor = checkpoint.record.calibration.floor
        self.network = Graph(checkpoint.network, None, floor=floor)  # `graph` is torch.export's own name

    def forward(self, images: Tensor) -> Tensor:
        (logits,) = self.network(images)
        return torch.softmax(logits, dim=1)


def _convert(checkpoint: Checkpoint) -> "onnx.ModelProto":
    """Let PyTorch write the graph; the batch is the one size that stays open."""
    spec = checkpoint.record.input
    example = torch.zeros(2, spec.height, spec.width, 3, dtype=torch.uint8)  # 1 would be taken for a constant
    program = torch.onnx.export(
        _Probabilities(checkpoint).eval(),
        (example,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["images"],
        output_names=["probabilities"],
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def _forget_the_source(model: "onnx.ModelProto") -> None:
    """Take the exporter's notes out: stack traces with the paths of the machine that it ran on."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    record = checkpoint.record
    return {
        "name": record.name,
        "digest": checkpoint.digest,
        "labels": json.dumps(record.labels),
        "input": json.dumps(dataclasses.asdict(record.input)),
        "abstain_threshold": json.dumps(record.calibration.abstain_threshold),
    }


def _check(data: bytes, checkpoint: Checkpoint) -> None:
    """Ask the golden pictures in onnxruntime, in batches of several sizes."""
    import onnxruntime  # noqa: PLC0415 - an extra, and 0.3 s of import

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    images, expected = checkpoint.golden_images, checkpoint.golden_probabilities
    for count in _CHECKED_BATCHES:
        (answers,) = session.run(["probabilities"], {"images": images[:count]})
        try:
            golden.check(
                answers,
                expected[:count],
                tolerance=checkpoint.golden_tolerance(golden.TOLERANCE[torch.float32]),
            )
        except GoldenError as error:
            raise ExportError(
                f"onnxruntime {onnxruntime.__version__} answers a batch of {count} otherwise than PyTorch "
                f"{torch.__version__}; nothing was written. {error}"
            ) from error
