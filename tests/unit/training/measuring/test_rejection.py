"""How well pictures of the classes are told from others."""

import torch
from torch import Tensor, nn

from models.calibration import Calibration
from models.distance import ClassDistance
from models.graph import Graph
from tests.networks import Headless
from training.measuring.rejection import Separation, measure_rejection


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
