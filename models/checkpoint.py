"""One model in one file: written atomically, read with every doubt answered before it is used.

The file is plain safetensors. Tensors: `network.*`, `golden.images`, `golden.probabilities`.
Metadata, all strings: `format` = "pt"; `glimpse`, the JSON text of `models.record`; `glimpse_sha256`,
the SHA-256 of that text. There is no code in it, and nothing is ever loaded in part.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from models import golden
from models.classifier import Classifier
from models.errors import (
    CheckpointError,
    HeaderError,
    NotFiniteError,
    TensorDigestError,
    TensorKeysError,
    TensorShapeError,
    TextDigestError,
    UnreadableCheckpointError,
)
from models.networks import build
from models.record import Record, from_text, to_text

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""The folder of the shipped checkpoints."""

_NETWORK = "network."
_GOLDEN_IMAGES = "golden.images"
_GOLDEN_PROBABILITIES = "golden.probabilities"
_METADATA_KEYS = {"format", "glimpse", "glimpse_sha256"}
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format itself


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that passed every check.

    Attributes:
        record: what the file says about the model.
        network: in evaluation mode, on the CPU, float32, channels-last.
        golden_images: uint8 (count, height, width, 3).
        golden_probabilities: float32 (count, classes), the answers when it was saved.
        digest: "sha256:" and the SHA-256 of the whole file, as `sha256sum` prints it.
    """

    record: Record
    network: nn.Module
    golden_images: golden.Images
    golden_probabilities: golden.Probabilities
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
    reference = _rebuild(record, state)
    images = golden.draw(record.input.height, record.input.width)
    tensors = {_NETWORK + name: tensor for name, tensor in state.items()}
    tensors[_GOLDEN_IMAGES] = torch.from_numpy(images)
    tensors[_GOLDEN_PROBABILITIES] = torch.from_numpy(golden.answer(reference, images))
    text = to_text(record, tensors_sha256=tensors_digest(tensors), golden_labels=record.labels)
    metadata = {"format": "pt", "glimpse": text, "glimpse_sha256": _sha256(text.encode())}
    data = safetensors.torch.save(tensors, metadata)
    write_atomically(path, data)
    return f"sha256:{_sha256(data)}"


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, checking in this order and stopping at the first doubt.

    Header, digest of the text, format version, digest of the tensors, architecture, keys and shapes,
    finite numbers, build, golden pictures.

    Raises:
        CheckpointError: one subclass for each of those, its message naming the file.
    """
    try:
        return _load(path)
    except CheckpointError as error:
        raise type(error)(f"{path}: {error}") from error


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the tensors in order of their names: name, dtype, shape and bytes of each."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside the target, flush to the disk, rename; a reader sees the old file or the new one.

    Raises:
        OSError: the folder or the file cannot be written; no temporary file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp gives 0600, and the service often runs as another user
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path) -> Checkpoint:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableCheckpointError(
            f"the checkpoint cannot be read ({error.strerror}). Check the path, or train one: "
            "python -m training train --recipe fast --data cifar10 --out FILE"
        ) from error
    metadata = _read_metadata(data)
    text = metadata["glimpse"]
    if _sha256(text.encode()) != metadata["glimpse_sha256"]:
        raise TextDigestError(
            "the text about the model does not match its digest: labels, input or another field was "
            "changed after the file was written. Restore the original file."
        )
    record, expected_digest, golden_labels = from_text(text)
    tensors = _read_tensors(data)
    if tensors_digest(tensors) != expected_digest:
        raise TensorDigestError(
            "the tensors do not match their digest: at least one bit changed after the file was written. "
            "Copy the file again from where it was made."
        )
    images, probabilities = (_take(tensors, name) for name in (_GOLDEN_IMAGES, _GOLDEN_PROBABILITIES))
    state = {name.removeprefix(_NETWORK): tensor for name, tensor in tensors.items()}
    _check_state(state, record)
    network = _rebuild(record, state)
    checkpoint = Checkpoint(record, network, images.numpy(), probabilities.numpy(), f"sha256:{_sha256(data)}")
    golden.check(
        golden.answer(network, checkpoint.golden_images),
        checkpoint.golden_probabilities,
        tolerance=golden.TOLERANCE[torch.float32],
        labels=record.labels,
        expected_labels=golden_labels,
    )
    return checkpoint


def _read_metadata(data: bytes) -> dict[str, str]:
    """Read the header by hand: 8 bytes little-endian length, then that many bytes of JSON."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise HeaderError(
            f"the file of {len(data):,} bytes is not a whole safetensors file: it announces a header of "
            f"{length:,} bytes. It was cut off or is something else; copy it again."
        )
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = header["__metadata__"]
    except (ValueError, KeyError, TypeError) as error:
        raise HeaderError(
            "the header is not that of a Glimpse checkpoint: no readable metadata. The file is damaged "
            "or was written by another program; use a file that `python -m training train` made."
        ) from error
    if not isinstance(metadata, dict) or set(metadata) != _METADATA_KEYS or metadata["format"] != "pt":
        raise HeaderError(
            f"the header's metadata must be {sorted(_METADATA_KEYS)} with format 'pt', and is "
            f"{sorted(metadata) if isinstance(metadata, dict) else metadata!r}. The file is damaged or was "
            "written by another program."
        )
    if not all(isinstance(value, str) for value in metadata.values()):
        raise HeaderError("the header's metadata holds something else than text. The file is damaged.")
    return metadata


def _read_tensors(data: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise HeaderError(
            f"the tensors cannot be read: {error}. The file of {len(data):,} bytes is cut off or its "
            "header is damaged; copy it again."
        ) from error


def _take(tensors: dict[str, Tensor], name: str) -> Tensor:
    try:
        return tensors.pop(name)
    except KeyError as error:
        raise TensorKeysError(f"the tensor {name} is missing. Train the checkpoint again.") from error


def _check_state(state: Mapping[str, Tensor], record: Record) -> None:
    """Compare with a network that has shapes but no memory, then look for NaN and infinity."""
    with torch.device("meta"):
        expected = build(
            record.architecture, classes=len(record.labels), spec=record.input
        ).state_dict()
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
                f"{list(wanted.shape)}. Labels and weights come from different runs."
            )
        if not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise NotFiniteError(
                f"the tensor {name} holds {count} values that are NaN or infinite. The training diverged; "
                "train again with another seed or a lower learning rate."
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
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _plain(tensor: Tensor) -> Tensor:
    """The same numbers on the CPU, contiguous, floats as float32."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(device="cpu", dtype=dtype).contiguous()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
