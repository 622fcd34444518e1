"""Each demo shows what it is for, and the process is as it was before."""

import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.tensors import scripts
from app.tensors.catalogue import CPU, DEMOS, Devices
from app.tensors.lab import DemoRun, Served, demos, run_demo
from app.tensors.runner import Step
from app.tensors.runner import run as run_script
from app.tensors.snapshots import WITHHELD, Snapshot
from models.checkpoint import CHECKPOINTS, load


@pytest.fixture
def served(checkpoint_path: Path) -> Served:
    """The tiny checkpoint."""
    return Served(checkpoint_path.name, load(checkpoint_path))


def _run(name: str, **values: Any) -> DemoRun:
    return run_demo(name, values, None)


def _shots(run: DemoRun, title: str) -> dict[str, Snapshot]:
    (step,) = (step for step in run.steps if step.title == title)
    return {shot.name: shot for shot in step.tensors}


def _output(run: DemoRun, title: str) -> str:
    return next(step.output for step in run.steps if step.title == title)


def _told(steps: Sequence[Step]) -> str:
    """All that a run tells of numbers."""
    return repr([(step.output, [shot.values for shot in step.tensors]) for step in steps])


def test_demos_are_described() -> None:
    """Each with title, summary, and a default for every parameter."""
    described = demos(CPU)
    assert [demo.name for demo in described] == list(DEMOS)
    for demo in described:
        assert demo.title
        assert demo.summary
        assert demo.defaults.keys() == demo.parameters.keys()
    assert described[0].defaults == {"rows": 5, "columns": 3, "dtype": "float32", "seed": 0, "device": "cpu"}


def test_values_reach_code_and_tensors() -> None:
    """The code says what ran, and the answer names every value."""
    run = _run("creation", rows=2, dtype="float64")
    assert run.parameters == {"rows": 2, "columns": 3, "dtype": "float64", "seed": 0, "device": "cpu"}
    assert "\nrows = 2\ncolumns = 3\ndtype = torch.float64\n" in run.code
    assert _shots(run, "Zeros")["zeros"].shape == (2, 3)
    assert _shots(run, "Zeros")["zeros"].dtype == "torch.float64"
    assert run.torch == torch.__version__
    assert run.duration_ms >= sum(step.duration_ms for step in run.steps) > 0


def test_a_seed_repeats_its_numbers() -> None:
    """And another gives others."""
    title = "Random numbers between 0 and 1"
    once, again, other = (_shots(_run("creation", seed=seed), title)["uniform"].values for seed in (3, 3, 4))
    assert once == again != other


def test_nothing_of_the_process_changes(served: Served) -> None:
    """Random numbers, print options, dtype, grad mode and threads are what they were, after all demos."""
    run_demo("dynamic-graph", {}, None)  # what is imported once is there now

    def state() -> list[object]:
        return [
            torch.get_rng_state().tolist(),
            repr(np.random.get_state()),
            random.getstate(),
            repr(vars(torch._tensor_str.PRINT_OPTS)),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            threading.active_count(),
            repr(np.get_printoptions()),
            Path.cwd(),
        ]

    before = state()
    for name in DEMOS:
        run_demo(name, {}, served)
    assert state() == before


def test_uninitialised_memory_never_leaves() -> None:
    """All new memory is filled with NaN here: without the mark the answer would show it, with it there is none."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)  # with it PyTorch fills new memory with NaN
    try:
        assert torch.empty(3).isnan().all()
        run, other = _run("creation"), _run("arithmetic")
        text = (
            scripts.read("creation")
            .text.replace(" [withheld: x]", "")
            .replace("print(x.shape", "print(x, x.shape")
        )
        leaky = run_script(scripts.parse(text), {})
    finally:
        torch.use_deterministic_algorithms(before)
    assert "nan" in _told(leaky)
    for steps in (run.steps, other.steps):
        assert "nan" not in _told(steps)
    shot = _shots(run, "Uninitialised memory")["x"]
    assert (shot.values, shot.note, shot.shape) == (None, WITHHELD, (5, 3))
    assert _output(run, "Uninitialised memory") == "torch.Size([5, 3]) torch.float32 cpu\n"


def test_data_of_your_own() -> None:
    """The tutorial's `torch.tensor([5.5, 3])`."""
    run = _run("creation")
    assert _output(run, "From your own data").startswith("tensor([5.5000, 3.0000]) torch.float32\n")


def test_all_syntaxes_add_alike() -> None:
    """Four ways, equal numbers, four memories."""
    run = _run("arithmetic")
    assert _output(run, "All of them agree") == "True True True\n"
    shots = _shots(run, "All of them agree")
    assert len({shot.memory for shot in shots.values()}) == 4
    assert len({repr(shot.values) for shot in shots.values()}) == 1
    assert _shots(run, "Broadcasting copies nothing")["expanded"].strides == (0, 1)


@pytest.mark.parametrize(
    "values", [{}, {"rows": 1, "columns": 1}, {"rows": 7, "columns": 1}, {"rows": 16, "columns": 16}]
)
def test_shapes_that_do_not_fit_are_told_by_pytorch(values: dict[str, Any]) -> None:
    """Whatever the parameters are: its own error, not ours, and no result."""
    run = _run("arithmetic", **values)
    assert "must match the size of tensor b" in _output(run, "Shapes that cannot be added")
    assert "cannot be multiplied" in _output(run, "Shapes that cannot be multiplied")


def test_views_share_and_reshape_may_copy() -> None:
    """4×4 → 16 → 2×8 with -1, `view` fails on the transpose, `reshape` copies it and nothing else."""
    run = _run("reshaping")
    assert _shots(run, "One long row")["flat"].shape == (16,)
    wide = _shots(run, "A size that PyTorch infers")["wide"]
    assert wide.shape == (2, 8)
    assert set(wide.shares_memory_with) == {"x", "flat"}
    assert _output(run, "Three names, one memory") == "99 99 0\n"
    assert _shots(run, "Transpose")["turned"].strides == (1, 4)
    assert "view size is not compatible" in _output(run, "Where view fails")
    shots = _shots(run, "Where reshape copies")
    assert "x" in shots["same"].shares_memory_with
    assert shots["fresh"].shares_memory_with == ()
    assert _output(run, "Where reshape copies") == "0 99\nTrue\nFalse\n"


@pytest.mark.parametrize("rows", [2, 16])
@pytest.mark.parametrize("columns", [2, 3, 16])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_reshaping_holds_for_other_shapes(rows: int, columns: int, dtype: str) -> None:
    """The case that fails fails in all of them."""
    run = _run("reshaping", rows=rows, columns=columns, dtype=dtype)
    assert "view size is not compatible" in _output(run, "Where view fails")


def test_the_bridge_goes_both_ways() -> None:
    """Array and tensor share in both directions, a change is seen on the other side, and a copy does not share."""
    run = _run("numpy-bridge")
    shots = _shots(run, "The tensor changes, and the array with it")
    assert shots["a"].values == shots["b"].values == [2.0] * 5
    shots = _shots(run, "From tensor to array")
    assert (shots["a"].shares_memory_with, shots["b"].shares_memory_with) == (("b",), ("a",))
    assert (shots["a"].kind, shots["b"].kind) == ("tensor", "array")
    shots = _shots(run, "The array changes, and the tensor with it")
    assert shots["c"].values == shots["d"].values == [2.0] * 5
    assert shots["c"].shares_memory_with == ("d",)
    shots = _shots(run, "The copy that does not share")
    assert {name: shot.values for name, shot in shots.items()} == {
        "c": [3.0] * 5,
        "d": [3.0] * 5,
        "e": [2.0] * 5,
        "f": [2.0] * 5,
    }
    assert shots["e"].shares_memory_with == shots["f"].shares_memory_with == ()
    assert _output(run, "A CUDA tensor must come home first").startswith("It is at home already.\n")


def test_another_input_leaves_another_graph() -> None:
    """As many doublings as the story tells, each a node; only the branch that was taken is there."""
    run = _run("dynamic-graph")
    graphs = [step.graph for step in run.steps if step.graph]
    stories = [step.output.splitlines() for step in run.steps if "doublings" in step.output]
    assert len(graphs) == 2
    assert graphs[0] != graphs[1]
    for graph, text in zip(graphs, (stories[0][0], stories[1][0]), strict=True):
        labels = [node.label for node in graph.nodes]
        doublings = int(text.split()[1].rstrip(","))
        assert labels.count("MulBackward0") == doublings + 1
        assert ("PowBackward0" in labels) == ("squares" in text)
        assert ("TanhBackward0" in labels) == ("tanh" in text)
        assert [node.label for node in graph.nodes if node.kind == "leaf"] == ["weight"]


@pytest.mark.parametrize(("size", "seed"), [(8, 179), (8, 334), (8, 339), (4, 816)])
def test_rounding_does_not_swamp_a_small_slope(size: int, seed: int) -> None:
    """A large loss leaves more rounding in a difference than a slope near zero is allowed to be wrong by."""
    run = _run("dynamic-graph", size=size, target=1000.0, most_steps=12, seed=seed)
    assert _output(run, "Checked by hand").endswith("\nTrue\n")
    assert _output(run, "Checked by PyTorch") == "True\n"


@pytest.mark.parametrize("rows", [1, 2])
def test_only_more_than_one_row_is_repeated(rows: int) -> None:
    """With one row there is nothing to repeat, and no stride of 0."""
    strides = _shots(_run("arithmetic", rows=rows), "Broadcasting copies nothing")["expanded"].strides
    assert (strides[0] == 0) == (rows > 1)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 9_999])
@pytest.mark.parametrize(
    "values", [{}, {"size": 1, "target": 0.1, "most_steps": 0}, {"size": 8, "target": 1000.0, "most_steps": 12}]
)
def test_gradients_agree_with_differences(seed: int, values: dict[str, Any]) -> None:
    """By hand and by gradcheck, whatever path the data took."""
    run = _run("dynamic-graph", seed=seed, **values)
    assert _output(run, "Checked by hand").endswith("\nTrue\n")
    assert _output(run, "Checked by PyTorch") == "True\n"


def test_devices_is_honest_without_cuda() -> None:
    """CPU times are there, CUDA times are NaN, there is no crossover; no text denies a GPU that is left alone."""
    run = _run("devices", largest=64, repeats=1)
    assert _shots(run, "Setup")["sizes"].values == [32, 64]
    times = _shots(run, "On the CPU")["cpu_ms"].values
    assert isinstance(times, list)
    assert all(0 < time < 1_000 for time in times)
    assert _shots(run, "On CUDA")["cuda_ms"].values == ["nan", "nan"]
    assert _shots(run, "The crossover")["crossover"].values == []
    assert _output(run, "On CUDA") == "No CUDA device is used here, so there is nothing to compare with.\n"
    assert "use_cuda = False" in run.code
    assert "here is no CUDA device" not in run.code
    assert _output(run, "Equal, but not to the bit") == "True\n"


def test_anatomy_ends_with_the_answer_of_the_server() -> None:
    """For the shipped checkpoint, whose floor lies between the network and its probabilities."""
    served = Served("cifar10.safetensors", load(CHECKPOINTS / "cifar10.safetensors"))
    shot = _shots(run_demo("anatomy", {"picture": 3}, served), "The answer")["probabilities"]
    np.testing.assert_allclose(np.array(shot.values), served.checkpoint.golden_probabilities[[3]], atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", [name for name in DEMOS if "device" in DEMOS[name]])
def test_on_cuda_every_demo_runs(name: str) -> None:
    """Its tensors are there, and the bridge says why one must come home first."""
    run = run_demo(name, {"device": "cuda"}, None, Devices("cuda", ("cpu", "cuda")))
    assert any(shot.device.startswith("cuda") for step in run.steps for shot in step.tensors)
    if name == "numpy-bridge":
        assert "can't convert cuda" in _output(run, "A CUDA tensor must come home first")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_devices_times_both() -> None:
    """One time for each size and device, and equal results."""
    run = run_demo("devices", {"largest": 128}, None, Devices("cuda", ("cpu", "cuda")))
    times = _shots(run, "On CUDA")["cuda_ms"].values
    assert isinstance(times, list)
    assert all(0 < time < 1_000 for time in times)
    assert _output(run, "Equal, but not to the bit") == "True\n"
