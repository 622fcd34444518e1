"""The event loop beside the lanes, on a clock on which every turn is an idle one, and on one on which none is."""

import asyncio

import pytest

from app.errors import EngineError
from tests.unit.app.lanes import FAR, POISON, GatedEngine, Log, picture, running, scores
from tests.unit.app.loops import with_loop


def idle() -> float:
    """A clock on which no turn takes any time."""
    return 1.0


def test_the_event_loop_runs_pictures_while_every_lane_is_busy() -> None:
    """One picture at a time, the first that came; the lane's own batch is not touched."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, in_spare_time=True, clock=idle) as queue:
            first = queue.submit(picture(0), deadline_s=FAR)
            await engine.began()
            others = [queue.submit(picture(value), deadline_s=FAR) for value in (1, 2, 3)]
            assert scores(await asyncio.gather(*others)) == [1, 2, 3]
            assert (log.sizes, engine.runs, first.done()) == ([1, 1, 1], [[0]], False)
            engine.let_go()
            assert scores([await first]) == [0]

    with_loop(check())


def test_the_event_loop_leaves_an_idle_lane_its_work() -> None:
    """A lane that waits is faster to begin, and the event loop is free for the next request."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, in_spare_time=True, clock=idle) as queue:
            while not log.idles:
                await asyncio.sleep(0)
            only = queue.submit(picture(7), deadline_s=FAR)
            await engine.began()
            engine.let_go()
            assert scores([await only]) == [7]
        assert engine.runs == [[7]]

    with_loop(check())


def test_the_event_loop_takes_the_last_of_a_prepared_batch() -> None:
    """When all who wait are in it; who leaves meanwhile is not run."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, in_spare_time=True, clock=idle, max_batch_size=3) as queue:
            first = queue.submit(picture(0), deadline_s=FAR)
            await engine.began()
            prepared = [queue.submit(picture(value), deadline_s=FAR) for value in (1, 2, 3)]
            prepared[2].cancel()
            assert scores([await prepared[1]]) == [2]
            assert log.drops["abandoned"] == 1
            assert scores([await prepared[0]]) == [1]
            assert log.waiting == [1, 0]
            engine.let_go()
            await first
        assert engine.runs == [[0]]

    with_loop(check())


def test_a_busy_event_loop_has_no_spare_time() -> None:
    """A turn in which it had something else to do is followed by another look; the lane gets the picture."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        now_s = iter(range(1_000_000))
        async with running(engine, log, in_spare_time=True, clock=lambda: float(next(now_s))) as queue:
            first = queue.submit(picture(0), deadline_s=FAR)
            await engine.began()
            second = queue.submit(picture(1), deadline_s=FAR)
            for _ in range(20):
                await asyncio.sleep(0)
            assert not second.done()
            engine.let_go(2)
            assert scores([await first, await second]) == [0, 1]
        assert engine.runs == [[0], [1]]

    with_loop(check())


def test_a_picture_that_fails_on_the_event_loop_fails_alone() -> None:
    """As in a lane: its caller gets the error, the next one an answer."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, in_spare_time=True, clock=idle) as queue:
            first = queue.submit(picture(0), deadline_s=FAR)
            await engine.began()
            poisoned, good = (queue.submit(picture(value), deadline_s=FAR) for value in (POISON, 5))
            with pytest.raises(EngineError, match="poison"):
                await poisoned
            assert scores([await good]) == [5]
            assert log.failures == 1
            engine.let_go()
            await first

    with_loop(check())
