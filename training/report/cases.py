"""The pictures and pairs of classes that a report picks out of all answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One picture with its answer.

    Attributes:
        place: in the split.
        truth: class.
        guess: class.
        score: of the guess.
    """

    place: int
    truth: int
    guess: int
    score: float


@dataclass(frozen=True)
class Confusion:
    """How often one class was taken for another."""

    truth: int
    guess: int
    count: int


def confident_mistakes(probabilities: Tensor, targets: Tensor, *, most: int) -> list[Case]:
    """Find the wrong answers with the highest scores: they tell of wrong labels and of what was not learnt."""
    return _cases(probabilities, targets, right=False)[:most]


def unsure_hits(probabilities: Tensor, targets: Tensor, *, most: int) -> list[Case]:
    """Find the right answers with the lowest scores: the next to be lost."""
    return _cases(probabilities, targets, right=True)[::-1][:most]


def confusions(matrix: Sequence[Sequence[int]], *, most: int) -> list[Confusion]:
    """List what is taken for what, the most frequent first.

    Args:
        matrix: rows are true classes, columns predicted ones.
        most: how many to return.
    """
    found = [
        Confusion(truth, guess, count)
        for truth, row in enumerate(matrix)
        for guess, count in enumerate(row)
        if truth != guess and count
    ]
    return sorted(found, key=lambda confusion: -confusion.count)[:most]


def _cases(probabilities: Tensor, targets: Tensor, *, right: bool) -> list[Case]:
    """All answers that are right, or all that are wrong, the most confident first."""
    scores, guesses = probabilities.max(1)
    places = torch.nonzero((guesses == targets) == right).flatten()
    places = places[scores[places].argsort(descending=True, stable=True)]
    columns = (places, targets[places], guesses[places], scores[places])
    return [Case(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
