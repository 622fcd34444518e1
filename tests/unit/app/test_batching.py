"""The queue in front of the engine, with an engine that waits to be let go and a clock that is set by hand."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batching import Batcher
from app.errors import DeadlineError, EngineError, EngineLostError, NotReadyError, OverloadedError
from app.runs import Result
from models.preprocessing import Images, Probabilities

FAR = 1e9
POISON = 255


class Log:
    """Counts what the batcher tells."""

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.sizes: list[int] = []
        self.failures = 0
        self.idles = 0

    def dropped(self, reason: str) -> None:
        """One more."""
        self.drops[reason] += 1

    def ran(self, *, size: int, infer_ms: float, waiting: int) -> None:
        """A batch of that size."""
        assert infer_ms >= 0
        assert waiting >= 0
        self.sizes.append(size)

    def idle(self) -> None:
        """One more."""
        self.idles += 1

    def failed(self, error: EngineError) -> None:
        """One more."""
        assert str(error)
        self.failures += 1


class GatedEngine:
    """Answers each picture with its own first pixel; each run waits until the test lets it go.

    Attributes:
        runs: the first pixels of each run, in order.
    """

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self._began = threading.Semaphore(0)
        self._gate = threading.Semaphore(0)

    def __call__(self, images: Images) -> Probabilities:
        """Run, when let go."""
        self.runs.append([int(image.flat[0]) for image in images])
        self._began.release()
        assert self._gate.acquire(timeout=10)
        return answers(images)

    async def began(self) -> None:
        """Wait until one more run has begun."""
        assert await asyncio.to_thread(self._began.acquire, timeout=10)

    def let_go(self, runs: int = 1) -> None:
        """Let that many runs end."""
        self._gate.release(runs)


def answers(images: Images) -> Probabilities:
    """The first pixel as the only score; a poisoned picture fails the whole run."""
    if (images[:, 0, 0, 0] == POISON).any():
        raise ValueError("poison")
    return images[:, 0, 0, :1].astype(np.float32)


def picture(value: int) -> Images:
    """One picture of one pixel."""
    return np.full((1, 1, 3), value, np.uint8)


def batcher(
    run: Callable[[Images], Probabilities],
    log: Log,
    *,
    max_batch_size: int = 32,
    max_queue: int = 1000,
    lanes: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Batcher:
    """With small limits."""
    return Batcher(run, max_batch_size=max_batch_size, max_queue=max_queue, events=log, lanes=lanes, clock=clock)


def with_loop(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, and let nothing hang."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


def scores(results: list[Result]) -> list[int]:
    """The answers as the pixels that they came from."""
    return [int(result.probabilities[0]) for result in results]


def have_ended(queue: Batcher) -> bool:
    """Whether all threads are gone; each says that it ends a moment before it does."""
    for thread in queue._threads:
        thread.join(timeout=10)
    return not any(thread.is_alive() for thread in queue._threads)


def test_a_picture_that_comes_alone_is_run_at_once() -> None:
    """Nothing waits for company: a batch of one, while no clock moves."""

    async def check() -> None:
        log = Log()
        queue = batcher(answers, log, clock=lambda: 5.0)
        await queue.start()
        result = await queue.submit(picture(7), deadline_s=FAR)
        await queue.drain(timeout_s=10)
        assert scores([result]) == [7]
        assert (result.batch_size, result.queue_ms, result.infer_ms) == (1, 0.0, 0.0)
        assert log.sizes == [1]

    with_loop(check())


def test_a_burst_while_the_engine_is_busy_becomes_the_next_batches() -> None:
    """64 pictures that come during a run are the next two runs of 32, in order, each with its own answer."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log)
        await queue.start()
        first = queue.submit(picture(200), deadline_s=FAR)
        await engine.began()
        burst = [queue.submit(picture(value), deadline_s=FAR) for value in range(64)]
        assert queue.waiting == 64
        engine.let_go(3)
        results = await asyncio.gather(first, *burst)
        await queue.drain(timeout_s=10)
        assert engine.runs == [[200], list(range(32)), list(range(32, 64))]
        assert scores(results) == [200, *range(64)]
        assert [result.batch_size for result in results] == [1] + [32] * 64

    with_loop(check())


def test_who_comes_late_still_rides_along() -> None:
    """Less than a whole batch is not closed before the engine is free."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log, max_batch_size=4)
        await queue.start()
        futures = [queue.submit(picture(0), deadline_s=FAR)]
        await engine.began()
        for value in (1, 2, 3):
            futures.append(queue.submit(picture(value), deadline_s=FAR))
        engine.let_go(2)
        await asyncio.gather(*futures)
        await queue.drain(timeout_s=10)
        assert engine.runs == [[0], [1, 2, 3]]

    with_loop(check())


def test_a_whole_batch_is_prepared_while_another_runs() -> None:
    """Its pixels are stacked before the engine asks, and it still counts as waiting."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log, max_batch_size=2)
        await queue.start()
        futures = [queue.submit(picture(0), deadline_s=FAR)]
        await engine.began()
        futures.append(queue.submit(picture(1), deadline_s=FAR))
        assert queue._queue._prepared is None
        futures.append(queue.submit(picture(2), deadline_s=FAR))
        prepared: Any = queue._queue._prepared
        assert prepared.images.shape == (2, 1, 1, 3)
        assert queue.waiting == 2
        engine.let_go(2)
        assert scores(await asyncio.gather(*futures)) == [0, 1, 2]
        await queue.drain(timeout_s=10)

    with_loop(check())


def test_one_poisoned_picture_of_32_fails_alone() -> None:
    """The batch is halved until the culprit is found; its 31 neighbours are answered."""

    async def check() -> None:
        log = Log()
        engine = GatedEngine()
        queue = batcher(engine, log)
        await queue.start()
        engine.let_go(100)
        blocker = queue.submit(picture(0), deadline_s=FAR)
        values = [POISON if place == 19 else place for place in range(32)]
        results = await asyncio.gather(
            *(queue.submit(picture(value), deadline_s=FAR) for value in values), return_exceptions=True
        )
        await blocker
        await queue.drain(timeout_s=10)
        failed = [place for place, result in enumerate(results) if isinstance(result, Exception)]
        assert failed == [19]
        with pytest.raises(EngineError, match="ValueError: poison"):
            raise results[19]  # type: ignore[misc]
        assert scores([result for result in results if isinstance(result, Result)]) == [
            v for v in values if v != POISON
        ]
        assert log.failures == 1
        assert len(engine.runs) <= 1 + 2 * 6 + 1  # one failing run and one good half at each of log2(32) steps

    with_loop(check())


def test_a_lost_engine_is_not_asked_again_for_each_picture() -> None:
    """There is no culprit to look for: all fail with one run."""

    async def check() -> None:
        log = Log()
        runs = []

        def lost(images: Images) -> Probabilities:
            runs.append(len(images))
            raise EngineLostError("gone")

        queue = batcher(lost, log)
        futures = []
        await queue.start()
        with queue._queue.changed:  # nothing is taken before all are there
            futures = [queue.submit(picture(value), deadline_s=FAR) for value in range(8)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        await queue.drain(timeout_s=10)
        assert all(isinstance(result, EngineLostError) for result in results)
        assert runs == [8]

    with_loop(check())


@pytest.mark.parametrize("shape", [(31, 1), (33, 1), (32,)])
def test_another_number_of_answers_is_a_failure(shape: tuple[int, ...]) -> None:
    """An engine that answers one picture too few would give everybody behind it somebody else's labels."""

    async def check() -> None:
        log = Log()
        queue = batcher(lambda _images: np.zeros(shape, np.float32), log)
        await queue.start()
        with queue._queue.changed:
            futures = [queue.submit(picture(0), deadline_s=FAR) for _ in range(32)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        await queue.drain(timeout_s=10)
        assert all(isinstance(result, EngineError) for result in results)

    with_loop(check())


def test_a_score_that_is_no_number_fails_its_own_picture() -> None:
    """NaN in one row is that picture's error; the other rows are answers."""

    async def check() -> None:
        def run(images: Images) -> Probabilities:
            rows = answers(images)
            rows[rows == 3] = np.nan
            return rows

        queue = batcher(run, Log())
        await queue.start()
        with queue._queue.changed:
            futures = [queue.submit(picture(value), deadline_s=FAR) for value in range(5)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        await queue.drain(timeout_s=10)
        assert [isinstance(result, EngineError) for result in results] == [False, False, False, True, False]

    with_loop(check())


def test_a_cancelled_caller_is_never_run() -> None:
    """Who left while waiting is dropped when the batch is formed, also from one that was prepared already."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log, max_batch_size=4)
        await queue.start()
        first = queue.submit(picture(0), deadline_s=FAR)
        await engine.began()
        waiting = [queue.submit(picture(value), deadline_s=FAR) for value in range(1, 8)]
        for index in (1, 5):
            waiting[index].cancel()
        engine.let_go(3)
        await asyncio.gather(first, *waiting, return_exceptions=True)
        await queue.drain(timeout_s=10)
        assert engine.runs == [[0], [1, 3, 4], [5, 7]]
        assert log.drops == {"abandoned": 2}

    with_loop(check())


def test_an_expired_picture_is_told_so_and_not_run() -> None:
    """The deadline is looked at when a batch is formed, on the batcher's own clock."""

    async def check() -> None:
        now_s = 100.0
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log, clock=lambda: now_s)
        await queue.start()
        first = queue.submit(picture(0), deadline_s=FAR)
        await engine.began()
        patient, impatient = queue.submit(picture(1), deadline_s=102.0), queue.submit(picture(2), deadline_s=101.0)
        now_s = 101.0
        engine.let_go(2)
        await first
        with pytest.raises(DeadlineError, match="The time that the request had is over"):
            await impatient
        assert (await patient).queue_ms == 1000.0
        await queue.drain(timeout_s=10)
        assert engine.runs == [[0], [1]]
        assert log.drops == {"expired": 1}

    with_loop(check())


def test_a_full_queue_refuses() -> None:
    """As many wait as may; the next is told to come back."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log, max_batch_size=2, max_queue=5)
        await queue.start()
        futures = [queue.submit(picture(0), deadline_s=FAR)]
        await engine.began()
        futures += [queue.submit(picture(value), deadline_s=FAR) for value in range(1, 6)]
        with pytest.raises(OverloadedError, match="5 pictures wait already") as refusal:
            queue.submit(picture(6), deadline_s=FAR)
        assert refusal.value.retry_after_s == 1
        assert log.drops == {"queue_full": 1}
        engine.let_go(4)
        assert scores(await asyncio.gather(*futures)) == list(range(6))
        await queue.drain(timeout_s=10)

    with_loop(check())


def test_who_judges_the_service_passes_by_a_full_queue() -> None:
    """The golden pictures are the next batch, in their order, whoever waits."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log, max_batch_size=4, max_queue=2)
        await queue.start()
        futures = [queue.submit(picture(0), deadline_s=FAR)]
        await engine.began()
        futures += [queue.submit(picture(value), deadline_s=FAR) for value in (1, 2)]
        futures += queue.submit_first([picture(7), picture(8), picture(9)], deadline_s=FAR)
        engine.let_go(3)
        assert scores(await asyncio.gather(*futures)) == [0, 1, 2, 7, 8, 9]
        await queue.drain(timeout_s=10)
        assert engine.runs == [[0], [7, 8, 9, 1], [2]]
        with pytest.raises(NotReadyError, match="stopping"):
            queue.submit_first([picture(7)], deadline_s=FAR)

    with_loop(check())


def test_closing_answers_all_that_wait_and_refuses_the_rest() -> None:
    """Drain: what was let in is answered, what comes later is not, and the thread ends."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log, max_batch_size=3)
        await queue.start()
        futures = [queue.submit(picture(0), deadline_s=FAR)]
        await engine.began()
        futures += [queue.submit(picture(value), deadline_s=FAR) for value in range(1, 9)]
        closing = asyncio.create_task(queue.drain(timeout_s=10))
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError, match="stopping"):
            queue.submit(picture(9), deadline_s=FAR)
        engine.let_go(10)
        assert scores(await asyncio.gather(*futures)) == list(range(9))
        await closing
        assert have_ended(queue)
        assert log.drops == {"draining": 1}

    with_loop(check())


def test_it_says_when_nothing_is_left_to_do() -> None:
    """Also when all who waited behind a batch have left: what comes next must not be taken for a backlog."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log, max_batch_size=1)
        await queue.start()
        first = queue.submit(picture(0), deadline_s=FAR)
        await engine.began()
        before = log.idles
        leaver = queue.submit(picture(1), deadline_s=FAR)
        leaver.cancel()
        engine.let_go()
        await first
        while log.idles == before:
            await asyncio.sleep(0)
        await queue.drain(timeout_s=10)
        assert (log.drops["abandoned"], len(engine.runs)) == (1, 1)

    with_loop(check())


def test_lanes_run_batches_of_their_own_at_the_same_time() -> None:
    """While one is busy the other takes what comes; a batch is prepared ahead only when both are."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = batcher(engine, log, lanes=2, max_batch_size=2)
        await queue.start()
        futures = [queue.submit(picture(0), deadline_s=FAR)]
        await engine.began()
        futures.append(queue.submit(picture(1), deadline_s=FAR))
        await engine.began()
        assert engine.runs == [[0], [1]]
        futures += [queue.submit(picture(value), deadline_s=FAR) for value in (2, 3)]
        assert queue._queue._prepared is not None
        engine.let_go(3)
        assert scores(await asyncio.gather(*futures)) == [0, 1, 2, 3]
        await queue.drain(timeout_s=10)
        assert have_ended(queue)

    with_loop(check())


def helped(engine: GatedEngine, log: Log, *, max_batch_size: int = 32) -> Batcher:
    """A queue whose event loop may run pictures itself, on a clock on which every turn is an idle one."""
    queue = batcher(engine, log, max_batch_size=max_batch_size, clock=lambda: 1.0)
    queue.help_with(answers)
    return queue


def test_the_event_loop_helps_while_every_lane_is_busy() -> None:
    """One picture at a time, the first that came; the lane's own batch is not touched."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = helped(engine, log)
        await queue.start()
        first = queue.submit(picture(0), deadline_s=FAR)
        await engine.began()
        others = [queue.submit(picture(value), deadline_s=FAR) for value in (1, 2, 3)]
        assert scores(await asyncio.gather(*others)) == [1, 2, 3]
        assert (log.sizes, engine.runs, first.done()) == ([1, 1, 1], [[0]], False)
        engine.let_go()
        assert scores([await first]) == [0]
        await queue.drain(timeout_s=10)

    with_loop(check())


def test_the_event_loop_leaves_an_idle_lane_its_work() -> None:
    """A lane that waits is faster to begin, and the event loop is free for the next request."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = helped(engine, log)
        await queue.start()
        while not log.idles:
            await asyncio.sleep(0)
        only = queue.submit(picture(7), deadline_s=FAR)
        await engine.began()
        engine.let_go()
        assert scores([await only]) == [7]
        assert engine.runs == [[7]]
        await queue.drain(timeout_s=10)

    with_loop(check())


def test_the_event_loop_takes_the_last_of_a_prepared_batch() -> None:
    """When all who wait are in it; who leaves meanwhile is not run, and the lane runs the rest."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = helped(engine, log, max_batch_size=3)
        await queue.start()
        first = queue.submit(picture(0), deadline_s=FAR)
        await engine.began()
        prepared = [queue.submit(picture(value), deadline_s=FAR) for value in (1, 2, 3)]
        assert queue._queue._prepared is not None
        prepared[2].cancel()
        assert scores([await prepared[1]]) == [2]
        assert log.drops["abandoned"] == 1
        assert scores([await prepared[0]]) == [1]
        assert queue.waiting == 0
        engine.let_go()
        await first
        await queue.drain(timeout_s=10)

    with_loop(check())


def test_a_busy_event_loop_does_not_help() -> None:
    """A turn in which it had something else to do is followed by another look; the lane gets the picture."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        now_s = iter(range(1_000_000))
        queue = batcher(engine, log, clock=lambda: float(next(now_s)))
        queue.help_with(answers)
        await queue.start()
        first = queue.submit(picture(0), deadline_s=FAR)
        await engine.began()
        second = queue.submit(picture(1), deadline_s=FAR)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not second.done()
        engine.let_go(2)
        assert scores([await first, await second]) == [0, 1]
        assert engine.runs == [[0], [1]]
        await queue.drain(timeout_s=10)

    with_loop(check())


def test_a_picture_that_fails_on_the_event_loop_fails_alone() -> None:
    """As in a lane: its caller gets the error, the next one an answer."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        queue = helped(engine, log)
        await queue.start()
        first = queue.submit(picture(0), deadline_s=FAR)
        await engine.began()
        poisoned, good = (queue.submit(picture(value), deadline_s=FAR) for value in (POISON, 5))
        with pytest.raises(EngineError, match="poison"):
            await poisoned
        assert scores([await good]) == [5]
        assert log.failures == 1
        engine.let_go()
        await first
        await queue.drain(timeout_s=10)

    with_loop(check())


def test_each_lane_is_warm_before_the_first_picture() -> None:
    """Nothing is left to be compiled by a request; what goes wrong is told to who starts."""

    async def check() -> None:
        warmed: list[str] = []
        queue = Batcher(
            answers,
            warm_up=lambda: warmed.append(threading.current_thread().name),
            lanes=3,
            max_batch_size=4,
            max_queue=10,
            events=Log(),
        )
        await queue.start()
        assert sorted(warmed) == ["engine_0", "engine_1", "engine_2"]
        await queue.drain(timeout_s=10)

        def fail() -> None:
            raise ValueError("no kernels")

        broken = Batcher(answers, warm_up=fail, max_batch_size=4, max_queue=10, events=Log())
        with pytest.raises(ValueError, match="no kernels"):
            await broken.start()
        await broken.drain(timeout_s=10)

    with_loop(check())


def test_closing_one_that_never_started_is_nothing() -> None:
    """A service that fails before its start still closes what it opened."""
    with_loop(batcher(answers, Log()).drain(timeout_s=10))


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cap=st.integers(1, 40),
    cancelled=st.floats(0, 0.9),
    late=st.floats(0, 0.5),
    helps=st.booleans(),
)
def test_nothing_leaks_after_10_000_requests(
    seed: int, cap: int, cancelled: float, late: float, helps: bool
) -> None:
    """With random cancellations, deadlines and poison all get their own answer, and nothing is left behind."""
    random = np.random.default_rng(seed)
    leaves, expires = random.random(10_000) < cancelled, random.random(10_000) < late
    values = random.integers(0, 250, 10_000)
    values[random.random(10_000) < 0.001] = POISON

    async def check() -> None:
        log = Log()
        queue = batcher(answers, log, max_batch_size=cap, max_queue=700, clock=lambda: 1.0)
        if helps:
            queue.help_with(answers)
        await queue.start()
        refused = 0
        futures: dict[int, asyncio.Future[Result]] = {}
        for place in range(10_000):
            try:
                futures[place] = queue.submit(
                    picture(int(values[place])), deadline_s=0.5 if expires[place] else FAR
                )
            except OverloadedError:
                refused += 1
            if leaves[place] and place in futures:
                futures[place].cancel()
            if random.random() < 0.01:
                await asyncio.sleep(0)
        await asyncio.gather(*futures.values(), return_exceptions=True)
        await queue.drain(timeout_s=10)
        for place, future in futures.items():
            if future.cancelled():
                assert leaves[place]
            elif expires[place]:
                assert isinstance(future.exception(), DeadlineError)
            elif values[place] == POISON:
                assert isinstance(future.exception(), EngineError)
            else:
                assert scores([future.result()]) == [values[place]]
        assert queue.waiting == 0
        assert refused == log.drops["queue_full"]
        assert len(futures) == sum(log.sizes) + log.failures + log.drops["expired"] + log.drops["abandoned"]
        assert len(queue._queue) == 0
        assert have_ended(queue)

    with_loop(check())
