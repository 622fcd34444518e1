"""The numbers of a report, against counting by hand."""

import pytest
import torch

from training.report.cases import (
    Confusion,
    confident_mistakes,
    confusions,
    unsure_hits,
)

PROBABILITIES = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.42, 0.58], [0.3, 0.7], [0.55, 0.45]])
TARGETS = torch.tensor([0, 1, 1, 0, 0])  # right, wrong, right, wrong, right


def test_extremes_are_the_worst_first() -> None:
    """The most confident mistake and the least confident hit lead their lists."""
    mistakes = confident_mistakes(PROBABILITIES, TARGETS, most=5)
    assert [(case.place, case.truth, case.guess) for case in mistakes] == [(1, 1, 0), (3, 0, 1)]
    assert [case.place for case in unsure_hits(PROBABILITIES, TARGETS, most=2)] == [4, 2]
    assert confident_mistakes(PROBABILITIES, TARGETS, most=1)[0].score == pytest.approx(0.8)


def test_the_commonest_confusion_leads() -> None:
    """The diagonal and empty cells are no confusion."""
    matrix = ((5, 1, 0), (3, 9, 0), (0, 2, 7))
    assert confusions(matrix, most=2) == [Confusion(1, 0, 3), Confusion(2, 1, 2)]
