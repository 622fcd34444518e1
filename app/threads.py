"""Work that may never end, and must not keep the process then."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

LAST_WORK_S = 1.0
"""What still runs gets so long when all requests are over; what hangs must not keep the process."""

T = TypeVar("T")


async def in_own_thread(work: Callable[[], T]) -> T:
    """Run work in a daemon thread: for those of `asyncio.to_thread` the event loop waits at its end, however long.

    Raises:
        Exception: what the work raised.
        RuntimeError: from what is no Exception, as a panic in Rust.
    """
    outcome = Future[T]()
    outcome.set_running_or_notify_cancel()  # a thread cannot be called off
    threading.Thread(target=_run, args=[work, outcome], daemon=True).start()
    waiting = asyncio.wrap_future(outcome)
    del outcome
    try:
        return await waiting
    finally:
        del waiting  # an error passes this frame, which must not hold it: it would stay, with what the work made


def _run(work: Callable[[], T], outcome: Future[T]) -> None:
    try:
        outcome.set_result(work())
    except Exception as error:  # noqa: BLE001 - whoever waits for it hears it
        outcome.set_exception(error)
    except BaseException as error:  # noqa: BLE001 - else who waits would wait for ever
        failure = RuntimeError(f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        outcome.set_exception(failure)
        del failure
    finally:
        del outcome  # as above: this frame is the first that the error passes


async def end_threads(pool: ThreadPoolExecutor) -> None:
    """End the threads of a pool: what waits for them is dropped, what runs on them has `LAST_WORK_S`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORK_S):
            await in_own_thread(partial(pool.shutdown, cancel_futures=True))
