"""The file that a training goes on from."""

import math
import pickle
from pathlib import Path

import pytest
import torch

from training.errors import TrainingError
from training.state import is_finite, read_state, write_state

CPU = torch.device("cpu")


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    """Tensors to the bit, with dtype and memory order; numbers, texts and nested containers."""
    weights = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    state = {"network": {"w": weights}, "step": 7, "seconds": 0.1, "slow": None, "texts": ["a", {"b": 2}]}
    write_state(tmp_path / "state.pt", state)
    back = read_state(tmp_path / "state.pt", device=CPU)
    assert back is not None
    assert torch.equal(back["network"]["w"], weights)
    assert back["network"]["w"].is_contiguous(memory_format=torch.channels_last)
    assert {key: back[key] for key in ("step", "seconds", "slow", "texts")} == {
        key: state[key] for key in ("step", "seconds", "slow", "texts")
    }


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_found_wherever_it_is(broken: float) -> None:
    """In a tensor of any depth and dtype, or beside them; texts, whole numbers and None are fine."""
    fine = {"step": 7, "slow": None, "text": "nan", "network": {"w": torch.zeros(2), "count": torch.tensor(3)}}
    assert is_finite(fine)
    assert not is_finite(fine | {"seconds": broken})
    assert not is_finite(fine | {"selector": {"network": {"w": torch.tensor([0.0, broken])}}})
    assert not is_finite(fine | {"optimizers": [{"state": {0: (torch.tensor(broken, dtype=torch.bfloat16),)}}]})


def test_no_file_is_no_state(tmp_path: Path) -> None:
    """A run that was killed before its first save starts from the beginning."""
    assert read_state(tmp_path / "state.pt", device=CPU) is None


@pytest.mark.parametrize("size", [0, 3, 200])
def test_a_cut_off_file_is_refused(tmp_path: Path, size: int) -> None:
    """With its path and what to do."""
    path = tmp_path / "state.pt"
    write_state(path, {"step": 1, "network": {"w": torch.zeros(1_000)}})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(TrainingError, match=r"state\.pt cannot be read .*delete it to start"):
        read_state(path, device=CPU)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: out of memory"), MemoryError()],
)
def test_a_state_that_finds_no_memory_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whoever was told to delete it would lose hours."""

    def fail(*_: object, **__: object) -> None:
        raise error

    write_state(tmp_path / "state.pt", {"step": 1})
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(type(error)) as found:
        read_state(tmp_path / "state.pt", device=CPU)
    assert found.value is error


def test_a_state_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    """A disk that fails, or rights that are missing, have sentences of their own."""
    (tmp_path / "state.pt").mkdir()
    with pytest.raises(IsADirectoryError):
        read_state(tmp_path / "state.pt", device=CPU)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    """Only plain data is loaded; a pickled object of any class is not."""
    path = tmp_path / "state.pt"
    torch.save({"format_version": 1, "network": torch.nn.Linear(1, 1)}, path)
    with pytest.raises(TrainingError, match="cannot be read"):
        read_state(path, device=CPU)


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A state of another Glimpse is not guessed at."""
    path = tmp_path / "state.pt"
    torch.save({"format_version": 99}, path)
    with pytest.raises(TrainingError, match="format version 99; this Glimpse reads version 1"):
        read_state(path, device=CPU)


def test_a_failed_write_leaves_the_old_state(tmp_path: Path) -> None:
    """What cannot be saved does not touch what was."""
    path = tmp_path / "state.pt"
    write_state(path, {"step": 1})
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):  # the second from Python 3.14 on
        write_state(path, {"step": lambda: None})
    assert list(tmp_path.iterdir()) == [path]
    back = read_state(path, device=CPU)
    assert back is not None
    assert back["step"] == 1
