"""A script runs cell by cell in a namespace of its own, and leaves nothing behind."""

import gc
import sys
import traceback
import weakref

import pytest
import torch

from app.tensors import scripts
from app.tensors.runner import run
from app.tensors.snapshots import WITHHELD

HEAD = '"""T\n\nS.\n"""\n\n# %% Setup\n# Why.\nimport torch\n\nrows = 2\n\n'


def test_steps_follow_the_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with what it printed and the tensors that it names, as they were after it; stdout hears nothing."""
    script = scripts.parse(
        HEAD + "# %% One\n# Why.\na = torch.zeros(rows)\nprint(a, 1, sep='-', end='!')\n\n"
        "# %% Two\n# Why.\nb = a.view(1, rows)\nb.add_(1)\n"
    )
    setup, one, two = run(script, {})
    assert (setup.output, one.output, two.output) == ("", "tensor([0., 0.])-1!", "")
    assert (one.title, one.explanation, one.code) == (script.cells[1].title, "Why.", script.cells[1].code)
    assert [(shot.name, shot.values) for shot in one.tensors] == [("a", [0.0, 0.0])]
    assert [(shot.name, shot.values) for shot in two.tensors] == [("b", [[1.0, 1.0]]), ("a", [1.0, 1.0])]
    assert two.tensors[0].shares_memory_with == ("a",)
    assert {shot.memory for step in (one, two) for shot in step.tensors} == {"m1"}
    assert one.duration_ms >= 0
    assert capsys.readouterr().out == ""


def test_runs_do_not_see_each_other() -> None:
    """Each has a fresh namespace."""
    first = scripts.parse(HEAD + "# %% One\n# Why.\nleft = 1\n")
    second = scripts.parse(HEAD + "# %% One\n# Why.\nprint('left' in globals(), __name__)\n")
    run(first, {})
    assert run(second, {})[1].output == "False __main__\n"


def test_a_given_object_replaces_a_right_side() -> None:
    """It is not run, and what is shown stays as it is written."""
    script = scripts.parse(HEAD.replace("rows = 2", "rows = open('/nowhere')") + "# %% One\n# Why.\nprint(rows)\n")
    setup, one = run(script, {"rows": 7})
    assert one.output == "7\n"
    assert "rows = open('/nowhere')" in setup.code


def test_a_traceback_names_cell_and_line() -> None:
    """Of the script, as it is shown."""
    text = HEAD + "# %% It breaks\n# Why.\na = 1\nraise ValueError('so')\n"
    with pytest.raises(ValueError, match="so") as caught:
        run(scripts.parse(text), {})
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename == "<It breaks>"
    assert text.splitlines()[(last.lineno or 0) - 1] == "raise ValueError('so')"


def test_the_grad_mode_of_the_thread_does_not_matter() -> None:
    """A run has gradients as a fresh interpreter has, and the thread has its mode back afterwards."""
    script = scripts.parse(
        HEAD + "# %% One [graph: y]\n# Why.\nw = torch.ones(rows, requires_grad=True)\ny = (2 * w).sum()\n"
        "print(torch.is_grad_enabled())\ntorch.set_grad_enabled(False)\n"
    )
    for mode in (torch.inference_mode(), torch.no_grad(), torch.enable_grad()):
        with mode:
            before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            _, one = run(script, {})
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
        assert one.output == "True\n"
        assert one.graph is not None
        assert [node.label for node in one.graph.nodes] == ["SumBackward0", "MulBackward0", "w"]


def test_marked_memory_is_withheld_for_the_whole_run() -> None:
    """Its numbers are in no step, though a later cell names it without a mark."""
    script = scripts.parse(
        HEAD
        + "# %% One [withheld: x]\n# Why.\nx = torch.full((rows,), 123.0)\n\n# %% Two\n# Why.\ny = x.view(-1, 1)\n"
    )
    steps = run(script, {})
    assert "123" not in repr([shot for step in steps for shot in step.tensors])
    assert [shot.note for shot in steps[2].tensors] == [WITHHELD, WITHHELD]


def test_nothing_is_held_after_a_run() -> None:
    """Functions hold their namespace, and that may hold a network, which must not wait for the collector."""

    class Large:
        pass

    large = Large()
    watched = weakref.ref(large)
    script = scripts.parse(HEAD + "# %% One\n# Why.\ndef use() -> object:\n    return rows\n\n\nkept = use()\n")
    gc.disable()
    try:
        run(script, {"rows": large})
        del large
        assert watched() is None
    finally:
        gc.enable()


def test_stdout_is_never_redirected() -> None:
    """It belongs to the whole process: other threads print, too."""
    script = scripts.parse(HEAD + "# %% One\n# Why.\nimport sys\n\nprint(id(sys.stdout))\n")
    _, one = run(script, {})
    assert one.output == f"{id(sys.stdout)}\n"
