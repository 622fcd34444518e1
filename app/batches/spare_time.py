"""While every lane is busy and the event loop has nothing else to do, it runs single pictures itself.

Its core would only wait.
"""

import asyncio

from app.batches.queues import Queue
from app.batches.runs import Clock, Runner, deliver

_IDLE_TURN_S = 0.0001
"""A turn of the event loop that takes longer did something for somebody; hearing one request takes 0.1 ms."""


class SpareTime:
    """Looks once a turn whether it is needed, as long as somebody waits; to be made and used on the event loop.

    It knows the queue, and not who drains it: a circle would keep a replaced model in memory.

    Args:
        runner: runs on this thread; the event loop does nothing else meanwhile.
        queue: the queue that the lanes take from, too.
        clock: clock that a turn is measured with, in seconds.
    """

    def __init__(self, runner: Runner, queue: Queue, *, clock: Clock) -> None:
        self._runner = runner
        self._queue = queue
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._looking_since_s: float | None = None

    def look_again(self) -> None:
        """Look at the end of this turn; called when a picture came and no lane is idle."""
        if self._looking_since_s is None:
            self._looking_since_s = self._clock()
            self._loop.call_soon(self._run_one)

    def _run_one(self) -> None:
        """Run one picture, if every lane is busy and the last turn had nothing else to do."""
        assert self._looking_since_s is not None
        turn_s = self._clock() - self._looking_since_s
        self._looking_since_s = None
        queue = self._queue
        with queue.changed:
            is_needed = not queue.idle_lanes and len(queue) > 0
            batch = queue.take_one() if is_needed and turn_s < _IDLE_TURN_S else None
        if batch:
            deliver(self._runner(batch))
        if is_needed:
            self.look_again()
