"""Some pictures that stand for all of them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from training.data.sampling import draw_by_class, draw_evenly

TURNS = torch.arange(1_000) % 10
"""Targets of an archive whose classes take turns: every fifth picture is of one of two classes."""


def test_of_more_classes_than_are_drawn_some_of_all_places_are_taken() -> None:
    """And not those that stand first, of which the others' names would be judged."""
    places = draw_by_class(torch.arange(5_000) // 2, count=1_000, seed=0)
    assert len(places) == len(set(places.tolist())) == 1_000
    assert torch.bincount(places // 1_000).tolist() == [200] * 5


def test_classes_that_take_turns_give_their_share() -> None:
    """Of each of ten, 20 of 200 pictures; no picture comes twice."""
    places = draw_by_class(TURNS, count=200, seed=0)
    assert places.tolist() == sorted(set(places.tolist()))
    assert torch.bincount(TURNS[places]).tolist() == [20] * 10


@pytest.mark.parametrize("seed", range(5))
def test_a_tiny_class_gives_a_picture(seed: int) -> None:
    """One of 1,001, whatever the seed, where a hundred are drawn."""
    targets = torch.cat([TURNS[TURNS < 9], torch.tensor([9])])
    places = draw_by_class(targets, count=100, seed=seed)
    assert len(places) == 100
    assert set(targets[places].tolist()) == set(range(10))


def test_few_pictures_are_taken_whole() -> None:
    """Both draws give all places in order where no more are there than wanted."""
    assert draw_by_class(TURNS[:30], count=30, seed=0).tolist() == list(range(30))
    assert draw_by_class(TURNS[:30], count=99, seed=0).tolist() == list(range(30))
    assert draw_evenly(30, count=30, seed=0).tolist() == list(range(30))
    assert draw_evenly(30, count=99, seed=0).tolist() == list(range(30))


def test_an_even_draw_takes_one_of_each_stretch_and_of_all_classes_that_take_turns() -> None:
    """200 of 1,000: one of each five, and of each of ten classes between 10 and 30."""
    places = draw_evenly(1_000, count=200, seed=0)
    assert (places // 5).tolist() == list(range(200))
    assert 10 <= torch.bincount(TURNS[places], minlength=10).min() <= torch.bincount(TURNS[places]).max() <= 30


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: draw_by_class(TURNS, count=200, seed=seed),
        lambda seed: draw_evenly(1_000, count=200, seed=seed),
    ],
)
def test_the_seed_decides(draw: Callable[[int], Tensor]) -> None:
    """The same seed draws the same pictures, another one others."""
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
