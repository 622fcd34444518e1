"""A checkpoint with an engine that notes which thread it runs on, and how long by the test's own clock."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.served_model import ServedModel, check_every_way, open_checked, picture_seconds
from app.settings import Settings
from models.checkpoint import Checkpoint, load
from models.errors import GoldenError
from models.preprocessing import Answers, Images
from tests.unit.app.lanes import Log
from tests.unit.app.loops import with_loop


@pytest.fixture
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    """The tiny checkpoint."""
    return load(checkpoint_path)


class GoldenEngine:
    """Knows the golden pictures by heart.

    Attributes:
        wrong_sizes: batches of these get other answers.
        sizes: of all batches that were run.
    """

    name, device, dtype, tolerance, max_batch_size, lanes = "golden", "nowhere", "float32", 1e-3, 32, 1
    checked_sizes = (1, 3, 20)

    def __init__(self, checkpoint: Checkpoint, run_aside: Callable[[Images], Answers] | None = None) -> None:
        self.wrong_sizes: set[int] = set()
        self.sizes: list[int] = []
        self._known = {
            image.tobytes(): answer
            for image, answer in zip(checkpoint.golden_images, checkpoint.golden_probabilities, strict=True)
        }
        self._run_aside = run_aside

    @property
    def run_aside(self) -> Callable[[Images], Answers] | None:
        """As given."""
        return self._run_aside

    def warm_up(self) -> None:
        """Nothing."""

    def answer(self, images: Images) -> Answers:
        """Remember, or be wrong."""
        self.sizes.append(len(images))
        answers = np.stack([self._known[image.tobytes()] for image in images])
        return answers[:, ::-1] if len(images) in self.wrong_sizes else answers


@pytest.mark.parametrize(("run_s", "is_short"), [(0.0019, True), (0.0021, False)])
def test_only_runs_that_are_short_are_made_on_the_event_loop(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, run_s: float, is_short: bool
) -> None:
    """They are timed on another thread: the first makes kernels, and a reload must not hold up all callers."""
    clock = [0.0]
    threads: list[threading.Thread] = []
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def run_aside(images: Images) -> Answers:
        threads.append(threading.current_thread())
        clock[0] += run_s * len(images) if threads[1:] else 0.05
        return checkpoint.golden_probabilities[: len(images)]

    async def check() -> None:
        engine = GoldenEngine(checkpoint, run_aside)
        model = ServedModel(checkpoint, engine, max_queue=10, retry_after_s=lambda: 1, cores=2, events=Log())
        await model.start()
        assert (model.batcher._spare_time is not None) is is_short
        await model.retire(timeout_s=10)

    with_loop(check())
    here = threading.current_thread()
    assert [thread is here for thread in threads] == [False] * (len(threads) - is_short) + [True] * is_short


@pytest.mark.parametrize(
    ("picture_s", "cores", "most"),
    [(0.0001, 1, 32), (0.0003, 1, 16), (0.00031, 1, 0), (0.00004, 2, 32), (0.00005, 2, 0), (0.00005, 64, 0)],
)
def test_a_quick_network_is_run_on_the_spot(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, picture_s: float, cores: int, most: int
) -> None:
    """As many pictures as 5 ms have room for, each size made ready on the event loop; slower ones get spare time.

    With a second core the engine's thread has it, unless handing over takes longer than the network.
    """
    clock = [0.0]
    sizes_here: list[int] = []
    here = threading.current_thread()
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def run_aside(images: Images) -> Answers:
        clock[0] += picture_s * len(images)
        if threading.current_thread() is here:
            sizes_here.append(len(images))
        return np.repeat(checkpoint.golden_probabilities[:1], len(images), axis=0)

    async def check() -> None:
        engine = GoldenEngine(checkpoint, run_aside)
        model = ServedModel(checkpoint, engine, max_queue=10, retry_after_s=lambda: 1, cores=cores, events=Log())
        await model.start()
        assert (model.batcher._on_the_spot is not None) is (most > 0)
        assert (model.batcher._spare_time is not None) is (most == 0)
        await model.retire(timeout_s=10)

    with_loop(check())
    assert sizes_here == ([*range(1, most + 1)] if most else [1])


def test_what_a_picture_costs_is_timed_in_a_batch(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fastest run counts; an engine that the event loop cannot run is not asked."""
    clock = [0.0]
    runs_s = iter([0.5, *[0.02] * 5, 0.016, *[0.02] * 100])
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def run_aside(images: Images) -> Answers:
        clock[0] += next(runs_s)
        return checkpoint.golden_probabilities[: len(images)]

    assert picture_seconds(checkpoint, GoldenEngine(checkpoint, run_aside)) == pytest.approx(0.002)
    assert picture_seconds(checkpoint, GoldenEngine(checkpoint)) is None


def test_the_engine_runs_as_many_pictures_as_the_operator_says(checkpoint_path: Path) -> None:
    """And not as many as it likes."""
    settings = Settings(checkpoint=checkpoint_path, engine="torch", device="cpu", max_batch_size=3)
    assert open_checked(settings, threads=1)[1].max_batch_size == 3


def test_the_golden_pictures_go_every_way_that_an_engine_has(checkpoint: Checkpoint) -> None:
    """Eight in batches of 1 and 3, 24 in batches of 20, and the same again as the event loop runs them."""
    aside: list[int] = []

    def run_aside(images: Images) -> Answers:
        aside.append(len(images))
        return engine.answer(images)

    engine = GoldenEngine(checkpoint, run_aside)
    check_every_way(checkpoint, engine)
    assert engine.sizes == 2 * ([1] * 8 + [3, 3, 2] + [20, 4])
    assert aside == [1] * 8 + [3, 3, 2] + [20, 4]


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_one_way_that_is_wrong_is_found_out(checkpoint: Checkpoint, size: int) -> None:
    """Whichever, the last batch of a row included."""
    engine = GoldenEngine(checkpoint)
    engine.wrong_sizes = {size}
    with pytest.raises(GoldenError, match="give other answers"):
        check_every_way(checkpoint, engine)


@pytest.mark.parametrize("size", [1, 3, 20])
def test_an_event_loop_that_would_answer_wrongly_is_found_out(checkpoint: Checkpoint, size: int) -> None:
    """Its own compiled network is asked, too."""
    wrong = GoldenEngine(checkpoint)
    wrong.wrong_sizes = {size}
    with pytest.raises(GoldenError, match="give other answers"):
        check_every_way(checkpoint, GoldenEngine(checkpoint, wrong.answer))


def test_the_judge_asks_all_pictures_and_one_alone_by_turns(checkpoint: Checkpoint) -> None:
    """What is wrong stays wrong until the same way is right."""

    async def check() -> None:
        engine = GoldenEngine(checkpoint)
        model = ServedModel(checkpoint, engine, max_queue=10, retry_after_s=lambda: 1, cores=2, events=Log())
        await model.start()
        for _ in range(3):
            await model.ask_golden(timeout_s=10)
        assert engine.sizes == [8, 1, 8]
        engine.wrong_sizes = {1}
        for _ in range(2):
            with pytest.raises(GoldenError, match="give other answers"):
                await model.ask_golden(timeout_s=10)
        engine.wrong_sizes = {8}
        await model.ask_golden(timeout_s=10)
        with pytest.raises(GoldenError, match="give other answers"):
            await model.ask_golden(timeout_s=10)
        assert engine.sizes == [8, 1, 8, 1, 1, 1, 8]
        await model.retire(timeout_s=10)

    with_loop(check())
