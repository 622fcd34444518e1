"""One model in one file: written atomically, read with every doubt answered before it is used.

The file is plain safetensors. Tensors: `network.*`, `golden.images`, `golden.probabilities`, and where the abstain
rule has a distance `abstain.*` and `golden.distances`.
Metadata, all strings: `format` = "pt"; `glimpse`, the JSON text of `models.record`; `glimpse_sha256`,
the SHA-256 of that text. There is no code in it, and nothing is ever loaded in part.
"""

import functools
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models import golden
from models.distance import ClassDistance
from models.errors import (
    CheckpointError,
    NotFiniteError,
    TensorDigestError,
    TensorKeysError,
    TensorShapeError,
    UnreadableCheckpointError,
)
from models.files import write_atomically
from models.graph import Graph, answer
from models.networks import build
from models.networks.network import Network
from models.networks.quantization import is_quantized
from models.preprocessing import Answers, Images, Probabilities
from models.record import Record, from_text, to_text
from models.tensor_file import digest_of, encode, read_bytes, read_tensors, read_text, tensors_digest

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""The folder of the shipped checkpoints."""

_NETWORK = "network."
_GOLDEN_IMAGES = "golden.images"
_GOLDEN_PROBABILITIES = "golden.probabilities"
_GOLDEN_DISTANCES = "golden.distances"
_ABSTAIN = "abstain."
_LOOSEST = 0.25
"""Most by which a golden probability may differ, whatever the temperature. Source: choice."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that passed every check.

    Attributes:
        record: what the file says about the model.
        network: in evaluation mode, float32, channels-last, on the CPU until somebody moves it.
        golden_images: uint8 (count, height, width, 3).
        golden_probabilities: float32 (count, classes), the answers when it was saved.
        digest: "sha256:" and the SHA-256 of the whole file, as `sha256sum` prints it.
        distance: of features from the classes; None where the abstain rule does not ask for it.
        golden_distances: float32 (count, 1), those when it was saved; None where there is no distance.
    """

    record: Record
    network: Network
    golden_images: Images
    golden_probabilities: Probabilities
    digest: str
    distance: ClassDistance | None = None
    golden_distances: Answers | None = None

    @property
    def graph(self) -> Graph:
        """What an engine runs: the network, with the distance where there is one."""
        return Graph(self.network, self.distance, floor=self.record.calibration.floor).eval()

    @functools.cached_property
    def reference(self) -> Mapping[str, str]:
        """Name and digest, by which every answer says which file it is of; made once."""
        return {"name": self.record.name, "digest": self.digest}

    @property
    def answer_columns(self) -> int:
        """How many numbers an engine answers for a picture: its probabilities, and a distance if there is one."""
        return len(self.record.labels) + (self.distance is not None)

    def read(self, row: Answers) -> tuple[Probabilities, float | None]:
        """Tell apart what an engine answers for one picture: its probabilities, and the distance if there is one.

        Args:
            row: float32 (answer_columns,).
        """
        classes = len(self.record.labels)
        return row[:classes], None if self.distance is None else float(row[classes])

    def golden_tolerance(self, tolerance: float) -> float:
        """Tell by how much an arithmetic may change a golden probability of this network.

        Args:
            tolerance: the same at temperature 1 and without quantization. Below that temperature logits are
                multiplied, and their rounding with them, so as much more is allowed, within limits: a temperature
                near 0 would allow anything.
        """
        return min(self._unsharpened(tolerance) * max(1.0, 1 / self.record.calibration.temperature), _LOOSEST)

    def check_golden(self, answers: Answers, *, tolerance: float, first: int | None = None) -> None:
        """Compare an engine's answers for the golden pictures with those that are stored.

        Args:
            answers: float32 (count, answer_columns).
            tolerance: largest difference of one probability, as of `golden_tolerance`.
            first: how many of the pictures were asked; None for all.

        Raises:
            GoldenError: a probability or a distance is another one.
        """
        classes = self.golden_probabilities.shape[1]
        expected = self.golden_probabilities[:first]
        golden.check(answers[:, :classes], expected, tolerance=self.golden_tolerance(tolerance))
        if self.golden_distances is not None:
            distances = self.golden_distances[:first]
            golden.check_distances(answers[:, classes:], distances, tolerance=self._unsharpened(tolerance))

    def _unsharpened(self, tolerance: float) -> float:
        return max(tolerance, golden.QUANTIZED_TOLERANCE) if is_quantized(self.network) else tolerance


def save(path: Path, network: nn.Module, record: Record, *, distance: ClassDistance | None = None) -> str:
    """Write a checkpoint, or leave what was there: never half a file.

    Args:
        path: of the file; its folder is made if needed.
        network: built from `record.architecture`; saved as float32 from any device.
        record: everything else. The golden answers are computed here, on the CPU in float32.
        distance: that the record's distance threshold is for; None where it has none.

    Returns:
        The digest of the file, "sha256:…".

    Raises:
        OSError: the folder or the file cannot be written.
        CheckpointError: the network has weights that are not finite, or does not fit the record;
            a checkpoint that could not be loaded again is not written.
    """
    state = {name: _plain(tensor) for name, tensor in network.state_dict().items()}
    _check_state(state, record)
    network = _rebuild(record, state)
    images = golden.draw(record.input.height, record.input.width)
    tensors = {_NETWORK + name: tensor for name, tensor in state.items()}
    tensors[_GOLDEN_IMAGES] = torch.from_numpy(images)
    if distance is not None:
        rule = {_ABSTAIN + name: _plain(tensor) for name, tensor in distance.state_dict().items()}
        distance = _distance(rule, record, network)  # checked, and on the CPU, where the answers are computed
        tensors |= rule
    graph = Graph(network, distance, floor=record.calibration.floor)
    answers = torch.from_numpy(answer(graph, images))
    classes = len(record.labels)
    tensors[_GOLDEN_PROBABILITIES] = answers[:, :classes].contiguous()
    if distance is not None:
        tensors[_GOLDEN_DISTANCES] = answers[:, classes:].contiguous()
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
        if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe or a device may take for ever
            raise UnreadableCheckpointError("the checkpoint is no regular file. Check the path.")
        with path.open("rb") as file:
            return read_bytes(file)
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
    has_distance = record.calibration.distance_threshold is not None
    distances = _take(tensors, _GOLDEN_DISTANCES) if has_distance else None
    rule = {name: tensors.pop(name) for name in list(tensors) if has_distance and name.startswith(_ABSTAIN)}
    strangers = sorted(name for name in tensors if not name.startswith(_NETWORK))
    if strangers:
        raise TensorKeysError(f"the tensors {strangers} belong to nothing. Train the checkpoint again.")
    state = {name.removeprefix(_NETWORK): tensor for name, tensor in tensors.items()}
    _check_state(state, record)
    _check_golden_shapes(images, probabilities, distances, record)
    network = _rebuild(record, state)
    distance = _distance(rule, record, network) if has_distance else None
    _check_finite(state)
    checkpoint = Checkpoint(
        record,
        network,
        images.numpy(),
        probabilities.numpy(),
        digest_of(data),
        distance,
        None if distances is None else distances.numpy(),
    )
    conditions.check(record)
    answers = answer(checkpoint.graph, checkpoint.golden_images)
    checkpoint.check_golden(answers, tolerance=golden.TOLERANCE[torch.float32])
    return checkpoint


def _take(tensors: dict[str, Tensor], name: str) -> Tensor:
    try:
        return tensors.pop(name)
    except KeyError as error:
        raise TensorKeysError(f"the tensor {name} is missing. Train the checkpoint again.") from error


def _check_state(state: Mapping[str, Tensor], record: Record) -> None:
    """Compare with a network that has shapes but no memory."""
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


def _check_finite(state: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise NotFiniteError(
                f"the tensor {name} holds {count} values that are NaN or infinite. The training diverged; "
                "train again with another seed or a lower learning rate."
            )


def _distance(tensors: Mapping[str, Tensor], record: Record, network: Network) -> ClassDistance:
    named = {name.removeprefix(_ABSTAIN): tensor for name, tensor in tensors.items()}
    return ClassDistance.from_tensors(named, classes=len(record.labels), features=network.feature_count)


def _check_golden_shapes(images: Tensor, probabilities: Tensor, distances: Tensor | None, record: Record) -> None:
    count, spec = max(images.shape[0] if images.ndim else 0, 1), record.input
    for name, tensor, dtype, shape in (
        (_GOLDEN_IMAGES, images, torch.uint8, (count, spec.height, spec.width, 3)),
        (_GOLDEN_PROBABILITIES, probabilities, torch.float32, (count, len(record.labels))),
        (_GOLDEN_DISTANCES, distances, torch.float32, (count, 1)),
    ):
        if tensor is None:
            continue
        if tensor.dtype != dtype or tensor.shape != shape:
            raise TensorShapeError(
                f"the tensor {name} is {tensor.dtype} {list(tensor.shape)}; {dtype} {list(shape)} is needed. "
                "Train the checkpoint again."
            )


def _rebuild(record: Record, state: Mapping[str, Tensor]) -> Network:
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
