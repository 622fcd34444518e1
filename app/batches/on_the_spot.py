"""Where an engine is quick, the event loop runs what has come to it itself.

To hand pictures to a thread and their answers back costs as much as such an engine takes for them, and while
that thread has the interpreter the event loop waits for it (docs/benchmarks.md).
"""

import asyncio

from app.batches.queues import Queue
from app.batches.runs import BatchEvents, Runner, deliver


class OnTheSpot:
    """Runs at the end of a turn what the turn has brought; to be made and used on the event loop.

    It knows the queue, and not who drains it: a circle would keep a replaced model in memory.

    Args:
        runner: runs on this thread; the event loop does nothing else meanwhile.
        queue: the queue that the lanes take from, too.
        most: pictures of one run.
        events: hears when nothing waits any more.
    """

    def __init__(self, runner: Runner, queue: Queue, *, most: int, events: BatchEvents) -> None:
        self._runner = runner
        self._queue = queue
        self._most = most
        self._events = events
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
            deliver(self._runner(batch))
        if len(queue):
            self.look_again()
        else:
            self._events.idle()
