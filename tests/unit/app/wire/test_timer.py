"""A wait that can be cut short, on a clock that the test puts forward."""

import asyncio

from app.wire.timer import Timer
from tests.unit.app.loops import stopped_clock, turns, with_loop


def test_it_calls_once_when_its_time_is_over() -> None:
    """Not before; and in the call it runs no more, so that it can be started again from there."""

    async def check() -> None:
        calls: list[bool] = []
        timer = Timer(asyncio.get_running_loop())
        assert not timer.is_running
        with stopped_clock() as put_forward:
            timer.start(2, lambda: calls.append(timer.is_running))
            for seconds, expected in ((1.9, []), (0.2, [False]), (10, [False])):
                put_forward(seconds)
                await turns()
                assert calls == expected
                assert timer.is_running == (not expected)

    with_loop(check())


def test_what_is_cancelled_does_not_call() -> None:
    """Nor is it an error to cancel what does not run."""

    async def check() -> None:
        calls: list[bool] = []
        timer = Timer(asyncio.get_running_loop())
        with stopped_clock() as put_forward:
            timer.cancel()
            timer.start(1, lambda: calls.append(True))
            timer.cancel()
            assert not timer.is_running
            put_forward(2)
            await turns()
            assert calls == []

    with_loop(check())


def test_a_new_start_takes_the_place_of_the_old_one() -> None:
    """Of the two calls only the second comes, at its own time."""

    async def check() -> None:
        calls: list[str] = []
        timer = Timer(asyncio.get_running_loop())
        with stopped_clock() as put_forward:
            timer.start(1, lambda: calls.append("old"))
            timer.start(3, lambda: calls.append("new"))
            for seconds, expected in ((2, []), (2, ["new"])):
                put_forward(seconds)
                await turns()
                assert calls == expected

    with_loop(check())
