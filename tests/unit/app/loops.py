"""Coroutines of tests, on an event loop of their own."""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest


def with_loop(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, and let nothing hang."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


async def turns() -> None:
    """Let everybody else on the loop go on until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


@contextlib.contextmanager
def stopped_clock() -> Iterator[Callable[[float], None]]:
    """Let the time of the running event loop stand still, but for the seconds by which the test puts it forward.

    Nothing may be waited for meanwhile, `turns` aside.
    """
    loop = asyncio.get_running_loop()
    now_s = loop.time()

    def put_forward(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", lambda: now_s)
        yield put_forward


@contextlib.contextmanager
def no_error_in_a_circle() -> Iterator[None]:
    """Fail if an error stays in memory, with the frames that it passed, until the garbage collection finds it."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        assert [thing for thing in gc.garbage if isinstance(thing, BaseException)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
