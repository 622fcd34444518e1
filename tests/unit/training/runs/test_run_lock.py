"""A run's folder belongs to one training at a time."""

import errno
import fcntl
import multiprocessing
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.runs.run_lock import alone_in


def test_a_second_training_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    """By a sentence that names the folder; afterwards the folder is free, and nothing was written into it."""
    with alone_in(tmp_path):
        with pytest.raises(TrainingError, match=f"Another training is at work in {tmp_path}"), alone_in(tmp_path):
            pass
        with pytest.raises(TrainingError), alone_in(tmp_path):  # the refusal took nothing away from the first
            pass
    with alone_in(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_forked_child_does_not_hold_the_folder(tmp_path: Path) -> None:
    """Data-loading workers may outlive a killed parent for seconds: its folder is free at once."""
    fork = multiprocessing.get_context("fork")
    is_running, may_end = fork.Event(), fork.Event()

    def live() -> None:
        is_running.set()
        may_end.wait()

    with alone_in(tmp_path):
        child = fork.Process(target=live)
        child.start()
        is_running.wait()
    with alone_in(tmp_path):
        assert child.is_alive()
    may_end.set()
    child.join()


def test_a_failure_frees_the_folder(tmp_path: Path) -> None:
    """Whatever ended the first one."""
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        raise ZeroDivisionError
    with alone_in(tmp_path):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_nobody_out(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some network drives are; any other failure is one."""

    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(code, "made up")

    monkeypatch.setattr(fcntl, "flock", flock)
    with alone_in(tmp_path), alone_in(tmp_path):
        pass
    with pytest.raises(FileNotFoundError), alone_in(tmp_path / "missing"):
        pass
