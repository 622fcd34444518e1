"""A run's folder belongs to one training at a time."""

from pathlib import Path

import pytest

from training.errors import TrainingError
from training.run_lock import alone_in


def test_a_second_training_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    """By a sentence that names the folder; afterwards the folder is free, and nothing was written into it."""
    with alone_in(tmp_path):
        with pytest.raises(TrainingError, match=f"Another training is at work in {tmp_path}"), alone_in(tmp_path):
            pass
        with pytest.raises(TrainingError), alone_in(tmp_path):  # the refusal took nothing away from the first
            pass
    with alone_in(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_failure_frees_the_folder(tmp_path: Path) -> None:
    """Whatever ended the first one."""
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        raise ZeroDivisionError
    with alone_in(tmp_path):
        pass
