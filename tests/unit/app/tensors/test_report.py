"""A run as text."""

import re

import pytest

from app.tensors.catalogue import CPU
from app.tensors.lab import DemoRun, demos, run_demo
from app.tensors.report import list_for_terminal, to_markdown, to_terminal


@pytest.fixture
def bridge() -> DemoRun:
    """A short demo."""
    return run_demo("numpy-bridge", {"rows": 2}, None)


def test_markdown_has_code_output_and_tensors(bridge: DemoRun) -> None:
    """With its values, and every fence closed."""
    text = to_markdown([bridge])
    assert text.startswith("# The tensor lab\n\n## The NumPy bridge\n\n")
    assert "With `rows = 2`, `dtype = float32`, `device = cpu`; torch " in text
    assert "### From tensor to array\n" in text
    assert "```python\na = torch.ones(rows, dtype=dtype)\nb = a.numpy()\n" in text
    assert "```text\ntensor([1., 1.])\n[1. 1.]\n```" in text
    assert "- b: array, 2, float32, cpu, strides [1], memory m1, shared with a, values [1, 1]\n" in text
    assert text.count("```") % 2 == 0


def test_times_and_edges_are_seen_in_both() -> None:
    """How long each step took, and each edge from what was computed first to the result."""
    run = run_demo("dynamic-graph", {}, None)
    edges = sum(len(step.graph.edges) for step in run.steps if step.graph)
    for text, bullet in ((to_markdown([run]), "- "), (to_terminal(run), "  ")):
        assert re.findall(r"Took (\d+\.\d{3}) ms\.", text) == [f"{step.duration_ms:.3f}" for step in run.steps]
        assert f"\n{bullet}weight → MulBackward0\n" in text
        assert text.count(" → ") == edges


def test_a_terminal_shows_all_of_a_step(bridge: DemoRun) -> None:
    """Title, explanation, code, output; prose is wrapped, and no line ends with blanks."""
    text = to_terminal(bridge)
    for part in (
        "From tensor to array\n---",
        "\n    b = a.numpy()\n",
        "\n  | [1. 1.]\n",
        "`numpy` makes an array",
    ):
        assert part in text
    assert max(len(line) for line in text.splitlines() if not line.startswith(" ")) <= 88
    assert not [line for line in text.splitlines() if line != line.rstrip() and not line.startswith("  |")]


def test_a_list_names_every_parameter() -> None:
    """As an option, with what is allowed and the default."""
    text = list_for_terminal(demos(CPU))
    assert "numpy-bridge: The NumPy bridge\n" in text
    assert "--most-steps  turns of the loop at most: a whole number from 0 to 12 (6)" in text


def test_times_of_devices_are_seen_in_both() -> None:
    """The devices demo prints none, so that its text can be repeated: they are in its tensors."""
    run = run_demo("devices", {"largest": 32, "repeats": 1}, None)
    for text in (to_markdown([run]), to_terminal(run)):
        assert re.search(r"cpu_ms: tensor, 1, float32, cpu, strides \[1\], memory m\d+, values \[\d", text)
