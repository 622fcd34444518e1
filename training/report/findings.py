"""The numbers of a report, computed from a network's probabilities and the truth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.reliability import CALIBRATION_BINS

_NORMAL_95 = 1.959964
"""Deviations that hold 95 % of a normal distribution."""
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
"""Shares of the pictures, most confident first, that the report writes out."""


@dataclass(frozen=True)
class Interval:
    """A share that was counted, and where the true one lies with 95 % confidence; all in 0…1."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class ScoreBin:
    """Answers whose score lies between two bounds.

    Attributes:
        low: bound, not included.
        high: bound, included.
        count: of answers.
        score: their mean; 0 where there are none.
        accuracy: of them; 0 where there are none.
    """

    low: float
    high: float
    count: int
    score: float
    accuracy: float


@dataclass(frozen=True)
class Coverage:
    """What is right of the most confident answers.

    Attributes:
        share: of the pictures that are answered.
        threshold: the lowest score among them.
        right: answers.
        count: of pictures.
    """

    share: float
    threshold: float
    right: int
    count: int


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


def interval(hits: int, n: int) -> Interval:
    """Give a share with Wilson's interval, which stays right near 0 and 1 and for few pictures.

    Args:
        hits: 0…n.
        n: at least 1.
    Source:
        Wilson, 1927; Brown, Cai & DasGupta, 2001, recommend it for small n.
    """
    share, square = hits / n, _NORMAL_95**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    reach = _NORMAL_95 / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach))


def reliability(probabilities: Tensor, targets: Tensor) -> list[ScoreBin]:
    """Sort answers into bins of equal width by their score: a calibrated classifier is right as often as it says.

    Args:
        probabilities: float (n, classes).
        targets: int64 (n,).
    """
    scores, guesses = probabilities.double().max(1)
    right = (guesses == targets).double()
    place = (scores * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    count, score, accuracy = (
        torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add(0, place, values)
        for values in (torch.ones_like(scores), scores, right)
    )
    filled = count.clamp_min(1)
    return [
        ScoreBin(i / CALIBRATION_BINS, (i + 1) / CALIBRATION_BINS, int(n), mean, share)
        for i, (n, mean, share) in enumerate(
            zip(count.tolist(), (score / filled).tolist(), (accuracy / filled).tolist(), strict=True)
        )
    ]


def coverage_curve(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Accuracy of the k most confident answers, for k from 1 to n: float64 (n,)."""
    _, right = _most_confident_first(probabilities, targets)
    return right.cumsum(0) / torch.arange(1, len(right) + 1)


def coverage_points(probabilities: Tensor, targets: Tensor) -> list[Coverage]:
    """Give the accuracy at each of `COVERAGES`; shares that stand for the same number of pictures count once."""
    scores, right = _most_confident_first(probabilities, targets)
    counts = dict.fromkeys(max(1, round(share * len(right))) for share in COVERAGES)
    return [Coverage(k / len(right), float(scores[k - 1]), int(right[:k].sum()), k) for k in counts]


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


def _most_confident_first(probabilities: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    scores, guesses = probabilities.max(1)
    order = scores.argsort(descending=True, stable=True)
    return scores[order], (guesses == targets)[order].double()


def _cases(probabilities: Tensor, targets: Tensor, *, right: bool) -> list[Case]:
    """All answers that are right, or all that are wrong, the most confident first."""
    scores, guesses = probabilities.max(1)
    places = torch.nonzero((guesses == targets) == right).flatten()
    places = places[scores[places].argsort(descending=True, stable=True)]
    columns = (places, targets[places], guesses[places], scores[places])
    return [Case(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
