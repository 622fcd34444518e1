"""One batch through an engine, on this thread."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from app.batches.runs import Batch, Clock, Item, Result, Run, Runner
from app.errors import EngineError, EngineLostError
from models.preprocessing import Answers, Images
from tests.unit.app.lanes import FAR, POISON, Log, answers, picture, scores
from tests.unit.app.loops import with_loop


def ran(run: Run, values: Sequence[int], log: Log, *, clock: Clock = lambda: 3.0) -> list[Result | Exception]:
    """What becomes of the pictures, submitted at 1 and run at 3."""
    found: list[Result | Exception] = []

    async def check() -> None:
        loop = asyncio.get_running_loop()
        items = [Item(picture(value), FAR, 1.0, loop.create_future()) for value in values]
        batch = Batch(items, np.stack([item.image for item in items]))
        told = Runner(run, events=log, clock=clock, waiting=range(5))(batch)
        assert [item for item, _ in told] == items
        found.extend(outcome for _, outcome in told)

    with_loop(check())
    return found


def test_each_picture_gets_its_row_and_its_times() -> None:
    """Two seconds in the queue, none in the engine; who still waits is told with the run."""
    log = Log()
    first, second = ran(answers, [7, 8], log)
    assert first == Result(np.array([7], np.float32), 2000.0, 0.0, 2)
    assert isinstance(second, Result)
    assert scores([second]) == [8]
    assert (log.sizes, log.waiting, log.failures) == ([2], [5], 0)


def test_the_time_of_a_run_is_none_of_the_queue() -> None:
    """Submitted at 1 s, begun at 3 s, done at 3.5 s: two seconds of waiting, and half a second in the engine."""
    now = [3.0]

    def run(images: Images) -> Answers:
        now[0] += 0.5
        return answers(images)

    (result,) = ran(run, [7], Log(), clock=lambda: now[0])
    assert isinstance(result, Result)
    assert (result.queue_ms, result.infer_ms) == (2_000.0, 500.0)


def test_one_poisoned_picture_of_32_fails_alone() -> None:
    """The batch is halved until the culprit is found; its 31 neighbours are answered."""
    log = Log()
    runs: list[int] = []

    def run(images: Images) -> Answers:
        runs.append(len(images))
        return answers(images)

    values = [POISON if place == 19 else place for place in range(32)]
    results = ran(run, values, log)
    failed = [place for place, result in enumerate(results) if isinstance(result, Exception)]
    assert failed == [19]
    assert isinstance(results[19], EngineError)
    assert "ValueError: poison" in str(results[19])
    assert scores([result for result in results if isinstance(result, Result)]) == [
        value for value in values if value != POISON
    ]
    assert log.failures == 1
    assert len(runs) == 1 + 2 * 5  # both halves at each of log2(32) steps
    assert sum(log.sizes) == 31


def test_a_lost_engine_is_not_asked_again_for_each_picture() -> None:
    """There is no culprit to look for: all fail with one run."""
    log = Log()
    runs = []

    def lost(images: Images) -> Answers:
        runs.append(len(images))
        raise EngineLostError("gone")

    assert all(isinstance(result, EngineLostError) for result in ran(lost, range(8), log))
    assert (runs, log.failures) == ([8], 1)


@pytest.mark.parametrize("shape", [(31, 1), (33, 1), (32,)])
def test_another_number_of_answers_is_a_failure(shape: tuple[int, ...]) -> None:
    """An engine that answers one picture too few would give everybody behind it somebody else's labels."""
    results = ran(lambda _images: np.zeros(shape, np.float32), [0] * 32, Log())
    assert all(isinstance(result, EngineError) for result in results)


def test_a_score_that_is_no_number_fails_its_own_picture() -> None:
    """NaN in one row is that picture's error; the other rows are answers."""

    def run(images: Images) -> Answers:
        rows = answers(images)
        rows[rows == 3] = np.nan
        return rows

    results = ran(run, range(5), Log())
    assert [isinstance(result, EngineError) for result in results] == [False, False, False, True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_score_of_several_that_is_no_number_is_enough(bad: float) -> None:
    """The others of its row may be as good as they like."""
    rows = np.array([[0.5, 0.5], [bad, 0.5], [0.5, bad]], np.float32)
    results = ran(lambda _images: rows, range(3), Log())
    assert [isinstance(result, EngineError) for result in results] == [False, True, True]


def test_a_fault_of_ours_leaves_nobody_waiting() -> None:
    """Where it is not the engine that fails, every caller hears of it all the same."""
    results = ran(answers, [1, 2], Log(), clock=lambda: 1 / 0)
    assert ["ZeroDivisionError" in str(result) for result in results] == [True, True]
