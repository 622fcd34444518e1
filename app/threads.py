"""Work that may never end, and must not keep the process then."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if outcome.cancelled():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]  # without an error it is there

    def run() -> None:
        result: T | None = None
        error: Exception | None = None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001 - whoever waits for it hears it
            error = raised
        except BaseException as raised:  # noqa: BLE001 - else who waits would wait for ever
            error = RuntimeError(f"{type(raised).__name__}: {raised}")
            error.__cause__ = raised
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await outcome


async def end_threads(pool: ThreadPoolExecutor) -> None:
    """End the threads of a pool: what waits for them is dropped, what runs on them has `LAST_WORK_S`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORK_S):
            await in_own_thread(partial(pool.shutdown, cancel_futures=True))
