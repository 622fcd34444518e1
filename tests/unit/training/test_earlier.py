"""What an earlier training left: what fits, what is refused, and what is doubted."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import checkpoint, golden
from models.calibration import Calibration
from models.checkpoint import load
from models.networks import Architecture, build
from models.networks.whitened import HEAD
from models.preprocessing import InputSpec
from models.record import Record
from training.data.dataset import Dataset, Split, fingerprint
from training.data.held_out import hold_out
from training.earlier import (
    DOUBTED,
    SHIPPED,
    advise_start,
    doubt,
    doubt_as_judge,
    load_start,
    load_teacher,
    start_with,
)
from training.errors import TrainingError
from training.fresh import Start
from training.recipes import RECIPES


def test_a_teacher_of_other_classes_or_pictures_is_refused(checkpoint_path: Path) -> None:
    """Both sentences say what there is and what is needed."""
    record = load(checkpoint_path).record
    with pytest.raises(TrainingError, match=r"--teacher .* knows .*; the data has cat, dog"):
        load_teacher(checkpoint_path, mirrors=True, labels=("cat", "dog"), spec=InputSpec())
    with pytest.raises(TrainingError, match=r"--teacher .* in the same order"):
        load_teacher(checkpoint_path, mirrors=True, labels=record.labels[::-1], spec=InputSpec())
    with pytest.raises(TrainingError, match=r"--teacher .*; the pictures have 48 × 48"):
        load_teacher(checkpoint_path, mirrors=True, labels=record.labels, spec=InputSpec(height=48, width=48))
    load_teacher(checkpoint_path, mirrors=True, labels=record.labels, spec=record.input)


def _so_many(pictures: int) -> Dataset:
    """Pictures of two classes."""
    split = Split(torch.zeros(pictures, 1, 1, 3, dtype=torch.uint8), torch.arange(pictures) % 2)
    return Dataset("made", ("a", "b"), split, split)


def test_who_learns_from_few_pictures_is_told_of_the_shipped_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words that can be typed: up to 100 of a class on average, unless the recipe cannot start with it."""
    monkeypatch.chdir(SHIPPED.parent)
    advice = advise_start(_so_many(200), RECIPES["fast"], SHIPPED)
    assert advice is not None
    assert advice.startswith("200 pictures of 2 classes are few to learn from.")
    assert advice.endswith("--recipe compact --start cifar10.safetensors")
    assert advise_start(_so_many(201), RECIPES["fast"], SHIPPED) is None
    for recipe in ("tutorial", "taught"):
        assert advise_start(_so_many(200), RECIPES[recipe], SHIPPED) is None


def test_a_start_that_is_not_there_or_does_not_fit_is_not_named(tmp_path: Path, checkpoint_path: Path) -> None:
    """An installation may lack it, and another network be in its place."""
    for path in (tmp_path / "gone.safetensors", checkpoint_path):
        assert advise_start(_so_many(20), RECIPES["fast"], path) is None


SMALL = Architecture("fast", {"widths": [4, 4, 8]})


@pytest.fixture
def small(tmp_path: Path, record: Record) -> Path:
    """A checkpoint of a small network."""
    path = tmp_path / "small.safetensors"
    network = build(SMALL, classes=len(record.labels), spec=record.input)
    checkpoint.save(path, network, dataclasses.replace(record, architecture=SMALL))
    return path


def _whole(start: Start) -> dict[str, Tensor]:
    """The weights of all layers, where the last one has all of its rows."""
    return {**start.weights, HEAD: torch.stack([start.rows[place] for place in sorted(start.rows)])}


def _same(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


def test_a_start_is_the_network_that_was_saved(small: Path, record: Record) -> None:
    """Widths in a tuple, as a table has them, are those that a file has in a list; pictures may have any size."""
    tuples = Architecture("fast", {"widths": (4, 4, 8)})
    read = load_start(small, architecture=tuples, spec=dataclasses.replace(record.input, height=48, width=64))
    assert read.record.architecture.arguments == {"widths": [4, 4, 8]}
    assert _same(_whole(start_with(read, labels=record.labels)), load(small).network.state_dict())


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
        load_start(small, architecture=architecture, spec=record.input)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [("fast", r", or take --recipe fast\."), ("tutorial", r"that one\.$"), ("taught", r"that one\.$")],
)
def test_the_recipe_of_a_start_is_named(
    recipe: str, told: str, small: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one trains that network, can start with it and needs no teacher."""
    tables = {name: table for name, table in RECIPES.items() if name in ("tutorial", "fast", "taught")}
    tables[recipe] = dataclasses.replace(tables[recipe], architecture=SMALL)
    monkeypatch.setattr("training.earlier.RECIPES", tables)
    with pytest.raises(TrainingError, match=told):
        load_start(small, architecture=Architecture("residual"), spec=record.input)


def test_a_quantized_start_gives_its_filters(tmp_path: Path, record: Record) -> None:
    """It is the shipped file that is tried first; the network that is trained does not round what it is given."""
    rounded = Architecture("fast", {"widths": [4, 4, 8], "input_ranges": [[-1.0, 1.0]] * 6})
    path = tmp_path / "bytes.safetensors"
    network = build(rounded, classes=len(record.labels), spec=record.input)
    checkpoint.save(path, network, dataclasses.replace(record, architecture=rounded))
    start = start_with(load_start(path, architecture=SMALL, spec=record.input), labels=record.labels)
    assert _same(_whole(start), network.state_dict())
    build(SMALL, classes=len(record.labels), spec=record.input).load_state_dict(_whole(start))
    with pytest.raises(
        TrainingError, match=r"is the network fast \(widths \[4, 4, 8\]\); the recipe trains fast\. "
    ):
        load_start(path, architecture=Architecture("fast"), spec=record.input)


@pytest.mark.parametrize("picked", [(2, 0, 1), (1,), ()])
def test_the_last_layer_goes_by_the_names_of_the_classes(
    picked: tuple[int, ...], small: Path, record: Record
) -> None:
    """In any order, some of them or none; all other layers are taken whole."""
    labels = ("lamp", *(record.labels[place] for place in picked), "cup")
    weights = load(small).network.state_dict()
    start = start_with(load(small), labels=labels)
    assert set(start.weights) == set(weights) - {HEAD}
    assert list(start.rows) == list(range(1, 1 + len(picked)))
    for place, row in start.rows.items():
        assert torch.equal(row, weights[HEAD][picked[place - 1]])


def test_a_start_with_another_normalisation_is_refused(small: Path, record: Record) -> None:
    """Its first layer was fitted to other numbers."""
    other = dataclasses.replace(record.input, mean=(0.1, 0.2, 0.3))
    with pytest.raises(TrainingError, match=r"normalises with mean .* the recipe with \(0\.1, 0\.2, 0\.3\)"):
        load_start(small, architecture=SMALL, spec=other)


def test_a_start_with_another_deviation_alone_is_refused(small: Path, record: Record) -> None:
    """The mean may be the same: what is divided by counts as well."""
    other = dataclasses.replace(record.input, std=(0.1, 0.2, 0.3))
    with pytest.raises(TrainingError, match=r"the recipe with .* and \(0\.1, 0\.2, 0\.3\)"):
        load_start(small, architecture=SMALL, spec=other)


def test_a_file_that_is_not_there_is_named_with_its_option(tmp_path: Path, record: Record) -> None:
    """A resumed run remembers it, and nobody typed it today."""
    missing = tmp_path / "gone.safetensors"
    with pytest.raises(TrainingError, match=r"--teacher .*gone\.safetensors: the checkpoint cannot be read"):
        load_teacher(missing, mirrors=True, labels=record.labels, spec=record.input)
    with pytest.raises(TrainingError, match=r"--start .*gone\.safetensors: the checkpoint cannot be read"):
        load_start(missing, architecture=SMALL, spec=record.input)


def test_a_calibrated_teacher_teaches_at_the_recipes_temperature(
    tmp_path: Path, network: nn.Module, record: Record
) -> None:
    """Its own temperature, fitted for honest scores, would make them sharper than the recipe wants."""
    path = tmp_path / "calibrated.safetensors"
    checkpoint.save(path, network, dataclasses.replace(record, calibration=Calibration(temperature=0.5)))
    teacher = load_teacher(path, mirrors=True, labels=record.labels, spec=InputSpec()).network
    images = torch.from_numpy(golden.draw(32, 32))
    torch.testing.assert_close(teacher(images), network.eval()(images), atol=1e-6, rtol=1e-5)


def _record_of(record: Record, *, seed: int = 0, data: str = "d", held_out: object = 100) -> Record:
    training = dataclasses.replace(
        record.training, seed=seed, data_fingerprint=data, configuration={"held_out": held_out}
    )
    return dataclasses.replace(record, training=training)


_doubt = partial(doubt, is_test_drawn=False)


@pytest.fixture
def student(record: Record) -> dict[str, Any]:
    """Configuration of a training that goes on from another one."""
    return {"seed": 0, "data_fingerprint": "d", "held_out": 100, "labels": list(record.labels)}


@pytest.mark.parametrize(
    ("teacher", "reason"),
    [
        ({"seed": 1}, "with the seed 1 instead of 0, so it may know"),
        ({"data": "e"}, "with other training pictures, so it may know"),
        ({"held_out": 99}, "with 99 pictures held out instead of 100, so it may know"),
        ({"held_out": None}, "with 0 pictures held out instead of 100, so it may know"),
        ({"seed": 1, "data": "e", "held_out": 0}, "with other training pictures, so it may know"),
    ],
)
def test_a_teacher_that_may_have_learnt_what_is_held_out_is_doubted(
    teacher: dict[str, Any], reason: str, record: Record, student: dict[str, Any]
) -> None:
    """Each reason is told; a record that does not say what was held out counts as one that held out nothing."""
    doubts = _doubt("the teacher", _record_of(record, **teacher), student)
    assert doubts is not None
    assert doubts.startswith("warning: ")
    assert reason in doubts


def test_a_teacher_that_held_the_same_out_is_not_doubted(record: Record, student: dict[str, Any]) -> None:
    """Nor one that held out more, nor any where the student holds out nothing."""
    assert _doubt("the teacher", _record_of(record), student) is None
    assert _doubt("the teacher", _record_of(record, held_out=150), student) is None
    assert (
        _doubt("the teacher", _record_of(record, seed=1, data="e", held_out=0), student | {"held_out": 0}) is None
    )


def test_who_knows_none_of_the_classes_is_not_doubted(record: Record, student: dict[str, Any]) -> None:
    """Other pictures, and no answer among what was learnt; one class in common is enough."""
    other = _record_of(record, data="e")
    assert _doubt("the start", other, student | {"labels": ["lamp", "cup"]}) is None
    told = _doubt("the start", other, student | {"labels": ["lamp", record.labels[0]]}) or ""
    assert "unless neither it nor what it grew from can have seen these pictures: one from elsewhere" in told


@pytest.mark.parametrize(
    ("field", "known"), [("start", "sha256:…"), ("teachers", ["sha256:…"]), ("teacher", "sha256:…")]
)
def test_who_grew_from_somebody_else_may_know_what_that_one_knew(
    field: str, known: object, record: Record, student: dict[str, Any]
) -> None:
    """A start of other classes that itself began with a third one's weights: these may have met the pictures.

    Older versions wrote down one teacher.
    """
    other = _record_of(record, data="e")
    grown = dataclasses.replace(other.training, configuration={**other.training.configuration, field: known})
    told = _doubt("the start", dataclasses.replace(other, training=grown), student | {"labels": ["lamp", "cup"]})
    assert told is not None


def test_a_judge_is_doubted_unless_it_is_a_stranger(record: Record) -> None:
    """One that learnt these very pictures, one that knows a class by its name, and one that grew from another."""
    pictures = Split(torch.zeros(2, 8, 8, 3, dtype=torch.uint8), torch.arange(2))
    known = Dataset("made", record.labels, pictures, pictures)
    strange = Dataset("made", ("lamp", "cup"), pictures, pictures)
    same = _record_of(record, data=fingerprint(known.labels, pictures))
    assert "trained on these very pictures" in (doubt_as_judge(same, known) or "")
    assert "may have learnt some of these pictures" in (doubt_as_judge(record, known) or "")
    assert doubt_as_judge(record, strange) is None
    grown = dataclasses.replace(record.training, configuration={"start": "sha256:…"})
    told = doubt_as_judge(dataclasses.replace(record, training=grown), strange) or ""
    assert "may have learnt some of these pictures" in told


@pytest.mark.parametrize(
    ("earlier", "held_out", "told"),
    [
        ({"data": "e"}, 0, "so it may know what is measured on here; the accuracy comes out too high then"),
        (
            {"seed": 1},
            100,
            "what is held out and measured on here; temperature and abstain rule come out too sure, ",
        ),
        (
            {"seed": 1, "data": "e"},
            0,
            "other training pictures, the seed 1 instead of 0, so it may know what is mea",
        ),
        ({"held_out": 0}, 100, "what is held out here; temperature and abstain rule come out too sure then"),
        ({"held_out": 0}, 0, None),
    ],
)
def test_a_test_part_that_the_seed_drew_may_be_known_too(
    earlier: dict[str, Any], held_out: int, told: str | None, record: Record, student: dict[str, Any]
) -> None:
    """Of a folder that has grown since, or with another seed, it is not the one that the start was measured on."""
    student["held_out"] = held_out
    doubts = doubt("the start", _record_of(record, **earlier), student, is_test_drawn=True)
    assert (doubts is None) == (told is None)
    assert (told or "") in (doubts or "")


def test_a_doubt_is_handed_on(record: Record, student: dict[str, Any]) -> None:
    """Weights that grew from doubted ones, or learnt a doubted teacher's answers, may know as much."""
    same = _record_of(record)
    told = dataclasses.replace(same.training, configuration={**same.training.configuration, DOUBTED: True})
    doubts = _doubt("the teacher", dataclasses.replace(same, training=told), student)
    assert "with a teacher or start of which the same was feared, so it may know" in (doubts or "")


def test_a_teacher_that_took_copies_apart_is_doubted(record: Record, student: dict[str, Any]) -> None:
    """Where copies stay together other pictures go, and of a larger number not always the same ones and more."""
    student["copies_together"] = True
    assert "copies of one picture held out otherwise" in (_doubt("the teacher", _record_of(record), student) or "")
    together = {**_record_of(record).training.configuration, "copies_together": True}
    training = dataclasses.replace(_record_of(record).training, configuration=together)
    assert _doubt("the teacher", dataclasses.replace(record, training=training), student) is None
    more = dataclasses.replace(training, configuration=together | {"held_out": 150})
    doubts = _doubt("the teacher", dataclasses.replace(record, training=more), student)
    assert "150 pictures held out instead of 100" in (doubts or "")


def test_a_teacher_that_held_out_other_copies_is_doubted(record: Record, student: dict[str, Any]) -> None:
    """The test part decides what is a copy, too, and is no part of the fingerprint of what was learnt."""
    student |= {"copies_together": True, "held_out_fingerprint": "now"}
    same = _record_of(record).training
    for then, is_doubted in (("then", True), ("now", False), (None, False)):
        own = {**same.configuration, "copies_together": True, "held_out_fingerprint": then}
        teacher = dataclasses.replace(record, training=dataclasses.replace(same, configuration=own))
        doubts = _doubt("the teacher", teacher, student) or ""
        assert ("copies of one picture held out otherwise" in doubts) == is_doubted


def test_a_val_part_is_known_to_nobody_who_learnt_the_same_pictures(
    record: Record, student: dict[str, Any]
) -> None:
    """Whatever was drawn from these, with whatever seed: nothing of it is of the val part."""
    student |= {"held_out_part": "val", "held_out_fingerprint": "now"}
    for earlier in (_record_of(record, seed=1, held_out=0), _val_held_out(record, seed=1, held_out=7)):
        assert _doubt("the start", earlier, student) is None
    assert "with other training pictures" in (_doubt("the start", _val_held_out(record, data="e"), student) or "")
    doubted = _val_held_out(record, is_doubted=True)
    assert "of which the same was feared" in (_doubt("the start", doubted, student) or "")


def test_who_held_the_val_part_out_has_learnt_what_is_drawn_here(record: Record, student: dict[str, Any]) -> None:
    """All of the training pictures, with however many of the val part."""
    for held_out in (7, 100, 500):
        doubts = _doubt("the start", _val_held_out(record, held_out=held_out, seed=1), student) or ""
        assert "was trained with val/ held out instead of 100 of the training pictures, so it may know" in doubts
    assert _doubt("the start", _val_held_out(record), student | {"held_out": 0}) is None
    doubts = _doubt("the start", _val_held_out(record, data="e"), student) or ""
    assert "was trained with other training pictures, so it may know" in doubts


def _val_held_out(
    record: Record, *, seed: int = 0, data: str = "d", held_out: int = 100, is_doubted: bool = False
) -> Record:
    """A training that held out val/ of its data."""
    training = _record_of(record, seed=seed, data=data, held_out=held_out).training
    own = {**training.configuration, "held_out_part": "val", "held_out_fingerprint": "then", DOUBTED: is_doubted}
    return dataclasses.replace(record, training=dataclasses.replace(training, configuration=own))


@pytest.mark.parametrize(("earlier", "reason"), [({"seed": 1}, "the seed 1"), ({"data": "e"}, "other training")])
def test_other_copies_that_follow_from_a_reason_are_no_second_one(
    earlier: dict[str, Any], reason: str, record: Record, student: dict[str, Any]
) -> None:
    """Another seed holds out other pictures; nothing is wrong with their copies."""
    student |= {"copies_together": True, "held_out_fingerprint": "now"}
    training = _record_of(record, **earlier).training
    own = {**training.configuration, "copies_together": True, "held_out_fingerprint": "then"}
    teacher = dataclasses.replace(record, training=dataclasses.replace(training, configuration=own))
    doubts = _doubt("the teacher", teacher, student) or ""
    assert (reason in doubts, "copies" in doubts) == (True, False)


def test_a_larger_part_holds_out_what_a_smaller_one_does() -> None:
    """So a teacher that held out more has learnt nothing that its student holds out."""
    numbers = torch.arange(90, dtype=torch.uint8)
    split = Split(numbers.reshape(-1, 1, 1, 1), torch.arange(90) % 7)
    small, large = (set(hold_out(split, count=count, seed=3)[1].images.flatten().tolist()) for count in (11, 30))
    assert small < large
