"""One at a time: a run of the lab takes a thread, and the next waits for its turn, but not for long."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

from app.errors import NotReadyError, OverloadedError
from app.threads import end_threads

_MOST_WAITING = 8
_RETRY_AFTER_S = 2
"""A run takes some tenths of a second; who comes back after this finds the queue shorter."""

T = TypeVar("T")


class Turns:
    """Runs work in one thread and on one core, so that the lab leaves the others to /predict.

    Args:
        max_wait_s: most seconds that a run waits for its turn; after that it is refused.
    """

    def __init__(self, *, max_wait_s: float = 3.0) -> None:
        self._max_wait_s = max_wait_s
        self._turn = asyncio.Lock()
        self._waiting = 0
        # torch keeps the number of its threads for each thread that calls it
        self._thread = ThreadPoolExecutor(1, "lab", initializer=partial(torch.set_num_threads, 1))

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in the thread.

        Raises:
            OverloadedError: its turn did not come in time, or too many wait for theirs.
            NotReadyError: the service is stopping.
            Exception: what the work raises.
        """
        await self._take_turn()
        try:
            running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError as error:  # the thread has ended
            self._turn.release()
            raise NotReadyError("The service is stopping. Run the demo elsewhere.") from error
        running.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(running)  # the turn lasts as long as the thread is busy, whoever hangs up

    async def close(self) -> None:
        """Wait for the run in progress, but not for long, and end the thread."""
        await end_threads(self._thread)

    async def _take_turn(self) -> None:
        if self._waiting >= _MOST_WAITING:
            raise _busy(f"{_MOST_WAITING} others wait for their turn")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise _busy(f"others took the last {self._max_wait_s:g} s") from error
        finally:
            self._waiting -= 1


def _busy(reason: str) -> OverloadedError:
    return OverloadedError(
        f"The tensor lab runs one demo at a time, and {reason}. Come back after Retry-After seconds.",
        retry_after_s=_RETRY_AFTER_S,
        reason="lab_busy",
    )
