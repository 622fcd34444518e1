"""How well pictures of the classes are told from others."""

import pytest
import torch
from torch import Tensor, nn

from models.calibration import Calibration
from models.distance import ClassDistance
from models.graph import Graph
from tests.networks import Headless
from training.measuring.rejection import (
    Rejection,
    Separation,
    auroc,
    false_acceptance,
    measure_rejection,
    rejection_lines,
)


class _RedOrGreen(Headless):
    """Sees how much red and green the first pixel has."""

    def __init__(self) -> None:
        super().__init__(classes=2)
        self.scale = nn.Parameter(torch.tensor(0.01))

    def features(self, images: Tensor) -> Tensor:
        return images[:, 0, 0, :2].float() * self.scale


def _pictures(*colours: tuple[int, int]) -> Tensor:
    return torch.tensor([[[[red, green, 0]]] for red, green in colours], dtype=torch.uint8)


def test_who_looks_unsurer_and_farther_than_all_is_told_from_them_by_both() -> None:
    """Red and green pictures are the classes, yellow ones are between: none of these passes for one of them."""
    graph = Graph(_RedOrGreen(), ClassDistance(torch.zeros(2), torch.eye(2), torch.eye(2)))
    inside = _pictures((200, 0), (210, 10), (0, 190), (5, 180), (220, 20))
    outside = {"yellow": _pictures((60, 60), (90, 80), (50, 70))}
    found = measure_rejection(graph, inside, outside, Calibration())["yellow"]
    told = Separation(auroc=1.0, false_acceptance=0.0)
    assert (found.score, found.distance, found.both) == (told, told, told)


def test_a_table_has_no_column_for_what_the_checkpoint_has_not() -> None:
    """All would be accepted where there is no rule, and a dash is no distance."""
    half = Separation(auroc=0.5, false_acceptance=0.25)
    full = rejection_lines({"tiles": Rejection(half, half, half, accepted=0.125)}, may_abstain=True)
    assert full[1:] == [
        "AUROC / FPR95, %   score         distance      both          accepted by the rule",
        "           tiles :  50.0 / 25.0   50.0 / 25.0   50.0 / 25.0   12.5 %",
    ]
    bare = rejection_lines({"tiles": Rejection(half, None, None, accepted=1.0)}, may_abstain=False)
    assert bare[1:] == ["AUROC / FPR95, %   score", "           tiles :  50.0 / 25.0"]
    for lines in (full, bare):
        assert lines[0].startswith("AUROC: how often a picture of the classes looks surer than one of that kind")
        assert "FPR95: how many of that kind look as sure as 95 % of the classes' pictures do" in lines[0]


def test_auroc_counts_pairs() -> None:
    """Of six pairs five are in order and one is a tie: 5.5 of 6."""
    assert auroc(torch.tensor([3.0, 2.0]), torch.tensor([2.0, 1.0, 0.0])) == pytest.approx(5.5 / 6)


@pytest.mark.parametrize(("shift", "expected"), [(10.0, 1.0), (-10.0, 0.0), (0.0, 0.5)])
def test_auroc_of_the_extremes(shift: float, expected: float) -> None:
    """All surer is 1, all less sure 0, no difference one half."""
    outside = torch.linspace(0, 1, 101)
    assert auroc(outside + shift, outside) == pytest.approx(expected)


def test_false_acceptance_is_counted_where_95_of_100_pass() -> None:
    """Scores 1 to 100: the threshold is 6, which three of four outliers reach."""
    inside = torch.arange(1.0, 101)
    assert false_acceptance(inside, torch.tensor([5.0, 6.0, 50.0, 200.0])) == 0.75
