"""The event loop in the place of the lanes, beside an engine whose lanes run only when the test lets them."""

import asyncio

import pytest

from app.errors import DeadlineError, EngineError
from tests.unit.app.lanes import FAR, POISON, GatedEngine, Log, picture, running, scores
from tests.unit.app.loops import with_loop


def test_what_a_turn_brings_is_one_run_on_the_event_loop() -> None:
    """No lane hears of it, and afterwards nothing is left to do."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, on_the_spot=8) as queue:
            for first in (0, 10):
                brought = [queue.submit(picture(first + value), deadline_s=FAR) for value in range(3)]
                idles = log.idles
                assert scores(await asyncio.gather(*brought)) == [first, first + 1, first + 2]
                assert log.idles > idles
        assert (log.sizes, log.waiting, engine.runs) == ([3, 3], [0, 0], [])

    with_loop(check())


def test_more_than_one_run_waits_for_the_next_turn() -> None:
    """Who comes in between rides along, and is heard before the rest is run."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, on_the_spot=4) as queue:
            first = [queue.submit(picture(value), deadline_s=FAR) for value in range(6)]
            await first[0]
            assert (log.sizes, first[5].done()) == ([4], False)
            late = queue.submit(picture(6), deadline_s=FAR)
            assert scores([await late, *await asyncio.gather(*first)]) == [6, *range(6)]
        assert (log.sizes, engine.runs) == ([4, 3], [])

    with_loop(check())


def test_a_crowd_wakes_the_lanes() -> None:
    """A lane takes a batch of it, and while that runs the event loop answers all others."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, on_the_spot=2, max_batch_size=2) as queue:
            crowd = [queue.submit(picture(value), deadline_s=FAR) for value in range(240)]
            engine.keep_until_began()  # a turn that is long enough for the lane to wake
            (held,) = engine.runs
            others = [answer for value, answer in enumerate(crowd) if value not in held]
            assert scores(await asyncio.gather(*others)) == [value for value in range(240) if value not in held]
            assert [crowd[value].done() for value in held] == [False] * len(held)
            engine.let_go()
            assert scores(await asyncio.gather(*crowd)) == [*range(240)]

    with_loop(check())


def test_a_prepared_batch_is_cut_to_what_the_event_loop_may_run() -> None:
    """While the lane is busy a whole batch is prepared for it; of that the event loop takes its own most."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, on_the_spot=3, max_batch_size=8) as queue:
            golden = queue.submit_first([picture(1), picture(2)], deadline_s=FAR)
            await engine.began()
            crowd = [queue.submit(picture(value), deadline_s=FAR) for value in range(20)]
            assert scores(await asyncio.gather(*crowd)) == [*range(20)]
            assert max(log.sizes) == 3
            engine.let_go()
            assert scores(await asyncio.gather(*golden)) == [1, 2]

    with_loop(check())


def test_who_has_left_or_has_no_time_left_is_not_run() -> None:
    """As in a lane; and a turn that has brought nobody else is over at once."""

    async def check() -> None:
        log = Log()
        async with running(GatedEngine(), log, on_the_spot=8, clock=lambda: 1.0) as queue:
            gone = queue.submit(picture(0), deadline_s=FAR)
            late = queue.submit(picture(1), deadline_s=0.5)
            gone.cancel()
            with pytest.raises(DeadlineError):
                await late
        assert (log.sizes, log.drops["abandoned"], log.drops["expired"]) == ([], 1, 1)

    with_loop(check())


def test_a_poisoned_picture_fails_alone() -> None:
    """The others of its run are answered."""

    async def check() -> None:
        log = Log()
        async with running(GatedEngine(), log, on_the_spot=8) as queue:
            brought = [queue.submit(picture(value), deadline_s=FAR) for value in (1, POISON, 2, 3)]
            with pytest.raises(EngineError, match="poison"):
                await brought[1]
            assert scores([await brought[0], await brought[2], await brought[3]]) == [1, 2, 3]
            assert log.failures == 1

    with_loop(check())


def test_the_judge_hears_the_event_loop_and_the_lanes() -> None:
    """A golden picture alone is run on the spot, several by a lane."""

    async def check() -> None:
        log, engine = Log(), GatedEngine()
        async with running(engine, log, on_the_spot=8) as queue:
            assert scores([await queue.submit_first([picture(1)], deadline_s=FAR)[0]]) == [1]
            assert engine.runs == []
            several = queue.submit_first([picture(2), picture(3)], deadline_s=FAR)
            await engine.began()
            engine.let_go()
            assert scores(await asyncio.gather(*several)) == [2, 3]
        assert engine.runs == [[2, 3]]

    with_loop(check())


def test_a_drain_answers_what_the_last_turn_brought() -> None:
    """It begins before the turn is over."""

    async def check() -> None:
        async with running(GatedEngine(), Log(), on_the_spot=8) as queue:
            last = queue.submit(picture(5), deadline_s=FAR)
            draining = asyncio.ensure_future(queue.drain(timeout_s=10))
            assert scores([await last]) == [5]
            await draining

    with_loop(check())
