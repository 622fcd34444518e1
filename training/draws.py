"""Random numbers of each picture, as hashes of (seed, epoch, its number in the data set), not drawn in sequence.

A run that was stopped goes on exactly, and batches may be cut anew or shared among processes: what is done to a
picture does not depend on its company.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_HASH_MULTIPLIERS = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)
"""SplitMix64's two, as signed numbers. Source: Steele, Lea & Flood, OOPSLA 2014."""
_GOLDEN_RATIO = -0x61C8864680B583EB  # of 2**64, signed: SplitMix64's step
_MOST_EPOCHS = 2**32  # of any run, so that no two users meet

PHOTOGRAPHS, TRIVIAL_AUGMENT = range(2)
"""Who draws; the numbers of two users have nothing in common."""


@dataclass(frozen=True)
class Draws:
    """Random numbers of each picture by their purpose; the order of asking does not matter.

    Attributes:
        keys: int64 (batch,), one for each picture, of 64 random bits.
        purposes: what numbers are drawn for.
    """

    keys: Tensor
    purposes: tuple[str, ...]

    def of(self, chosen: Tensor) -> "Draws":
        """Return those of some pictures, by their places in the batch."""
        return Draws(self.keys[chosen], self.purposes)

    def uniform(self, purpose: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw one number a picture, low…high: float32 (batch,)."""
        return low + (high - low) * _unit(_hash(self.keys + self.purposes.index(purpose)))

    def normal(self, count: int) -> Tensor:
        """Draw numbers of deviation 1, for one purpose in all: float32 (batch, count).

        Source: Box & Muller, 1958, on two halves of each hash; a hash for each number took twice as long.
        """
        pairs = torch.arange(-(-count // 2), device=self.keys.device)
        keys = _hash(_hash(self.keys + len(self.purposes))[:, None] + pairs)
        radius = torch.sqrt(-2 * torch.log(_unit(keys)))
        angle = 2 * math.pi * _unit(keys << 32)
        return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def draws_of(index: Tensor, *, user: int, seed: int, epoch: int, purposes: tuple[str, ...]) -> Draws:
    """Give the pictures of a batch their random numbers.

    Args:
        index: int64 (batch,), the pictures' numbers in the data set, on any device.
        user: who draws, one of those above.
        seed: of the run.
        epoch: from 0.
        purposes: what numbers are drawn for.
    """
    run = _hash(torch.tensor(seed))  # on the CPU, and so is the next: no GPU is waited for
    return Draws(_hash(_hash(run + epoch + user * _MOST_EPOCHS) + index), purposes)


def _hash(keys: Tensor) -> Tensor:
    """Mix 64 bits so that neighbouring keys have nothing in common: SplitMix64."""
    keys = keys * _GOLDEN_RATIO + _GOLDEN_RATIO
    keys = (keys ^ _shifted(keys, 30)) * _HASH_MULTIPLIERS[0]
    keys = (keys ^ _shifted(keys, 27)) * _HASH_MULTIPLIERS[1]
    return keys ^ _shifted(keys, 31)


def _shifted(keys: Tensor, bits: int) -> Tensor:
    """Shift to the right and fill with zeros; torch's own shift copies the sign."""
    return (keys >> bits) & ((1 << (64 - bits)) - 1)


def _unit(keys: Tensor) -> Tensor:
    """Turn 64 bits into a number above 0 and below 1: 23 of them, and a half, which float32 holds exactly."""
    return (_shifted(keys, 41).float() + 0.5) / 2**23
