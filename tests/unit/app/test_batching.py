"""From a submission to its answer, with an engine that waits to be let go and a clock that is set by hand."""

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batches.runs import Result
from app.batching import Batcher
from app.errors import DeadlineError, EngineError, EngineLostError, NotReadyError, OverloadedError
from tests.unit.app.lanes import FAR, POISON, GatedEngine, Log, answers, picture, running, scores
from tests.unit.app.loops import turns, with_loop


def test_a_picture_that_comes_alone_is_run_at_once() -> None:
    """Nothing waits for company: a batch of one, while no clock moves."""

    async def check() -> None:
        log = Log()
        async with running(answers, log, clock=lambda: 5.0) as queue:
            result = await queue.submit(picture(7), deadline_s=FAR)
        assert scores([result]) == [7]
        assert (result.batch_size, result.queue_ms, result.infer_ms) == (1, 0.0, 0.0)
        assert log.sizes == [1]

    with_loop(check())


def test_a_burst_while_the_engine_is_busy_becomes_the_next_batches() -> None:
    """64 pictures that come during a run are the next two runs of 32, in order, each with its own answer."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log) as queue:
            first = queue.submit(picture(200), deadline_s=FAR)
            await engine.began()
            burst = [queue.submit(picture(value), deadline_s=FAR) for value in range(64)]
            engine.let_go(3)
            results = await asyncio.gather(first, *burst)
        assert engine.runs == [[200], list(range(32)), list(range(32, 64))]
        assert scores(results) == [200, *range(64)]
        assert [result.batch_size for result in results] == [1] + [32] * 64
        assert log.waiting == [64, 32, 0]

    with_loop(check())


def test_who_comes_late_still_rides_along() -> None:
    """Less than a whole batch is not closed before the engine is free."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, max_batch_size=4) as queue:
            futures = [queue.submit(picture(0), deadline_s=FAR)]
            await engine.began()
            for value in (1, 2, 3):
                futures.append(queue.submit(picture(value), deadline_s=FAR))
            engine.let_go(2)
            await asyncio.gather(*futures)
        assert engine.runs == [[0], [1, 2, 3]]

    with_loop(check())


def test_a_cancelled_caller_is_never_run() -> None:
    """Who left while waiting is dropped when the batch is formed, also from one that was prepared already."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, max_batch_size=4) as queue:
            first = queue.submit(picture(0), deadline_s=FAR)
            await engine.began()
            waiting = [queue.submit(picture(value), deadline_s=FAR) for value in range(1, 8)]
            for index in (1, 5):
                waiting[index].cancel()
            engine.let_go(3)
            await asyncio.gather(first, *waiting, return_exceptions=True)
        assert engine.runs == [[0], [1, 3, 4], [5, 7]]
        assert log.drops == {"abandoned": 2}

    with_loop(check())


def test_an_expired_picture_is_told_so_and_not_run() -> None:
    """The deadline is looked at when a batch is formed, on the batcher's own clock."""

    async def check() -> None:
        now_s = 100.0
        log, engine = Log(), GatedEngine()
        async with running(engine, log, clock=lambda: now_s) as queue:
            first = queue.submit(picture(0), deadline_s=FAR)
            await engine.began()
            patient = queue.submit(picture(1), deadline_s=102.0)
            impatient = queue.submit(picture(2), deadline_s=101.0)
            now_s = 101.0
            engine.let_go(2)
            await first
            with pytest.raises(DeadlineError, match="The time that the request had is over"):
                await impatient
            assert (await patient).queue_ms == 1000.0
        assert engine.runs == [[0], [1]]
        assert log.drops == {"expired": 1}

    with_loop(check())


def test_a_full_queue_refuses() -> None:
    """As many wait as may, a prepared batch among them; the next is told to come back."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, max_batch_size=2, max_queue=5, retry_after_s=lambda: 7) as queue:
            futures = [queue.submit(picture(0), deadline_s=FAR)]
            await engine.began()
            futures += [queue.submit(picture(value), deadline_s=FAR) for value in range(1, 6)]
            with pytest.raises(OverloadedError, match="5 pictures wait already; the limit is 5") as refusal:
                queue.submit(picture(6), deadline_s=FAR)
            assert refusal.value.retry_after_s == 7
            assert log.drops == {"queue_full": 1}
            engine.let_go(4)
            assert scores(await asyncio.gather(*futures)) == list(range(6))

    with_loop(check())


def test_who_judges_the_service_passes_by_a_full_queue() -> None:
    """The golden pictures are the next batch, in their order and by themselves, whoever waits."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, max_batch_size=4, max_queue=2) as queue:
            futures = [queue.submit(picture(0), deadline_s=FAR)]
            await engine.began()
            futures += [queue.submit(picture(value), deadline_s=FAR) for value in (1, 2)]
            futures += queue.submit_first([picture(7), picture(8), picture(9)], deadline_s=FAR)
            engine.let_go(3)
            assert scores(await asyncio.gather(*futures)) == [0, 1, 2, 7, 8, 9]
        assert engine.runs == [[0], [7, 8, 9], [1, 2]]
        with pytest.raises(NotReadyError, match="stopping"):
            queue.submit_first([picture(7)], deadline_s=FAR)

    with_loop(check())


@pytest.mark.parametrize("max_batch_size", [4, 32], ids=["prepared", "waiting"])
def test_who_judges_the_service_takes_nobodys_place(max_batch_size: int) -> None:
    """As many callers wait as may, however many golden pictures wait before them."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, max_batch_size=max_batch_size, max_queue=2) as queue:
            futures = [queue.submit(picture(0), deadline_s=FAR)]
            await engine.began()
            futures += queue.submit_first([picture(7), picture(8), picture(9)], deadline_s=FAR)
            futures += [queue.submit(picture(value), deadline_s=FAR) for value in (1, 2)]
            with pytest.raises(OverloadedError, match="2 pictures wait already; the limit is 2"):
                queue.submit(picture(3), deadline_s=FAR)
            engine.let_go(3)
            assert scores(await asyncio.gather(*futures)) == [0, 7, 8, 9, 1, 2]
        assert engine.runs == [[0], [7, 8, 9], [1, 2]]

    with_loop(check())


def test_a_drain_answers_all_that_wait_and_refuses_the_rest() -> None:
    """What was let in is answered, what comes later is not."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, max_batch_size=3) as queue:
            futures = [queue.submit(picture(0), deadline_s=FAR)]
            await engine.began()
            futures += [queue.submit(picture(value), deadline_s=FAR) for value in range(1, 9)]
            draining = asyncio.create_task(queue.drain(timeout_s=10))
            await asyncio.sleep(0)
            with pytest.raises(NotReadyError, match="stopping"):
                queue.submit(picture(9), deadline_s=FAR)
            engine.let_go(10)
            assert scores(await asyncio.gather(*futures)) == list(range(9))
            await draining
        assert log.drops == {"draining": 1}

    with_loop(check())


def test_it_says_when_nothing_is_left_to_do() -> None:
    """Also when all who waited behind a batch have left: what comes next must not be taken for a backlog."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, max_batch_size=1) as queue:
            first = queue.submit(picture(0), deadline_s=FAR)
            await engine.began()
            before = log.idles
            leaver = queue.submit(picture(1), deadline_s=FAR)
            leaver.cancel()
            engine.let_go()
            await first
            while log.idles == before:
                await asyncio.sleep(0)
        assert (log.drops["abandoned"], len(engine.runs)) == (1, 1)

    with_loop(check())


def test_lanes_run_batches_of_their_own_at_the_same_time() -> None:
    """While one is busy the other takes what comes; a batch is prepared ahead only when both are."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, lanes=2, max_batch_size=2) as queue:
            futures = [queue.submit(picture(0), deadline_s=FAR)]
            await engine.began()
            futures.append(queue.submit(picture(1), deadline_s=FAR))
            await engine.began()
            assert engine.runs == [[0], [1]]
            futures += [queue.submit(picture(value), deadline_s=FAR) for value in (2, 3)]
            futures += queue.submit_first([picture(4)], deadline_s=FAR)  # comes behind what is prepared
            engine.let_go(4)
            assert scores(await asyncio.gather(*futures)) == [0, 1, 2, 3, 4]
        assert sorted(engine.runs[2:]) == [[2, 3], [4]]

    with_loop(check())


def test_each_lane_is_warm_before_the_first_picture() -> None:
    """Nothing is left to be compiled by a request; what goes wrong is told to who starts."""

    async def check() -> None:
        warmed: list[str] = []

        def warm_up() -> None:
            warmed.append(threading.current_thread().name)

        async with running(answers, Log(), warm_up=warm_up, lanes=3):
            assert sorted(warmed) == ["engine_0", "engine_1", "engine_2"]

        def fail() -> None:
            raise ValueError("no kernels")

        with pytest.raises(ValueError, match="no kernels"):
            async with running(answers, Log(), warm_up=fail):
                pass

    with_loop(check())


def test_pictures_that_make_no_batch_fail_and_the_lane_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Two sizes cannot be stacked, nor can pictures without memory for it; the next one is answered."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log) as queue:
            first = queue.submit(picture(0), deadline_s=FAR)
            await engine.began()
            unfit = [queue.submit(np.zeros((side, side, 3), np.uint8), deadline_s=FAR) for side in (1, 2)]
            engine.let_go(2)
            for answer in unfit:
                with pytest.raises(EngineError, match="A batch could not be formed: ValueError"):
                    await answer
            assert scores([await first, await queue.submit(picture(5), deadline_s=FAR)]) == [0, 5]
        assert log.failures == 1

    with_loop(check())
    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == ("ERROR", "a batch could not be formed")
    assert vars(line)["fields"] == {"pictures": 2}


def test_a_lane_that_ends_is_lost_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever restarts the process hears of it; a service with one lane would answer nobody, in silence."""
    told: list[EngineError] = []

    class Broken(Log):
        """Somebody who cannot be told that nothing is left to do."""

        def idle(self) -> None:
            """Fail."""
            raise MemoryError("no room for a number")

        def failed(self, error: EngineError) -> None:
            """Remember."""
            told.append(error)

    async def check() -> None:
        async with running(answers, Broken()):
            while not told:
                await asyncio.sleep(0)

    with_loop(check())
    (lost,) = told
    assert isinstance(lost, EngineLostError)
    assert "MemoryError: no room" in str(lost)
    assert [line.getMessage() for line in caplog.records] == ["a lane of the engine has ended"]


def test_a_start_that_is_given_up_ends_its_lanes_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a lane warms up: it has nobody to tell any more, and no thread dies of that."""
    died: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", died.append)

    async def check() -> None:
        begun, gate = threading.Event(), threading.Event()

        def warm_up() -> None:
            begun.set()
            assert gate.wait(timeout=10)

        batcher = Batcher(answers, max_batch_size=8, max_queue=8, events=Log(), warm_up=warm_up)
        starting = asyncio.create_task(batcher.start())
        assert await asyncio.to_thread(begun.wait, 10)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        gate.set()
        await batcher.drain(timeout_s=10)

    with_loop(check())
    assert died == []


def test_a_lane_whose_start_was_given_up_before_it_began_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for its kernels; it ends in silence, and the drain need not wait for it."""
    late: list[threading.Thread] = []
    died: list[threading.ExceptHookArgs] = []
    warmed: list[None] = []
    monkeypatch.setattr(threading, "excepthook", died.append)

    def wait_for_a_core(lane: threading.Thread) -> None:
        late.append(lane)

    async def check() -> None:
        batcher = Batcher(
            answers, max_batch_size=8, max_queue=8, events=Log(), warm_up=lambda: warmed.append(None)
        )
        with monkeypatch.context() as busy:
            busy.setattr(threading.Thread, "start", wait_for_a_core)
            starting = asyncio.create_task(batcher.start())
            await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        for lane in late:
            lane.start()
        await batcher.drain(timeout_s=10)
        for lane in late:
            lane.join(timeout=10)

    with_loop(check())
    assert (len(late), warmed, died) == (1, [], [])


def test_a_run_that_does_not_come_back_is_not_waited_for_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """Its callers hear that the engine is lost, and so do all who wait; who comes later is not taken."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, max_batch_size=2, longest_run_s=60.0) as queue:
            hanging = [queue.submit(picture(0), deadline_s=FAR)]
            await engine.began()
            waiting = [queue.submit(picture(value), deadline_s=FAR) for value in (1, 2, 3)]
            for _ in range(60):
                queue.turned(1.0)
            await turns()
            assert (log.errors, [answer.done() for answer in hanging + waiting]) == ([], [False] * 4)
            queue.turned(1.0)
            for answer in hanging + waiting:
                with pytest.raises(EngineLostError, match="A run of 1 pictures has not come back for 60 s"):
                    await answer
            assert queue.waiting == 0
            with pytest.raises(NotReadyError):
                queue.submit(picture(4), deadline_s=FAR)
            queue.turned(99.0)
            assert [type(error) for error in log.errors] == [EngineLostError]
            engine.let_go()
        assert engine.runs == [[0]]

    with_loop(check())
    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == ("ERROR", "a run of the engine does not come back")
    assert vars(line)["fields"] == {"seconds": 60, "pictures": 1, "waiting": 3}


def test_one_lane_that_hangs_is_enough() -> None:
    """What the others run is answered all the same."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, lanes=2, max_batch_size=1, longest_run_s=60.0) as queue:
            hanging = queue.submit(picture(0), deadline_s=FAR)
            await engine.began()
            queue.turned(1.0)
            queue.turned(30.0)
            other = queue.submit(picture(1), deadline_s=FAR)
            await engine.began()
            queue.turned(30.0)
            with pytest.raises(EngineLostError, match="has not come back"):
                await hanging
            assert not other.done()
            engine.let_go(2)
            assert scores([await other]) == [1]

    with_loop(check())


def test_draining_one_that_never_started_is_nothing() -> None:
    """A service that fails before its start still closes what it opened."""
    with_loop(Batcher(answers, max_batch_size=32, max_queue=1000, events=Log()).drain(timeout_s=10))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    cap=st.integers(1, 40),
    lanes=st.integers(1, 3),
    cancelled=st.floats(0, 0.9),
    late=st.floats(0, 0.5),
    in_spare_time=st.booleans(),
    on_the_spot=st.integers(0, 40),
)
def test_nothing_leaks_after_10_000_requests(
    seed: int, cap: int, lanes: int, cancelled: float, late: float, in_spare_time: bool, on_the_spot: int
) -> None:
    """With random cancellations, deadlines and poison all get their own answer, and nothing is left behind.

    Who leaves does so at once, or while the picture waits in the queue or in a prepared batch, or too late; golden
    pictures come in between.
    """
    random = np.random.default_rng(seed)
    leaves, expires = random.random(10_000) < cancelled, random.random(10_000) < late
    leaves_later = random.random(10_000) < cancelled / 2
    values = random.integers(0, 240, 10_000)
    values[random.random(10_000) < 0.001] = POISON

    async def check() -> None:
        log = Log()
        refused = 0
        futures: dict[int, asyncio.Future[Result]] = {}
        left: set[int] = set()
        golden: list[asyncio.Future[Result]] = []
        async with running(
            answers,
            log,
            in_spare_time=in_spare_time,
            on_the_spot=on_the_spot,
            lanes=lanes,
            max_batch_size=cap,
            max_queue=700,
            clock=lambda: 1.0,
        ) as queue:
            for place in range(10_000):
                try:
                    futures[place] = queue.submit(
                        picture(int(values[place])), deadline_s=0.5 if expires[place] else FAR
                    )
                except OverloadedError:
                    refused += 1
                earlier = int(random.integers(max(0, place - 1000), place + 1))
                for leaver, does_leave in ((place, leaves[place]), (earlier, leaves_later[place])):
                    if does_leave and leaver in futures and futures[leaver].cancel():
                        left.add(leaver)
                if random.random() < 0.005:
                    golden += queue.submit_first([picture(value) for value in (240, 241, 242)], deadline_s=FAR)
                    golden += queue.submit_first([picture(243)], deadline_s=FAR)
                if random.random() < 0.01:
                    await asyncio.sleep(0)
            await asyncio.gather(*futures.values(), *golden, return_exceptions=True)
        assert queue.waiting == 0
        for place, future in futures.items():
            if future.cancelled():
                assert place in left
            elif expires[place]:
                assert isinstance(future.exception(), DeadlineError)
            elif values[place] == POISON:
                assert isinstance(future.exception(), EngineError)
            else:
                assert scores([future.result()]) == [values[place]]
        assert scores([future.result() for future in golden]) == [240, 241, 242, 243] * (len(golden) // 4)
        assert refused == log.drops["queue_full"]
        left_the_queue = sum(log.sizes) + log.failures + log.drops["expired"] + log.drops["abandoned"]
        assert len(futures) + len(golden) == left_the_queue

    with_loop(check())
