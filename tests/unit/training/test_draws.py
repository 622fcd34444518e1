"""The random numbers of each picture: decided by seed, epoch, number and purpose, and by nothing else."""

import pytest
import torch

from training.draws import PHOTOGRAPHS, TRIVIAL_AUGMENT, Draws, _hash, _unit, draws_of

PURPOSES = ("one", "other")


def _draw(first: int = 0, *, count: int = 4_000, seed: int = 0, epoch: int = 0, user: int = PHOTOGRAPHS) -> Draws:
    return draws_of(torch.arange(first, first + count), seed=seed, epoch=epoch, purposes=PURPOSES, user=user)


@pytest.mark.parametrize(
    "another",
    [
        _draw(seed=1),
        _draw(epoch=1),
        _draw(4_000),
        _draw(user=TRIVIAL_AUGMENT),
        _draw(seed=2**63 - 1),
        _draw(10**9),
    ],
    ids=["seed", "epoch", "number", "user", "largest seed", "many pictures"],
)
def test_each_of_what_decides_gives_numbers_that_have_nothing_in_common(another: Draws) -> None:
    """Neither equal nor correlated: 4,000 pairs lie within four deviations of none."""
    one, other = (draws.uniform("one") - 0.5 for draws in (_draw(), another))
    assert abs((one * other).mean() * 12) < 4 / 4_000**0.5


def test_purposes_have_numbers_of_their_own() -> None:
    """Otherwise a picture that is treated would be treated strongly, or weakly."""
    draws = _draw()
    one, other = (draws.uniform(purpose) - 0.5 for purpose in PURPOSES)
    assert abs((one * other).mean() * 12) < 4 / 4_000**0.5


def test_uniform_numbers_fill_their_range() -> None:
    """Mean and deviation of 40,000, and none outside."""
    numbers = _draw(count=40_000).uniform("one", -2, 6)
    assert -2 < numbers.min() < -1.99
    assert 5.99 < numbers.max() < 6
    assert numbers.mean().item() == pytest.approx(2, abs=0.05)
    assert numbers.std().item() == pytest.approx(8 / 12**0.5, abs=0.05)


def test_normal_numbers_are_normal() -> None:
    """Of 80,000: mean, deviation and the share beyond two deviations; an odd count is kept.

    Those of a picture have nothing in common: their correlations lie within four deviations of none.
    """
    numbers = _draw(count=16_000).normal(5)
    assert numbers.shape == (16_000, 5)
    assert numbers.mean().item() == pytest.approx(0, abs=0.02)
    assert numbers.std().item() == pytest.approx(1, abs=0.02)
    assert (numbers.abs() > 2).float().mean().item() == pytest.approx(0.0455, abs=0.004)
    correlations = torch.corrcoef(numbers.T) - torch.eye(5)
    assert correlations.abs().max() < 4 / 16_000**0.5


def test_some_pictures_keep_their_numbers() -> None:
    """A batch that is cut down, or drawn in parts, sees what the whole one sees."""
    places = torch.tensor([7, 2, 3_999])
    whole = _draw()
    for draws in (whole.of(places), draws_of(places, user=PHOTOGRAPHS, seed=0, epoch=0, purposes=PURPOSES)):
        assert torch.equal(draws.uniform("other"), whole.uniform("other")[places])
        assert torch.equal(draws.normal(3), whole.normal(3)[places])


def test_the_numbers_are_those_of_splitmix64() -> None:
    """Its first three outputs from 0, as published: a run that goes on after an update sees the same pictures."""
    first = [key % 2**64 for key in _hash(torch.arange(3)).tolist()]
    assert first == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_no_number_is_none_or_one() -> None:
    """Of no bit and of all bits: the logarithm of 0 is infinite, and an index may not be the count."""
    least, most = _unit(torch.tensor([0, -1])).tolist()
    assert 0 < least < 1e-7
    assert 1 - 1e-7 < most < 1
