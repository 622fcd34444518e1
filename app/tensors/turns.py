"""One at a time: a run of the lab takes a thread, and the next waits for its turn, but not for long."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from app.errors import OverloadedError

_RETRY_AFTER_S = 2
"""A run takes some tenths of a second; who comes back after this finds the queue shorter."""

T = TypeVar("T")


class Turns:
    """Runs work in a thread, one piece at a time, so that the lab takes one thread from /predict and not forty.

    Args:
        max_wait_s: who would wait longer for its turn is sent away.
    """

    def __init__(self, *, max_wait_s: float = 3.0) -> None:
        self._max_wait_s = max_wait_s
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in a thread.

        Raises:
            OverloadedError: its turn did not come in time.
            Exception: what the work raises.
        """
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise OverloadedError(
                f"The tensor lab runs one demo at a time, and others took the last {self._max_wait_s:g} s. "
                "Come back after Retry-After seconds.",
                retry_after_s=_RETRY_AFTER_S,
            ) from error
        running = asyncio.get_running_loop().run_in_executor(None, work)
        running.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(running)  # the turn lasts as long as the thread is busy, whoever hangs up
