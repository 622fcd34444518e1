"""The graph that an engine runs: logits, and the distance where there is one."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import golden
from models.distance import ClassDistance
from models.graph import Graph, answer
from models.networks.network import Network
from tests.networks import Headless


def _distance(*, features: int) -> ClassDistance:
    random = torch.Generator().manual_seed(0)
    return ClassDistance(
        center=torch.rand(features, generator=random),
        whitening=torch.randn(features, features, generator=random),
        means=torch.randn(3, features, generator=random),
    )


def test_the_answers_end_with_the_distance(network: Network) -> None:
    """Probabilities are the network's own, to the bit, and one column is added."""
    images = golden.draw(32, 32)
    distance = _distance(features=84)
    answers = answer(Graph(network.eval(), distance), images)
    assert answers.shape == (8, 4)
    assert answers.dtype == np.float32
    with torch.inference_mode():
        logits = network(torch.from_numpy(images))
        expected = distance(network.features(torch.from_numpy(images)))
    assert np.array_equal(answers[:, :3], torch.softmax(logits, dim=1).numpy())
    assert np.array_equal(answers[:, 3:], expected.numpy())


@pytest.mark.parametrize("count", [1, 5])
def test_without_a_distance_the_answers_are_the_probabilities(network: Network, count: int) -> None:
    """No column is added; float32, one row an image, each adding up to 1."""
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    answers = answer(Graph(network.eval(), None), images)
    assert answers.dtype == np.float32
    assert answers.shape == (count, 3)
    assert (answers > 0).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)


def test_around_another_network_distance_and_floor_stay(network: Network) -> None:
    """Whoever answers as the network did is asked the same way, to the bit."""
    graph = Graph(network.eval(), _distance(features=84), floor=0.1)
    images = golden.draw(32, 32)
    assert np.array_equal(answer(graph.around(network), images), answer(graph, images))


class _Doubled(Headless):
    """Computes in float64, and insists on bytes."""

    def __init__(self) -> None:
        super().__init__(classes=3)
        self.last = nn.Linear(12, 3).double()

    def features(self, images: Tensor) -> Tensor:
        assert images.dtype == torch.uint8
        features: Tensor = self.last(images.flatten(1).double())
        return features


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    """Whatever dtype the network computes in, they come back as float32."""
    network, images = _Doubled(), golden.draw(2, 2)
    logits = network(torch.from_numpy(images)).detach().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    answers = answer(Graph(network, None), images)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_answers_are_float32_under_autocast(network: Network) -> None:
    """As on CUDA in float16: the softmax and the distance are taken in float32, and rounded no more."""
    images = torch.from_numpy(golden.draw(32, 32))
    graph = Graph(network.eval(), _distance(features=84))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits, distance = graph(images)
        answers = graph.answers(images)
    assert logits.dtype == torch.bfloat16
    assert answers.dtype == torch.float32
    assert torch.equal(answers, torch.cat([torch.softmax(logits.float(), dim=1), distance], dim=1))
