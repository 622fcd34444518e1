"""Where an engine is quick, the event loop runs what has come to it itself.

To hand pictures to a thread and their answers back costs as much as such an engine takes for them, and while
that thread has the interpreter the event loop waits for it (docs/benchmarks.md).
"""

import asyncio

from app.batches.queues import Queue
from app.batches.runs import BatchEvents, Clock, Run, deliver, outcomes


class OnTheSpot:
    """Runs at the end of a turn what the turn has brought; to be made and used on the event loop.

    It knows the queue, and not who drains it: a circle would keep a replaced model in memory.

    Args:
        run: an engine's run on this thread; the event loop does nothing else while it runs.
        queue: the queue that the lanes take from, too.
        most: pictures of one run.
        events: hears of each run.
        clock: clock of the queue, in seconds.
    """

    def __init__(self, run: Run, queue: Queue, *, most: int, events: BatchEvents, clock: Clock) -> None:
        self._run = run
        self._queue = queue
        self._most = most
        self._events = events
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._is_looking = False

    def look_again(self) -> None:
        """Look at the end of this turn; called when a picture came."""
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_soon(self._run_batch)

    def _run_batch(self) -> None:
        """Run one batch; what is left waits for the next turn, with all that comes meanwhile."""
        self._is_looking = False
        queue = self._queue
        with queue.changed:
            batch = queue.take(most=self._most)
        if batch:
            deliver(outcomes(batch, self._run, events=self._events, clock=self._clock, waiting=queue))
        if len(queue):
            self.look_again()
        else:
            self._events.idle()
