"""What an earlier training may have learnt: what is doubted, and why."""

import dataclasses
from functools import partial
from typing import Any

import pytest
import torch

from models.record import Record
from training.data.dataset import Dataset, Split, fingerprint
from training.data.held_out import hold_out
from training.doubts import DOUBTED, doubt, doubt_as_judge


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
        assert (
            "was trained with a val part held out instead of 100 of the training pictures, so it may know"
            in doubts
        )
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
