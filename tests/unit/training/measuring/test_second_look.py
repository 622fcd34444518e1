"""What the service's second look would win, measured on pictures."""

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from models.calibration import Calibration
from models.graph import Graph, answer
from models.networks.fast import FastNetwork
from models.preprocessing import InputSpec
from models.views import six_views, together
from training.measuring.second_look import look_again, measure_second_look, second_look_line

SPEC = InputSpec(height=12, width=12)


@pytest.fixture
def graph() -> Graph:
    """A network that has learnt nothing, with two classes."""
    torch.manual_seed(0)
    network = FastNetwork(classes=2, spec=SPEC, widths=(4, 4, 4))
    return Graph(network.eval(), None).eval()


@pytest.fixture
def images() -> Tensor:
    """Forty pictures of noise."""
    return torch.randint(0, 256, (40, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mirrors", [True, False])
def test_looking_again_is_joining_the_answers_to_all_views(graph: Graph, images: Tensor, mirrors: bool) -> None:
    """Of each picture by itself, as in the service."""
    found = look_again(graph, images[:3], mirrors=mirrors, console=Console(quiet=True))
    for image, row in zip(images[:3], found, strict=True):
        views = six_views(image[None], mirrors=mirrors)
        rows = np.concatenate([answer(graph, view.numpy()) for _, view in views])
        assert row.numpy() == pytest.approx(together(rows, [weight for weight, _ in views], classes=2), abs=1e-6)


def test_only_what_is_not_sure_is_looked_at_again(graph: Graph, images: Tensor) -> None:
    """The figures are those of the answers in the end; a picture that was sure keeps its first one."""
    first = torch.from_numpy(answer(graph, images.numpy()))
    threshold = float(first.amax(1).median())
    again = look_again(graph, images, mirrors=True, console=Console(quiet=True))
    unsure = first.amax(1) < threshold
    answers = torch.where(unsure[:, None], again, first)
    targets = again.argmax(1)
    found = measure_second_look(
        graph,
        images,
        targets,
        first=first,
        distances=None,
        calibration=Calibration(abstain_threshold=threshold),
        mirrors=True,
        console=Console(quiet=True),
    )
    assert found is not None
    stands = answers.amax(1) >= threshold
    right = answers.argmax(1) == targets
    assert found.share == pytest.approx(float(unsure.double().mean()))
    assert found.accuracy == pytest.approx(float(right.double().mean()))
    assert found.accepted == pytest.approx(float(stands.double().mean()))
    assert found.accuracy_of_accepted == pytest.approx(float(right[stands].double().mean()))
    assert f"With a second look (GLIMPSE_SECOND_LOOK): {100 * found.accuracy:.2f} %" in second_look_line(found)


def test_a_model_that_never_abstains_never_looks_again(graph: Graph, images: Tensor) -> None:
    """There is nothing to measure."""
    first = torch.from_numpy(answer(graph, images.numpy()))
    targets = torch.zeros(len(images), dtype=torch.int64)
    found = measure_second_look(
        graph,
        images,
        targets,
        first=first,
        distances=None,
        calibration=Calibration(),
        mirrors=True,
        console=Console(quiet=True),
    )
    assert found is None
