"""What torch.compile is given, and, where there is a C++ compiler, what comes of it."""

import shutil
import sysconfig
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.networks import Architecture
from models.preprocessing import InputSpec
from training.devices import Computing
from training.fresh import fresh_network


def test_kernels_are_made_for_each_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second one on PyTorch would make a single kernel for any size, which is slower."""
    shapes: list[object] = []

    def note(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        shapes.append(
            [tuple(node.meta["example_value"].shape) for node in graph.graph.find_nodes(op="placeholder")]
        )
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=note))
    network = Computing(torch.device("cpu"), torch.float32, is_compiled=True).compiled(nn.GELU())
    for side in (24, 28, 32, 24):
        network(torch.zeros(2, 3, side, side))
    assert shapes == [[(2, 3, side, side)] for side in (24, 28, 32)]


_HEADER = Path(sysconfig.get_path("include"), "Python.h")


@pytest.mark.skipif(shutil.which("g++") is None or not _HEADER.exists(), reason="no C++ compiler, or no Python.h")
def test_compiled_kernels_send_a_gradient_to_where_the_highest_value_was() -> None:
    """In bfloat16, too: they compute the maps anew and unrounded, so none would be equal to the saved maximum."""
    spec = InputSpec(height=16, width=16)
    images = torch.randint(0, 256, (8, 16, 16, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    gradients = []
    for is_compiled in (False, True):
        torch.manual_seed(0)
        computing = Computing(torch.device("cpu"), torch.bfloat16, is_compiled)
        network = fresh_network(
            Architecture("fast", {"widths": (8,)}), classes=3, spec=spec, device=computing.device
        ).train()
        with computing.autocast():
            logits = computing.compiled(network)(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), torch.arange(8) % 3)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append(network.get_parameter("groups.0.norm2.bias").grad)
    eager, compiled = gradients
    torch.testing.assert_close(compiled, eager, rtol=0.05, atol=0.002)
