"""The graph that an engine runs: logits, and the distance where there is one."""

import numpy as np
import pytest
import torch
from torch import nn

from models import golden
from models.classifier import answer, probabilities_of
from models.distance import ClassDistance
from models.graph import Graph
from models.networks import ARCHITECTURES, Architecture, build
from models.preprocessing import InputSpec


def _distance(*, features: int) -> ClassDistance:
    random = torch.Generator().manual_seed(0)
    return ClassDistance(
        center=torch.rand(features, generator=random),
        whitening=torch.randn(features, features, generator=random),
        means=torch.randn(3, features, generator=random),
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_shows_the_features_that_its_logits_come_from(name: str) -> None:
    """`logits` of `features` is the forward pass, to the bit."""
    network = build(Architecture(name), classes=4, spec=InputSpec(), temperature=0.7).eval()
    images = torch.from_numpy(golden.draw(32, 32))
    features = network.features(images)  # type: ignore[operator]
    assert features.ndim == 2
    assert torch.equal(network.logits(features), network(images))  # type: ignore[operator]


def test_the_answers_end_with_the_distance(network: nn.Module) -> None:
    """Probabilities are the network's own, to the bit, and one column is added."""
    images = golden.draw(32, 32)
    distance = _distance(features=84)
    answers = answer(Graph(network.eval(), distance), images)
    assert answers.shape == (8, 4)
    assert answers.dtype == np.float32
    assert np.array_equal(answers[:, :3], probabilities_of(network, images))
    with torch.inference_mode():
        expected = distance(network.features(torch.from_numpy(images)))  # type: ignore[operator]
    assert np.array_equal(answers[:, 3:], expected.numpy())


def test_without_a_distance_the_answers_are_the_probabilities(network: nn.Module) -> None:
    """No column is added."""
    images = golden.draw(32, 32)
    assert np.array_equal(answer(Graph(network.eval(), None), images), probabilities_of(network, images))
