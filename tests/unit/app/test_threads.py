"""Work in a thread of its own: its outcome comes back, and nobody waits for what does not end."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable

import pytest

from app.threads import in_own_thread
from tests.unit.app.loops import no_error_in_a_circle, turns, with_loop


def test_the_result_and_the_fault_come_back() -> None:
    """As if the work had been done here."""

    async def check() -> None:
        assert await in_own_thread(lambda: threading.current_thread().daemon)
        with pytest.raises(ZeroDivisionError, match="zero"):
            await in_own_thread(lambda: 1 // 0)

    with_loop(check())


def test_what_is_no_exception_comes_back_as_one() -> None:
    """Whoever waited would wait for ever, or the event loop end."""

    async def check() -> None:
        with pytest.raises(RuntimeError, match=r"^SystemExit: panic$"):
            await in_own_thread(lambda: sys.exit("panic"))

    with_loop(check())


@pytest.mark.parametrize("work", [lambda: 1 // 0, lambda: sys.exit("panic")], ids=["error", "panic"])
def test_work_that_failed_does_not_stay_in_memory(work: Callable[[], object]) -> None:
    """A checkpoint that a reload refused has an engine, which is not small."""

    async def check() -> None:
        with no_error_in_a_circle():
            with contextlib.suppress(ZeroDivisionError, RuntimeError):
                await in_own_thread(work)
            await turns()  # until then the loop holds what it woke this task with

    with_loop(check())


def test_work_that_does_not_end_keeps_nobody() -> None:
    """Who waits can be cancelled, the event loop ends, and what comes afterwards is heard by nobody."""
    gate, threads = threading.Event(), list[threading.Thread]()

    def wait() -> None:
        threads.append(threading.current_thread())
        gate.wait()

    async def check() -> None:
        waiting = asyncio.create_task(in_own_thread(wait))
        while not threads:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError, match=r"^$"):
            await waiting

    ending = threading.Thread(target=lambda: with_loop(check()), daemon=True)
    ending.start()
    ending.join(10)
    is_over = not ending.is_alive()
    gate.set()
    threads[0].join(10)
    assert is_over
