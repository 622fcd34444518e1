"""What torch.compile is given, and, where there is a C++ compiler, what comes of it."""

import shutil
import sysconfig
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.networks import Architecture
from models.preprocessing import InputSpec
from training.data.dataset import Dataset, Split
from training.devices import Computing
from training.fresh import fresh_network
from training.minutes import choose_epochs
from training.plan import Plan
from training.recipes import FAST


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


def test_what_is_compiled_for_timing_takes_no_place_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch compiles only so many variants of a network, here one, and runs all further ones uncompiled."""
    made: list[torch.fx.GraphModule] = []

    def note(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        made.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=note))
    recipe = replace(
        FAST, architecture=Architecture("fast", {"widths": (4,)}), batch_size=4, resolutions=((1.0, 1.0),)
    )
    split = Split(torch.zeros(4, 16, 16, 3, dtype=torch.uint8), torch.arange(4))
    plan = Plan(
        Dataset("made", ("a", "b", "c", "d"), split, split),
        recipe,
        InputSpec(height=16, width=16),
        configuration={},
        start=None,
        wanted=None,
        commit="",
    )
    computing = Computing(torch.device("cpu"), torch.float32, is_compiled=True)
    torch.compiler.reset()  # what other tests have compiled counts, too
    with torch._dynamo.config.patch(recompile_limit=1):
        choose_epochs(plan, 1.0, seed=0, computing=computing, tell=lambda _: None, clock=lambda: 0.0)
        graphs = len(made)
        choose_epochs(plan, 1.0, seed=0, computing=computing, tell=lambda _: None, clock=lambda: 0.0)
    assert len(made) == 2 * graphs > 0


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
        loss.backward()
        gradients.append(network.get_parameter("groups.0.norm2.bias").grad)
    eager, compiled = gradients
    torch.testing.assert_close(compiled, eager, rtol=0.05, atol=0.002)
