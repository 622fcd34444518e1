"""A wait that can be cut short."""

import asyncio
from collections.abc import Callable


class Timer:
    """Calls back once when its time is over, unless it is cancelled or starts anew before that.

    Args:
        loop: the event loop that keeps the time.
    """

    __slots__ = ("_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether the call is still to come."""
        return self._handle is not None

    def start(self, seconds: float, callback: Callable[[], None]) -> None:
        """Begin to wait; a wait that is running begins anew."""
        self.cancel()
        self._handle = self._loop.call_later(seconds, self._end, callback)

    def cancel(self) -> None:
        """End the wait, if there is one, without the call."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _end(self, callback: Callable[[], None]) -> None:
        self._handle = None
        callback()
