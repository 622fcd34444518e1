"""What a training starts from: its names, and pictures from all over it."""

import os

import pytest
import torch

from training.dataset import spread, to_unicode


def test_each_stretch_of_the_pictures_gives_one() -> None:
    """Five of ten: one of each pair, so all classes of a folder that stands class by class."""
    taken = spread(torch.arange(10), count=5)
    assert (taken // 2).tolist() == [0, 1, 2, 3, 4]


def test_classes_that_take_turns_are_all_taken() -> None:
    """A hundred of a thousand pictures, of ten classes in turn, are not all of one class, nor mostly."""
    counts = torch.bincount(spread(torch.arange(1_000) % 10, count=100), minlength=10)
    assert counts.min() >= 3


@pytest.mark.parametrize(("there", "count"), [(3, 3), (3, 5_000), (1, 1), (7, 6)])
def test_no_picture_is_taken_twice(there: int, count: int) -> None:
    """All of them, once and in order, where there are no more than are asked for."""
    taken = spread(torch.arange(there), count=count).tolist()
    assert taken == sorted(set(taken))
    assert len(taken) == min(there, count)


def test_the_same_pictures_are_taken_each_time_and_nothing_else_is_drawn() -> None:
    """A run that is repeated computes the same first layer, and its first weights stay those of its seed."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = spread(torch.arange(100), count=10)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(spread(torch.arange(100), count=10), first)


@pytest.mark.parametrize(
    ("name", "text"), [(b"caf\xe9", "caf?"), ("žába 猫".encode(), "žába 猫"), (b"\xff\xfe", "??")]
)
def test_a_name_becomes_text(name: bytes, text: str) -> None:
    """Bytes that are no UTF-8 become question marks, all else stays."""
    assert to_unicode(os.fsdecode(name)) == text
