"""A teacher's answers to every view that a recipe can show, computed when first asked for and kept.

Flips and shifts are few: 2 × (2 · shift + 1)² views of a picture. Ten classes in half precision are 20 bytes
a view, so all 162 views of 50,000 pictures take 162 MB, and a student asks the teacher no more often about a
picture than it passes it. Source of the idea: "cached logits over enumerable views"; none of the published
trainers does it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.checkpoint import Checkpoint, load
from models.preprocessing import InputSpec
from models.record import Record
from models.tensor_file import open_atomically
from training.augment import Order, crop
from training.calibration import set_temperature
from training.chunks import chunk_size
from training.devices import Computing
from training.errors import TrainingError
from training.recalibration import held_out_count

_MOST_AT_ONCE = 256
"""Views of 32 × 32 pixels that the teacher answers at once. Of one size always as many, filled up with empty
pictures: an answer then does not depend, in its last bit, on how many others were missing, and a resumed run gets
the same ones."""


class Teacher:
    """Answers views of a split's pictures.

    Args:
        network: in evaluation mode, on the pictures' device.
        images: uint8 (n, height, width, 3).
        shift: largest shift of the views, in pixels.
        answers: float16 (n, 2, 2 · shift + 1, 2 · shift + 1, classes), NaN where not asked yet.
        computing: in which dtype.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        *,
        shift: int,
        answers: npt.NDArray[np.float16],
        computing: Computing,
    ) -> None:
        self._network = network
        self._images = images
        self._at_once = chunk_size(images, most=_MOST_AT_ONCE)
        self._shift = shift
        self._answers = answers
        self._computing = computing

    def answer(self, order: Order, index: Tensor) -> Tensor:
        """Give the logits for pictures as an epoch shows them, before anything is covered.

        Args:
            order: of the epoch.
            index: int64 (batch,), which pictures.

        Returns:
            float32 (batch, classes), rounded to half precision, on the pictures' device.
        """
        places = self._places(order, index)
        missing = index[torch.from_numpy(np.isnan(self._answers[places]).any(axis=1)).to(index.device)]
        for start in range(0, len(missing), self._at_once):  # torch.split would make one empty chunk of nothing
            chunk = missing[start : start + self._at_once]
            self._answers[self._places(order, chunk)] = self._ask(crop(self._images, order, chunk))
        return torch.from_numpy(self._answers[places]).to(self._images.device).float()

    def _places(self, order: Order, index: Tensor) -> tuple[npt.NDArray[np.int64], ...]:
        down, right = (shifts[index] + self._shift for shifts in (order.down, order.right))
        return tuple(axis.cpu().numpy() for axis in (index, order.mirrored[index].long(), down, right))

    @torch.inference_mode()
    def _ask(self, images: Tensor) -> npt.NDArray[np.float16]:
        filled = F.pad(images, (0, 0, 0, 0, 0, 0, 0, self._at_once - len(images)))
        with self._computing.autocast():
            logits = self._network(filled)[: len(images)]
        answers: npt.NDArray[np.float16] = logits.half().cpu().numpy()
        return answers


def load_teacher(path: Path, *, labels: tuple[str, ...], spec: InputSpec) -> Checkpoint:
    """Read a teacher's checkpoint.

    Raises:
        TrainingError: it knows other classes, or pictures of another size.
    """
    checkpoint = load(path)
    if checkpoint.record.labels != labels:
        raise TrainingError(
            f"--teacher {path} knows {', '.join(checkpoint.record.labels)}; the data has {', '.join(labels)}. "
            "A teacher must know the same classes in the same order; train one on this data."
        )
    eats = checkpoint.record.input
    if (eats.height, eats.width) != (spec.height, spec.width):
        raise TrainingError(
            f"--teacher {path} takes {eats.width} × {eats.height} pixels; the pictures have {spec.width} × "
            f"{spec.height}. Train one at this size."
        )
    set_temperature(checkpoint.network, 1.0)  # students learn at the recipe's temperature, not at a calibrated one
    return checkpoint


def doubt(record: Record, configuration: Mapping[str, Any]) -> str | None:
    """Say why a teacher may have learnt what its student is judged on; None where it has not.

    A seed holds out the same pictures of the same data; of a larger number these and more, unless copies of one
    picture are kept together, which may leave some out that went for a smaller one.

    Args:
        record: of the teacher.
        configuration: of the student (`training.configuration.configure`).
    """
    wanted, known = configuration["held_out"], held_out_count(record)
    if not wanted:
        return None
    reasons = []
    if record.training.data_fingerprint != configuration["data_fingerprint"]:
        reasons.append("other training pictures")
    if record.training.seed != configuration["seed"]:
        reasons.append(f"the seed {record.training.seed} instead of {configuration['seed']}")
    together = configuration.get("copies_together") is True
    if (record.training.configuration.get("copies_together") is True) != together:
        reasons.append("copies of one picture held out otherwise")
    if known < wanted or (together and known != wanted):
        reasons.append(f"{known:,} pictures held out instead of {wanted:,}")
    if not reasons:
        return None
    return (
        f"warning: the teacher was trained with {', '.join(reasons)}, so it may know what is held out here, and "
        "temperature and abstain rule come out too sure. Take one with the same data, --seed and --held-out."
    )


def open_answers(
    folder: Path, *, pictures: int, classes: int, shift: int, key: dict[str, Any]
) -> npt.NDArray[np.float16]:
    """Map the file of a teacher's answers into memory; a new one, and one that was damaged, holds NaN alone.

    Args:
        folder: for such files; runs with the same teacher, pictures and views share one.
        pictures: that are learnt from.
        classes: that the teacher knows.
        shift: largest shift of the views, in pixels.
        key: what decides the answers; its digest is the file's name.
    """
    side = 2 * shift + 1
    shape = (pictures, 2, side, side, classes)
    digest = hashlib.sha256(json.dumps({**key, "shape": shape}, sort_keys=True).encode()).hexdigest()
    path = folder / f"teacher-{digest[:16]}.npy"
    if not _is_whole(path, shape):
        with open_atomically(path) as file:
            np.save(file, np.full(shape, np.nan, np.float16))
    answers: npt.NDArray[np.float16] = np.load(path, mmap_mode="r+")
    return answers


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a file of answers is there, undamaged: one that was cut short would be filled up with zeros."""
    try:
        stored = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(stored.shape == shape and stored.dtype == np.float16)
