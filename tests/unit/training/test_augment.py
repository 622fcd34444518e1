"""Flip, shift, resize and views, against the plain way of doing them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.operations import Operations
from training.augment import batches, cover, crop, draw_order, mix, resize


def _images(n: int = 6, height: int = 9, width: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, height, width, 3), dtype=torch.uint8, generator=generator)


def _padded(image: torch.Tensor, by: int) -> np.ndarray:
    return np.pad(image.numpy(), ((by, by), (by, by), (0, 0)), mode="reflect")


@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 50), shift=st.integers(0, 4))
def test_crop_is_a_window_of_the_reflect_padded_picture(seed: int, epoch: int, shift: int) -> None:
    """Each picture of a batch is the window of its padded copy at its shift, mirrored if it should be."""
    images = _images()
    order = draw_order(len(images), shift=shift, seed=seed, epoch=epoch)
    index = order.permutation[:4]
    cropped = crop(images, order, index)
    for picture, i in zip(cropped, index.tolist(), strict=True):
        top, left = shift + int(order.down[i]), shift + int(order.right[i])
        window = _padded(images[i], shift)[top : top + 9, left : left + 7]
        # mirroring the window reads its columns from the right, at the same shift
        expected = window[:, ::-1] if order.mirrored[i] else window
        assert np.array_equal(picture.numpy(), expected)


def test_shifts_reach_both_ends_and_nothing_beyond() -> None:
    """Over many pictures every shift from −2 to 2 occurs, about equally often."""
    order = draw_order(5_000, shift=2, seed=0, epoch=0)
    for axis in (order.down, order.right):
        counts = torch.bincount(axis + 2, minlength=5)
        assert len(counts) == 5
        assert counts.min() > 850


def test_flips_alternate_between_epochs() -> None:
    """Each picture shows one side in even epochs and the other in odd ones; the coin is fair."""
    sides = [draw_order(2_000, shift=2, seed=3, epoch=epoch).mirrored for epoch in range(4)]
    assert torch.equal(sides[0], ~sides[1])
    assert torch.equal(sides[0], sides[2])
    assert torch.equal(sides[1], sides[3])
    assert 900 < int(sides[0].sum()) < 1_100


def test_without_mirror_images_all_else_is_drawn_the_same() -> None:
    """Where a mirror image is another class."""
    usual, unmirrored = (draw_order(500, shift=2, seed=3, epoch=4, mirrors=mirrors) for mirrors in (True, False))
    assert not unmirrored.mirrored.any()
    for field in ("permutation", "down", "right", "cut_top", "cut_left", "partner", "mixed_in"):
        assert torch.equal(getattr(usual, field), getattr(unmirrored, field))


def test_an_epoch_can_be_drawn_again() -> None:
    """Seed and epoch alone decide the order; another seed or epoch gives another one."""
    first = draw_order(100, shift=2, seed=5, epoch=7)
    again = draw_order(100, shift=2, seed=5, epoch=7)
    assert torch.equal(first.permutation, again.permutation)
    assert torch.equal(first.down, again.down)
    for seed, epoch in ((6, 7), (5, 8)):
        assert not torch.equal(first.permutation, draw_order(100, shift=2, seed=seed, epoch=epoch).permutation)


def test_an_epoch_is_what_it_was_in_older_versions() -> None:
    """Runs of then are resumed: what is drawn besides is drawn last."""
    order = draw_order(8, shift=2, seed=3, epoch=1, rooms=(4, 4))
    assert order.permutation.tolist() == [6, 3, 1, 0, 4, 5, 7, 2]
    assert order.down.tolist() == [2, 1, 0, 2, 2, -2, -1, 1]
    assert order.right.tolist() == [2, 0, 2, 2, -1, 2, 1, -1]
    assert order.mirrored.int().tolist() == [0, 1, 0, 0, 1, 1, 0, 0]
    assert order.cut_top.tolist() == [0, 4, 4, 3, 1, 1, 2, 0]
    assert order.cut_left.tolist() == [3, 0, 0, 3, 0, 3, 3, 1]


def test_batches_have_one_size_and_no_picture_twice() -> None:
    """An epoch is cut into whole batches; what remains is left out."""
    order = draw_order(103, shift=0, seed=0, epoch=0)
    cut = list(batches(order, 20))
    assert [len(batch) for batch in cut] == [20] * 5
    assert len(set(torch.cat(cut).tolist())) == 100


@pytest.mark.parametrize("side", [0.75, 0.875])
def test_resize_shrinks_the_whole_picture(side: float) -> None:
    """A resized batch is PyTorch's bilinear resize of every picture, in 0…255."""
    images = _images(2, 32, 32)
    small = resize(images, side)
    expected = F.interpolate(images.permute(0, 3, 1, 2).float(), size=[round(32 * side)] * 2, mode="bilinear")
    assert torch.equal(small, expected.permute(0, 2, 3, 1))


def test_resize_to_full_size_changes_nothing() -> None:
    """At 1.0 the very same tensor comes back."""
    images = _images()
    assert resize(images, 1.0) is images


def test_a_covered_square_is_wholly_inside_and_has_the_colour() -> None:
    """Exactly side² pixels of each picture have the colour, in a square; all others are as they were."""
    images = _images(50, 12, 10)
    order = draw_order(50, shift=0, seed=0, epoch=0, rooms=(12 - 5, 10 - 5))
    index = order.permutation[:20]
    colour = (1, 2, 3)
    covered = cover(images[index], order, index, side=5, colour=colour)
    for picture, before, i in zip(covered, images[index], index.tolist(), strict=True):
        top, left = int(order.cut_top[i]), int(order.cut_left[i])
        expected = before.clone()
        expected[top : top + 5, left : left + 5] = torch.tensor(colour, dtype=torch.uint8)
        assert torch.equal(picture, expected)
        assert (picture == torch.tensor(colour)).all(dim=-1).sum() >= 25


def test_the_colour_of_squares_is_made_once() -> None:
    """On a GPU making it is a copy that is waited for."""
    images = _images()
    order = draw_order(len(images), shift=0, seed=0, epoch=0, rooms=(3, 3))
    made = []
    for _ in range(3):
        with Operations() as operations:
            cover(images, order, order.permutation, side=2, colour=(7, 8, 9))
        made.append(operations.names.count("aten::lift_fresh"))
    assert made == [1, 0, 0]


def test_squares_reach_every_corner() -> None:
    """Over many pictures each place from 0 to size − side occurs."""
    order = draw_order(5_000, shift=0, seed=0, epoch=0, rooms=(20, 20))
    for axis in (order.cut_top, order.cut_left):
        assert torch.bincount(axis).min() > 150
        assert (int(axis.min()), int(axis.max())) == (0, 20)


def test_no_square_leaves_the_pictures() -> None:
    """A side of 0 gives the very same tensor back."""
    images = _images()
    order = draw_order(len(images), shift=0, seed=0, epoch=0)
    assert cover(images, order, order.permutation, side=0, colour=(0, 0, 0)) is images


def test_squares_leave_orders_without_them_as_they_were() -> None:
    """Recipes without squares see the same order, shifts and flips as if squares did not exist."""
    without, with_squares = (draw_order(100, shift=2, seed=1, epoch=3, rooms=rooms) for rooms in ((0, 0), (9, 9)))
    for name in ("permutation", "down", "right", "mirrored"):
        assert torch.equal(getattr(without, name), getattr(with_squares, name))


def test_a_mixture_is_each_pictures_own_view_with_its_partners() -> None:
    """Both are cropped as the epoch crops them; a picture looks the same in any company."""
    images = _images(40)
    order = draw_order(40, shift=2, seed=0, epoch=1)
    index = order.permutation[:9]
    mixed = mix(images, order, index)
    for picture, i in zip(mixed, index.tolist(), strict=True):
        own, other = (crop(images, order, torch.tensor([which]))[0].double() for which in (i, order.partner[i]))
        share = order.mixed_in[i].double()
        assert (picture.double() - ((1 - share) * own + share * other)).abs().max() <= 0.5 + 1e-4
    assert torch.equal(mix(images, order, index[3:5]), mixed[3:5])


def test_every_picture_is_a_partner_once_and_shares_reach_a_half() -> None:
    """Each picture is mixed into one; shares are even from none to a half."""
    order = draw_order(5_000, shift=0, seed=0, epoch=0)
    assert torch.equal(order.partner.sort().values, torch.arange(5_000))
    assert (order.partner == torch.arange(5_000)).sum() < 10
    counts = torch.histc(order.mixed_in, bins=5, min=0, max=0.5)
    assert counts.sum() == 5_000
    assert counts.min() > 900
    other = draw_order(5_000, shift=0, seed=0, epoch=1)
    assert not torch.equal(order.partner, other.partner)
    assert not torch.equal(order.mixed_in, other.mixed_in)
