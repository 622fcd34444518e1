"""What an earlier training left: what fits, what is refused, and what is doubted."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models import checkpoint, golden
from models.calibration import Calibration
from models.checkpoint import load
from models.networks import Architecture, build
from models.preprocessing import InputSpec
from models.record import Record
from training.dataset import Split
from training.earlier import DOUBTED, doubt, load_start, load_teacher
from training.errors import TrainingError
from training.held_out import hold_out


@pytest.mark.parametrize("option", ["--teacher", "--start"])
def test_one_of_other_classes_or_pictures_is_refused(option: str, checkpoint_path: Path) -> None:
    """Both sentences say what there is and what is needed."""
    record = load(checkpoint_path).record

    def read(labels: tuple[str, ...], spec: InputSpec) -> None:
        if option == "--teacher":
            load_teacher(checkpoint_path, labels=labels, spec=spec)
        else:
            load_start(checkpoint_path, architecture=record.architecture, labels=labels, spec=spec)

    with pytest.raises(TrainingError, match=f"{option} .* knows .*; the data has cat, dog"):
        read(("cat", "dog"), InputSpec())
    with pytest.raises(TrainingError, match=f"{option} .*; the pictures have 48 × 48"):
        read(record.labels, InputSpec(height=48, width=48))
    read(record.labels, record.input)


SMALL = Architecture("fast", {"widths": (4, 4, 8)})


@pytest.fixture
def small(tmp_path: Path, record: Record) -> Path:
    """A checkpoint of a small network."""
    path = tmp_path / "small.safetensors"
    network = build(SMALL, classes=len(record.labels), spec=record.input)
    checkpoint.save(path, network, dataclasses.replace(record, architecture=SMALL))
    return path


def test_a_start_is_the_network_that_was_saved(small: Path, record: Record) -> None:
    """Widths in a tuple, as a table has them, are those that a file has in a list."""
    start = load_start(small, architecture=SMALL, labels=record.labels, spec=record.input)
    assert start.record.architecture.arguments == {"widths": [4, 4, 8]}
    assert start.digest == load(small).digest


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        (Architecture("residual", {"widths": (4, 4, 8)}), r"the recipe trains residual \(widths \[4, 4, 8\]\)"),
        (Architecture("fast", {"widths": (4, 4, 16)}), r"the recipe trains fast \(widths \[4, 4, 16\]\)"),
        (Architecture("fast"), r"the recipe trains fast\. "),
    ],
)
def test_a_start_of_another_network_is_refused(
    architecture: Architecture, told: str, small: Path, record: Record
) -> None:
    """Another name, other widths, the usual widths: its weights would not fit."""
    with pytest.raises(TrainingError, match=r"is the network fast \(widths \[4, 4, 8\]\); " + told):
        load_start(small, architecture=architecture, labels=record.labels, spec=record.input)


def test_a_quantized_start_is_refused_in_few_words(tmp_path: Path, record: Record) -> None:
    """It is the shipped file that is tried first."""
    rounded = Architecture("fast", {"widths": [4, 4, 8], "input_ranges": [[-1.0, 1.0]] * 6})
    path = tmp_path / "bytes.safetensors"
    network = build(rounded, classes=len(record.labels), spec=record.input)
    checkpoint.save(path, network, dataclasses.replace(record, architecture=rounded))
    with pytest.raises(
        TrainingError, match=r"bytes\.safetensors is quantized; name the file that it was made from"
    ):
        load_start(path, architecture=SMALL, labels=record.labels, spec=record.input)


def test_a_start_with_another_normalisation_is_refused(small: Path, record: Record) -> None:
    """Its first layer was fitted to other numbers."""
    other = dataclasses.replace(record.input, mean=(0.1, 0.2, 0.3))
    with pytest.raises(TrainingError, match=r"normalises with mean .* the recipe with \(0\.1, 0\.2, 0\.3\)"):
        load_start(small, architecture=SMALL, labels=record.labels, spec=other)


def test_a_file_that_is_not_there_is_named_with_its_option(tmp_path: Path, record: Record) -> None:
    """A resumed run remembers it, and nobody typed it today."""
    missing = tmp_path / "gone.safetensors"
    with pytest.raises(TrainingError, match=r"--teacher .*gone\.safetensors: the checkpoint cannot be read"):
        load_teacher(missing, labels=record.labels, spec=record.input)
    with pytest.raises(TrainingError, match=r"--start .*gone\.safetensors: the checkpoint cannot be read"):
        load_start(missing, architecture=SMALL, labels=record.labels, spec=record.input)


def test_a_calibrated_teacher_teaches_at_the_recipes_temperature(
    tmp_path: Path, network: nn.Module, record: Record
) -> None:
    """Its own temperature, fitted for honest scores, would make them sharper than the recipe wants."""
    path = tmp_path / "calibrated.safetensors"
    checkpoint.save(path, network, dataclasses.replace(record, calibration=Calibration(temperature=0.5)))
    teacher = load_teacher(path, labels=record.labels, spec=InputSpec()).network
    images = torch.from_numpy(golden.draw(32, 32))
    torch.testing.assert_close(teacher(images), network.eval()(images), atol=1e-6, rtol=1e-5)


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
    doubts = doubt("the teacher", _record_of(record, **teacher), STUDENT)
    assert doubts is not None
    assert doubts.startswith("warning: ")
    assert reason in doubts


def test_a_teacher_that_held_the_same_out_is_not_doubted(record: Record) -> None:
    """Nor one that held out more, nor any where the student holds out nothing."""
    assert doubt("the teacher", _record_of(record), STUDENT) is None
    assert doubt("the teacher", _record_of(record, held_out=150), STUDENT) is None
    assert (
        doubt("the teacher", _record_of(record, seed=1, data="e", held_out=0), STUDENT | {"held_out": 0}) is None
    )


def test_a_doubt_is_handed_on(record: Record) -> None:
    """Weights that grew from doubted ones, or learnt a doubted teacher's answers, may know as much."""
    same = _record_of(record)
    told = dataclasses.replace(same.training, configuration={**same.training.configuration, DOUBTED: True})
    doubts = doubt("the teacher", dataclasses.replace(same, training=told), STUDENT)
    assert "with a teacher or start of which the same was feared, so it may know" in (doubts or "")


def test_a_teacher_that_took_copies_apart_is_doubted(record: Record) -> None:
    """Where copies stay together other pictures go, and of a larger number not always the same ones and more."""
    student = STUDENT | {"copies_together": True}
    assert "copies of one picture held out otherwise" in (doubt("the teacher", _record_of(record), student) or "")
    together = {**_record_of(record).training.configuration, "copies_together": True}
    training = dataclasses.replace(_record_of(record).training, configuration=together)
    assert doubt("the teacher", dataclasses.replace(record, training=training), student) is None
    more = dataclasses.replace(training, configuration=together | {"held_out": 150})
    doubts = doubt("the teacher", dataclasses.replace(record, training=more), student)
    assert "150 pictures held out instead of 100" in (doubts or "")


def test_a_larger_part_holds_out_what_a_smaller_one_does() -> None:
    """So a teacher that held out more has learnt nothing that its student holds out."""
    numbers = torch.arange(90, dtype=torch.uint8)
    split = Split(numbers.reshape(-1, 1, 1, 1), torch.arange(90) % 7)
    small, large = (set(hold_out(split, count=count, seed=3)[1].images.flatten().tolist()) for count in (11, 30))
    assert small < large
