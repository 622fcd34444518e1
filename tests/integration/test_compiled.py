"""What torch.compile is given; the kernels themselves need a C++ compiler or a GPU."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from training.devices import Computing


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
