"""One model in one file: written atomically, read with every doubt answered before it is used.

The file is plain safetensors. Tensors: `network.*`, `golden.images`, `golden.probabilities`.
Metadata, all strings: `format` = "pt"; `glimpse`, the JSON text of `models.record`; `glimpse_sha256`,
the SHA-256 of that text. There is no code in it, and nothing is ever loaded in part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models import golden
from models.classifier import Classifier, run
from models.errors import (
    CheckpointError,
    NotFiniteError,
    TensorDigestError,
    TensorKeysError,
    TensorShapeError,
    UnreadableCheckpointError,
)
from models.networks import build
from models.preprocessing import Images, Probabilities
from models.record import Record, from_text, to_text
from models.tensor_file import encode, read_tensors, read_text, sha256, tensors_digest, write_atomically

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""The folder of the shipped checkpoints."""

_NETWORK = "network."
_GOLDEN_IMAGES = "golden.images"
_GOLDEN_PROBABILITIES = "golden.probabilities"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that passed every check.

    Attributes:
        record: what the file says about the model.
        network: in evaluation mode, float32, channels-last, on the CPU until somebody moves it.
        golden_images: uint8 (count, height, width, 3).
        golden_probabilities: float32 (count, classes), the answers when it was saved.
        digest: "sha256:" and the SHA-256 of the whole file, as `sha256sum` prints it.
    """

    record: Record
    network: nn.Module
    golden_images: Images
    golden_probabilities: Probabilities
    digest: str

    @property
    def classifier(self) -> Classifier:
        """The model, ready to classify."""
        return Classifier(
            name=self.record.name,
            network=self.network,
            labels=self.record.labels,
            input=self.record.input,
            calibration=self.record.calibration,
        )


def save(path: Path, network: nn.Module, record: Record) -> str:
    """Write a checkpoint, or leave what was there: never half a file.

    Args:
        path: of the file; its folder is made if needed.
        network: built from `record.architecture`; saved as float32 from any device.
        record: everything else. The golden answers are computed here, on the CPU in float32.

    Returns:
        The digest of the file, "sha256:…".

    Raises:
        OSError: the folder or the file cannot be written.
        CheckpointError: the network has weights that are not finite, or does not fit the record;
            a checkpoint that could not be loaded again is not written.
    """
    state = {name: _plain(tensor) for name, tensor in network.state_dict().items()}
    _check_state(state, record)
    images = golden.draw(record.input.height, record.input.width)
    tensors = {_NETWORK + name: tensor for name, tensor in state.items()}
    tensors[_GOLDEN_IMAGES] = torch.from_numpy(images)
    tensors[_GOLDEN_PROBABILITIES] = torch.from_numpy(run(_rebuild(record, state), images))
    text = to_text(record, tensors_sha256=tensors_digest(tensors))
    data = encode(tensors, text)
    checkpoint = _parse(data)
    write_atomically(path, data)
    return checkpoint.digest


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, checking in this order and stopping at the first doubt.

    Header, digest of the text, format version, digest of the tensors, architecture, keys and shapes,
    finite numbers, build, golden conditions, golden answers.

    Raises:
        CheckpointError: one subclass for each of those, its message naming the file.
    """
    try:
        return _parse(_read_file(path))
    except CheckpointError as error:
        raise type(error)(f"{path}: {error}") from error


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableCheckpointError(
            f"the checkpoint cannot be read ({error.strerror}). Check the path, or train one: "
            "python -m training train --recipe fast --data cifar10 --out FILE"
        ) from error


def _parse(data: bytes) -> Checkpoint:
    record, expected_digest, conditions = from_text(read_text(data))
    tensors = read_tensors(data)
    if tensors_digest(tensors) != expected_digest:
        raise TensorDigestError(
            "the tensors do not match their digest: at least one bit changed after the file was written. "
            "Copy the file again from where it was made."
        )
    images, probabilities = (_take(tensors, name) for name in (_GOLDEN_IMAGES, _GOLDEN_PROBABILITIES))
    strangers = sorted(name for name in tensors if not name.startswith(_NETWORK))
    if strangers:
        raise TensorKeysError(f"the tensors {strangers} belong to nothing. Train the checkpoint again.")
    state = {name.removeprefix(_NETWORK): tensor for name, tensor in tensors.items()}
    _check_state(state, record)
    _check_golden(images, probabilities, record)
    network = _rebuild(record, state)
    checkpoint = Checkpoint(record, network, images.numpy(), probabilities.numpy(), f"sha256:{sha256(data)}")
    conditions.check(record)
    answers = run(network, checkpoint.golden_images)
    golden.check(answers, checkpoint.golden_probabilities, tolerance=golden.TOLERANCE[torch.float32])
    return checkpoint


def _take(tensors: dict[str, Tensor], name: str) -> Tensor:
    try:
        return tensors.pop(name)
    except KeyError as error:
        raise TensorKeysError(f"the tensor {name} is missing. Train the checkpoint again.") from error


def _check_state(state: Mapping[str, Tensor], record: Record) -> None:
    """Compare with a network that has shapes but no memory, then look for NaN and infinity."""
    with torch.device("meta"):
        expected = build(record.architecture, classes=len(record.labels), spec=record.input).state_dict()
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or extra:
        raise TensorKeysError(
            f"the weights do not belong to the network {record.architecture.name!r}: "
            f"missing {missing or 'nothing'}, too many {extra or 'nothing'}. Train the checkpoint again."
        )
    for name, tensor in state.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
            raise TensorShapeError(
                f"the tensor {name} is {tensor.dtype} {list(tensor.shape)}; the network "
                f"{record.architecture.name!r} with {len(record.labels)} labels needs {wanted.dtype} "
                f"{list(wanted.shape)}. Labels and weights come from different runs; restore the original file."
            )
        if not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise NotFiniteError(
                f"the tensor {name} holds {count} values that are NaN or infinite. The training diverged; "
                "train again with another seed or a lower learning rate."
            )


def _check_golden(images: Tensor, probabilities: Tensor, record: Record) -> None:
    count, spec = max(images.shape[0] if images.ndim else 0, 1), record.input
    for name, tensor, dtype, shape in (
        (_GOLDEN_IMAGES, images, torch.uint8, (count, spec.height, spec.width, 3)),
        (_GOLDEN_PROBABILITIES, probabilities, torch.float32, (count, len(record.labels))),
    ):
        if tensor.dtype != dtype or tensor.shape != shape:
            raise TensorShapeError(
                f"the tensor {name} is {tensor.dtype} {list(tensor.shape)}; {dtype} {list(shape)} is needed. "
                "Train the checkpoint again."
            )


def _rebuild(record: Record, state: Mapping[str, Tensor]) -> nn.Module:
    """Build the network on the CPU as the service and the evaluation use it."""
    network = build(
        record.architecture,
        classes=len(record.labels),
        spec=record.input,
        temperature=record.calibration.temperature,
    )
    network.load_state_dict(dict(state), strict=True)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _plain(tensor: Tensor) -> Tensor:
    """The same numbers on the CPU, contiguous, floats as float32."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(device="cpu", dtype=dtype).contiguous()
