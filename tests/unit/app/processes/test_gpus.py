"""Which GPU each process is shown; there need be none here."""

import contextlib
import os

import pytest

from app.processes.gpus import names_of, shown_to_children

VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("count", "chosen", "names"),
    [
        (3, None, ["0", "1", "2"]),
        (2, "2,5", ["2", "5"]),
        (2, "GPU-8932f937, GPU-46b13e5d", ["GPU-8932f937", "GPU-46b13e5d"]),
        (1, "1,9", ["1"]),  # there is no tenth
        (0, "", []),
        (0, None, []),
    ],
)
def test_gpus_are_named_as_the_operator_names_them(count: int, chosen: str | None, names: list[str]) -> None:
    """Those of CUDA_VISIBLE_DEVICES that CUDA has found, else all by their number."""
    assert names_of(count, {} if chosen is None else {VISIBLE: chosen}) == names


@pytest.mark.parametrize("before", [None, "4,6"])
def test_each_child_sees_one_by_turns(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    """And this process what it saw before, whatever comes of the start."""
    monkeypatch.delenv(VISIBLE, raising=False)
    if before is not None:
        monkeypatch.setenv(VISIBLE, before)
    seen = []
    for slot in range(5):
        with contextlib.suppress(OSError), shown_to_children(["4", "6"], slot):
            seen.append(os.environ[VISIBLE])
            raise OSError("no memory for another process")
        assert os.environ.get(VISIBLE) == before
    assert seen == ["4", "6", "4", "6", "4"]


@pytest.mark.parametrize("gpus", [[], ["3"]])
def test_where_there_is_no_choice_nothing_is_hidden(monkeypatch: pytest.MonkeyPatch, gpus: list[str]) -> None:
    """A child finds what this process finds."""
    monkeypatch.delenv(VISIBLE, raising=False)
    with shown_to_children(gpus, 1):
        assert VISIBLE not in os.environ
