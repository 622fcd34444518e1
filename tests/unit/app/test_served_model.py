"""A checkpoint with an engine that notes which thread it runs on, and how long by the test's own clock."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.served_model import ServedModel
from models.checkpoint import Checkpoint, load
from models.preprocessing import Answers, Images
from tests.unit.app.lanes import Log
from tests.unit.app.loops import with_loop


@pytest.fixture
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    """The tiny checkpoint."""
    return load(checkpoint_path)


class GoldenEngine:
    """Gives the golden answers, of which the first is the only picture ever asked alone.

    Attributes:
        answers: what it says to each picture of a batch, in order.
    """

    name, device, dtype, tolerance, max_batch_size, lanes = "golden", "nowhere", "float32", 1e-3, 32, 1

    def __init__(self, checkpoint: Checkpoint, run_aside: Callable[[Images], Answers] | None = None) -> None:
        self.answers: Answers = checkpoint.golden_probabilities
        self._run_aside = run_aside

    @property
    def run_aside(self) -> Callable[[Images], Answers] | None:
        """As given."""
        return self._run_aside

    def warm_up(self) -> None:
        """Nothing."""

    def probabilities(self, images: Images) -> Answers:
        """The golden answers, again and again."""
        return np.resize(self.answers, (len(images), self.answers.shape[1]))


@pytest.mark.parametrize(("run_s", "helps"), [(0.0019, True), (0.0021, False)])
def test_only_runs_that_are_short_are_made_on_the_event_loop(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, run_s: float, helps: bool
) -> None:
    """They are timed on another thread: the first makes kernels, and a reload must not hold up all callers."""
    clock = [0.0]
    threads: list[threading.Thread] = []
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def run_aside(images: Images) -> Answers:
        threads.append(threading.current_thread())
        clock[0] += run_s if threads[1:] else 0.05
        return checkpoint.golden_probabilities[: len(images)]

    async def check() -> None:
        model = ServedModel(checkpoint, GoldenEngine(checkpoint, run_aside), max_queue=10, events=Log())
        await model.start()
        assert (model.batcher._helper is not None) is helps
        await model.retire(timeout_s=10)

    with_loop(check())
    assert len(threads) == 6 + helps
    here = threading.current_thread()
    assert [thread is here for thread in threads] == [False] * 6 + [True] * helps
