"""A drawn pass over the pictures."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.preprocessing import InputSpec
from training.augment import Order, crop, mix
from training.epoch import Epoch, draw_epoch
from training.photographs import photographs
from training.recipes import ACCURATE, Teaching
from training.trivial_augment import trivial_augment

PICTURES = 40


def _draw(
    number: int = 1, *, seed: int = 3, side: float = 1.0, photographs: float = 0.0, trivial: float | None = None
) -> Epoch:
    recipe = replace(
        ACCURATE,
        batch_size=16,
        resolutions=((1.0, side),),
        photograph_share=photographs,
        trivial_augment_share=trivial,
    )
    images = torch.randint(0, 256, (PICTURES, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte()

    def wanted(_: object, index: Tensor) -> Tensor:
        return 10 * index

    return draw_epoch(recipe, images, wanted, spec=InputSpec(), seed=seed, number=number)


@pytest.mark.parametrize(
    ("side", "photographs", "trivial", "by"),
    [(1.0, 0.0, None, 0), (0.75, 0.0, None, 0), (1.0, 0.5, None, 1), (1.0, 0.0, 1.0, 1)],
)
def test_a_picture_looks_the_same_in_any_company(
    side: float, photographs: float, trivial: float | None, by: int
) -> None:
    """Selection rests on it: what was rated is what is learnt. A changed one may differ by a rounded byte."""
    epoch = _draw(side=side, photographs=photographs, trivial=trivial)
    index = torch.randperm(PICTURES, generator=torch.Generator().manual_seed(1))[:16]
    some = torch.tensor([2, 3, 11])
    (images, wanted), (again, _) = epoch.look(index), epoch.look(index[some])
    assert (images[some].float() - again.float()).abs().max() <= by
    assert torch.equal(wanted, 10 * index)


def test_whole_batches_are_given_and_the_rest_is_left() -> None:
    """Of 40 pictures two batches of 16, each picture once."""
    batches = list(_draw().batches())
    assert [len(index) for index in batches] == [16, 16]
    assert len(set(torch.cat(batches).tolist())) == 32


def test_an_epoch_is_drawn_again_as_it_was() -> None:
    """Seed and number decide it, so that a resumed run sees what it would have seen."""
    first, again = (next(epoch.batches()) for epoch in (_draw(), _draw()))
    assert torch.equal(first, again)
    assert torch.equal(_draw().look(first)[0], _draw().look(first)[0])
    for other in (_draw(2), _draw(seed=4)):
        assert not torch.equal(next(other.batches()), first)


@pytest.mark.parametrize(("teaching", "taken"), [(None, crop), (Teaching(), mix)])
@pytest.mark.parametrize("trivial", [None, 0.5])
def test_a_teacher_is_asked_about_the_picture_before_it_is_spoilt(
    trivial: float | None, teaching: Teaching | None, taken: Callable[[Tensor, Order, Tensor], Tensor]
) -> None:
    """Mixed and changed where it answers, covered and treated as a photograph afterwards."""
    asked = []

    def wanted(images: Tensor, index: Tensor) -> Tensor:
        asked.append(images)
        return index

    images = torch.randint(0, 256, (PICTURES, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte()
    recipe = replace(
        ACCURATE, batch_size=16, photograph_share=0.5, trivial_augment_share=trivial, teaching=teaching
    )
    epoch = draw_epoch(recipe, images, wanted, spec=InputSpec(), seed=3, number=1)
    index = torch.arange(5, 20)
    seen, _ = epoch.look(index)
    answered = trivial_augment(
        taken(images, epoch.order, index), seed=3, epoch=1, index=index, share=trivial or 0.0
    )
    assert torch.equal(asked[0], answered)
    assert (seen != asked[0]).flatten(1).any(1).all()


def test_photographs_are_drawn_from_the_seed_and_the_number_of_the_epoch() -> None:
    """So a picture is spoilt in another way each time."""
    recipe = replace(ACCURATE, batch_size=16, photograph_share=1.0, cutout=0)
    images = torch.randint(0, 256, (PICTURES, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte()
    epoch = draw_epoch(recipe, images, lambda _, index: index, spec=InputSpec(), seed=3, number=1)
    index = torch.arange(5, 20)
    seen, _ = epoch.look(index)
    expected = photographs(crop(images, epoch.order, index), seed=3, epoch=1, index=index, share=1.0)
    assert torch.equal(seen, expected)


def test_covered_squares_lie_wholly_inside() -> None:
    """In each of 500 black pictures six pixels a side have the mean's colour, none are lost beyond a border."""
    recipe = replace(ACCURATE, batch_size=16, cutout=6, shift=0, resolutions=((1.0, 1.0),))
    black = torch.zeros(500, 10, 12, 3, dtype=torch.uint8)
    spec = InputSpec(height=10, width=12)
    epoch = draw_epoch(recipe, black, lambda _, index: index, spec=spec, seed=3, number=0)
    seen, _ = epoch.look(torch.arange(500))
    is_covered = (seen > 0).all(3)
    assert (is_covered.sum((1, 2)) == 36).all()
    assert (seen[is_covered] == torch.tensor([125, 123, 114])).all()  # the mean of CIFAR-10, to the nearest byte
