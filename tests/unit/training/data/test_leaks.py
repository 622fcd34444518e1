"""Test pictures that were learnt are found, wherever their copies lie."""

from dataclasses import replace

import numpy as np
import torch

from training.data.dataset import Dataset, Split
from training.data.duplicates import Copies
from training.data.findings import collect
from training.data.leaks import find_leaked, find_learnt_val


def _split(values: list[int], files: tuple[str, ...] = ()) -> Split:
    images = torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 4, 4, 3).contiguous()
    return Split(images, torch.zeros(len(values), dtype=torch.int64), files)


def test_in_arrays_equal_pictures_are_found_in_what_is_learnt_and_held_out() -> None:
    """The second equals one to learn from, the third one held out; two equal test pictures are no leak."""
    dataset = Dataset("made", ("a",), _split([1, 2, 3]), _split([9, 2, 5, 9]), held_out=_split([5, 6]))
    assert find_leaked(dataset).is_learnt.tolist() == [False, True, True, False]
    assert not find_leaked(dataset).has_alike


def test_in_arrays_a_val_part_was_not_learnt() -> None:
    """A test picture that equals one of it is no leak; one of it that equals a learnt one is found."""
    val = _split([5, 2, 6])
    dataset = Dataset("made", ("a",), _split([1, 2, 3]), _split([5, 3]), held_out=val, val=val)
    assert find_leaked(dataset).is_learnt.tolist() == [False, True]
    assert find_learnt_val(dataset).tolist() == [False, True, False]


def test_in_a_folder_they_are_those_of_its_findings() -> None:
    """With those that look alike; a group that lies in the test part alone is none."""
    train, test = ("train/1", "train/2"), ("test/1", "test/2", "test/3", "test/4")
    findings = collect(
        "made",
        ("a",),
        files=train + test,
        targets=np.zeros(6, np.int64),
        part_of=np.repeat(["train", "test"], [2, 4]),
        copies=Copies(exact=((0, 3),), near=((1, 5), (2, 4)), group=np.arange(6)),
    )
    dataset = Dataset("made", ("a",), _split([1, 2], train), _split([3, 4, 5, 6], test), findings=findings)
    assert find_leaked(dataset).is_learnt.tolist() == [False, True, False, True]
    assert find_leaked(dataset).has_alike
    assert not find_leaked(replace(dataset, findings=replace(findings, copies=()))).is_learnt.any()


def test_pictures_of_the_val_part_are_compared_with_what_is_learnt_alone() -> None:
    """And a test picture with them is no leak: what was calibrated on was not learnt."""
    files = ("train/1", "test/1", "val/1", "val/2", "val/3")
    findings = collect(
        "made",
        ("a",),
        files=files,
        targets=np.zeros(5, np.int64),
        part_of=np.array(["train", "test", "val", "val", "val"]),
        copies=Copies(exact=((0, 3),), near=((1, 4),), group=np.arange(5)),
    )
    train, test, val = (_split([1] * len(some), some) for some in (files[:1], files[1:2], files[2:]))
    dataset = Dataset("made", ("a",), train, test, findings=findings, val=val)
    assert find_learnt_val(dataset).tolist() == [False, True, False]
    assert not find_leaked(dataset).is_learnt.any()
