"""A teacher's answers: the right ones, each asked for once."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import checkpoint, golden
from models.calibration import Calibration
from models.preprocessing import InputSpec
from models.record import Record
from training.augment import Order, crop, draw_order
from training.dataset import Split
from training.devices import Computing
from training.errors import TrainingError
from training.held_out import hold_out
from training.losses import distance_to_teacher
from training.teacher import Teacher, doubt, load_teacher, open_answers

COMPUTING = Computing(torch.device("cpu"), torch.float32)
SHIFT, CLASSES = 1, 4


class _Teacher(nn.Module):
    """Answers with weighted sums of the pixels, and counts the pictures that it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.times = 0
        self.weights = torch.randn(8 * 8 * 3, CLASSES, generator=torch.Generator().manual_seed(0)) / 255

    def forward(self, images: Tensor) -> Tensor:
        self.times += 1
        self.asked += int((images.flatten(1).sum(1) > 0).sum())  # the rest only fills the batch up
        return images.flatten(1).float() @ self.weights


def _images(n: int = 20) -> Tensor:
    return torch.randint(1, 256, (n, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def _open(folder: Path, n: int = 20, **key: object) -> np.ndarray:
    return open_answers(folder, pictures=n, classes=CLASSES, shift=SHIFT, key=key)


def _order(epoch: int, n: int = 20) -> Order:
    return draw_order(n, shift=SHIFT, seed=0, epoch=epoch)


def test_answers_are_those_for_the_very_view(tmp_path: Path) -> None:
    """The logits are the teacher's for the picture as it is cropped, rounded to half precision."""
    images, network = _images(), _Teacher()
    teacher = Teacher(network, images, shift=SHIFT, answers=_open(tmp_path), computing=COMPUTING)
    for epoch in range(3):
        order = _order(epoch)
        index = order.permutation[:12]
        expected = network(crop(images, order, index)).half().float()
        for _ in range(2):  # asked, then remembered
            assert torch.equal(teacher.answer(order, index), expected)


def test_each_view_is_asked_for_once(tmp_path: Path) -> None:
    """A second run with the same teacher finds all answers in the file."""
    network = _Teacher()
    for _ in range(2):
        teacher = Teacher(network, _images(), shift=SHIFT, answers=_open(tmp_path), computing=COMPUTING)
        for index in (torch.arange(12), torch.arange(6, 20)):
            teacher.answer(_order(0), index)
    assert (network.asked, network.times) == (20, 2)


def test_an_answer_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    """Alone or among others, first or last: the same bits, so a resumed run learns the same."""
    from models.networks import Architecture, build

    torch.manual_seed(0)
    network = build(Architecture("fast"), classes=CLASSES, spec=InputSpec(height=12, width=12)).eval()
    images = torch.randint(0, 256, (40, 12, 12, 3), dtype=torch.uint8)
    order = _order(0, 40)

    def answers(where: str, *batches: Tensor) -> Tensor:
        file = _open(tmp_path / where, 40)
        teacher = Teacher(network, images, shift=SHIFT, answers=file, computing=COMPUTING)
        for batch in batches:
            teacher.answer(order, batch)
        return teacher.answer(order, torch.arange(40))

    whole = answers("whole", torch.arange(40))
    assert torch.equal(answers("parts", torch.tensor([39]), torch.arange(10, 30)), whole)
    assert torch.equal(answers("backwards", torch.arange(40).flip(0)), whole)


def test_other_teachers_and_pictures_have_files_of_their_own(tmp_path: Path) -> None:
    """Teacher, pictures and number of views make the file's name."""
    for teacher, pictures in (("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")):
        _open(tmp_path, teacher=teacher, pictures=pictures)
    _open(tmp_path, 21, teacher="a", pictures="x")
    assert len(list(tmp_path.iterdir())) == 4
    assert np.isnan(_open(tmp_path, teacher="a", pictures="x")).all()


@pytest.mark.parametrize("kept", [0, 100, 300])
def test_a_file_that_was_cut_short_is_made_anew(tmp_path: Path, kept: int) -> None:
    """What is missing would be read as zeros, and zeros as answers."""
    _open(tmp_path)[:] = 1
    (path,) = tmp_path.iterdir()
    assert (_open(tmp_path) == 1).all()
    path.write_bytes(path.read_bytes()[:kept])
    assert np.isnan(_open(tmp_path)).all()


def test_a_student_that_agrees_has_no_loss() -> None:
    """The divergence is 0 for equal logits, grows with the distance, and is a sum over the classes."""
    logits = torch.randn(3, CLASSES, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(distance_to_teacher(logits, logits, temperature=1.0), torch.zeros(3))
    p, q = (torch.softmax(x / 2, dim=1) for x in (logits, logits.flip(1)))
    by_hand = 4 * (p * (p / q).log()).sum(dim=1)
    torch.testing.assert_close(distance_to_teacher(logits.flip(1), logits, temperature=2.0), by_hand)


def test_a_teacher_of_other_classes_is_refused(checkpoint_path: Path) -> None:
    """So is one for pictures of another size; both sentences say what there is and what is needed."""
    labels = load_labels(checkpoint_path)
    with pytest.raises(TrainingError, match="the data has cat, dog"):
        load_teacher(checkpoint_path, labels=("cat", "dog"), spec=InputSpec())
    with pytest.raises(TrainingError, match="the pictures have 48 × 48"):
        load_teacher(checkpoint_path, labels=labels, spec=InputSpec(height=48, width=48))


def _record_of(record: Record, *, seed: int = 0, data: str = "d", held_out: object = 100) -> Record:
    training = dataclasses.replace(
        record.training, seed=seed, data_fingerprint=data, configuration={"held_out": held_out}
    )
    return dataclasses.replace(record, training=training)


STUDENT = {"seed": 0, "data_fingerprint": "d", "held_out": 100}


@pytest.mark.parametrize(
    ("teacher", "reason"),
    [
        ({"seed": 1}, "with the seed 1 instead of 0, so it may know"),
        ({"data": "e"}, "with other training pictures, so it may know"),
        ({"held_out": 99}, "with 99 pictures held out instead of 100, so it may know"),
        ({"held_out": None}, "with 0 pictures held out instead of 100, so it may know"),
        ({"seed": 1, "data": "e"}, "with other training pictures, the seed 1 instead of 0, so it may know"),
    ],
)
def test_a_teacher_that_may_have_learnt_what_is_held_out_is_doubted(
    teacher: dict[str, Any], reason: str, record: Record
) -> None:
    """Each reason is told; a record that does not say what was held out counts as one that held out nothing."""
    doubts = doubt(_record_of(record, **teacher), STUDENT)
    assert doubts is not None
    assert doubts.startswith("warning: ")
    assert reason in doubts


def test_a_teacher_that_held_the_same_out_is_not_doubted(record: Record) -> None:
    """Nor one that held out more, nor any where the student holds out nothing."""
    assert doubt(_record_of(record), STUDENT) is None
    assert doubt(_record_of(record, held_out=150), STUDENT) is None
    assert doubt(_record_of(record, seed=1, data="e", held_out=0), STUDENT | {"held_out": 0}) is None


def test_a_teacher_that_took_copies_apart_is_doubted(record: Record) -> None:
    """Where copies stay together other pictures go, and of a larger number not always the same ones and more."""
    student = STUDENT | {"copies_together": True}
    assert "copies of one picture held out otherwise" in (doubt(_record_of(record), student) or "")
    together = {**_record_of(record).training.configuration, "copies_together": True}
    training = dataclasses.replace(_record_of(record).training, configuration=together)
    assert doubt(dataclasses.replace(record, training=training), student) is None
    more = dataclasses.replace(training, configuration=together | {"held_out": 150})
    doubts = doubt(dataclasses.replace(record, training=more), student)
    assert "150 pictures held out instead of 100" in (doubts or "")


def test_a_larger_part_holds_out_what_a_smaller_one_does() -> None:
    """So a teacher that held out more has learnt nothing that its student holds out."""
    numbers = torch.arange(90, dtype=torch.uint8)
    split = Split(numbers.reshape(-1, 1, 1, 1), torch.arange(90) % 7)
    small, large = (set(hold_out(split, count=count, seed=3)[1].images.flatten().tolist()) for count in (11, 30))
    assert small < large


def load_labels(path: Path) -> tuple[str, ...]:
    """The labels of a checkpoint."""
    from models.checkpoint import load

    return load(path).record.labels


def test_a_calibrated_teacher_teaches_at_the_recipes_temperature(
    tmp_path: Path, network: nn.Module, record: Record
) -> None:
    """Its own temperature, fitted for honest scores, would make them sharper than the recipe wants."""
    path = tmp_path / "calibrated.safetensors"
    checkpoint.save(path, network, dataclasses.replace(record, calibration=Calibration(temperature=0.5)))
    teacher = load_teacher(path, labels=record.labels, spec=InputSpec()).network
    images = torch.from_numpy(golden.draw(32, 32))
    torch.testing.assert_close(teacher(images), network.eval()(images), atol=1e-6, rtol=1e-5)
