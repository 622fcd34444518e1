"""Somebody who waits for an answer: until a deadline, and as long as they are there."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.errors import DeadlineError

T = TypeVar("T")


class Caller:
    """Everything that is done for one request ends when its caller hangs up or its time is over.

    Args:
        receive: ASGI's, of a request whose body was read to its end. It is listened to: Starlette goes on with a
            handler whose client has left. None where whoever has the connection calls `hang_up`.
        timeout_s: seconds from now to the deadline.
        clock: clock of the deadline, in seconds.

    Attributes:
        deadline_s: seconds on the clock.
    """

    def __init__(
        self, receive: Receive | None, *, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.deadline_s = clock() + timeout_s
        self._clock = clock
        self._receive = receive
        self._awaited: set[asyncio.Future[Any]] = set()
        self._verdict: Callable[[], Exception] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Caller":
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, self.left_s), self._time_is_over)
        if self._receive:
            self._listener = loop.create_task(self._listen(self._receive))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()
        if self._listener:
            self._listener.cancel()

    @property
    def left_s(self) -> float:
        """Seconds that are left of the caller's time."""
        return self.deadline_s - self._clock()

    def require_waiting(self) -> None:
        """Do nothing while somebody waits.

        Raises:
            ClientDisconnect: the caller hung up.
            DeadlineError: the time is over.
        """
        if self._verdict:
            raise self._verdict()

    async def wait(self, future: asyncio.Future[T]) -> T:
        """Wait for one thing; it is cancelled when the caller leaves or the time is over.

        Raises:
            ClientDisconnect: the caller hung up.
            DeadlineError: the time is over.
        """
        if self._verdict:
            future.cancel()
            raise self._verdict()
        self._awaited.add(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                self.require_waiting()
            raise
        finally:
            self._awaited.discard(future)
            del future  # the error that it may hold leads back here: a circle that would keep the picture's bytes

    def hang_up(self) -> None:
        """Say that nobody waits any more."""
        self._give_up(_hung_up)

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.hang_up()

    def _time_is_over(self) -> None:
        self._give_up(_too_late)

    def _give_up(self, verdict: Callable[[], Exception]) -> None:
        self._verdict = self._verdict or verdict
        for future in self._awaited:
            future.cancel()


def _hung_up() -> ClientDisconnect:
    return ClientDisconnect("The caller hung up before the answer was there.")


def _too_late() -> DeadlineError:
    return DeadlineError(
        "The answer was not there in the time that the request had. Send it again later, or give it more time "
        "with X-Request-Timeout-Ms."
    )
