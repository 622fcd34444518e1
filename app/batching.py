"""Requests become batches: bounded, without waiting, and nobody is run who has already left.

    submit ──▶ queue ──▶ a batch, the moment a lane is free ──▶ engine thread ──▶ every caller's future

The engine takes what is there, up to its cap; there is no artificial delay. When the queue reaches a whole batch
while the engine is busy, that batch is prepared at once, so that the engine finds it ready. Less than a whole one
waits for the engine instead: who arrives meanwhile still rides along. An engine may have several lanes, one thread
each, that run batches of their own at the same time. While all lanes are busy and the event loop has nothing else
to do, the event loop runs single pictures itself: its core would only wait. Where an engine is quick the event
loop runs all that a turn has brought, and lanes are for what is more.

Source: text-embeddings-inference: no delay, one batch ahead, closed callers filtered when a batch is formed.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from app.batches.on_the_spot import OnTheSpot
from app.batches.patience import Patience
from app.batches.queues import Queue
from app.batches.runs import Batch, BatchEvents, Clock, Item, Result, Run, Runner, deliver, settle
from app.batches.spare_time import SpareTime
from app.errors import EngineLostError, NotReadyError, OverloadedError
from app.logs import SERVICE
from models.preprocessing import Images

_BATCHES_OF_A_CROWD = 2
"""Where the event loop runs pictures on the spot, lanes begin when so many whole batches wait: one large request
brought them, and the lanes run while the event loop still decodes."""


class Batcher:
    """A queue in front of one engine, and the threads that run it.

    Args:
        run: the engine's run.
        warm_up: called by each lane before its first run.
        lanes: number of threads; so many runs happen at the same time.
        max_batch_size: most pictures of one run.
        max_queue: most pictures that may wait, beside those that go first.
        retry_after_s: asked for the whole seconds after which there is room again, where so many wait.
        events: hears of everything that happens.
        longest_run_s: how long a lane's run may take, in seconds in which the event loop turns.
        clock: clock of the deadlines, in seconds.
    """

    def __init__(
        self,
        run: Run,
        *,
        warm_up: Callable[[], None] = lambda: None,
        lanes: int = 1,
        max_batch_size: int,
        max_queue: int,
        retry_after_s: Callable[[], int] = lambda: 1,
        events: BatchEvents,
        longest_run_s: float = math.inf,
        clock: Clock = time.monotonic,
    ) -> None:
        self._spare_time: SpareTime | None = None
        self._on_the_spot: OnTheSpot | None = None
        self._max_queue = max_queue
        self._retry_after_s = retry_after_s
        self._crowd = _BATCHES_OF_A_CROWD * max_batch_size
        self._events = events
        self._clock = clock
        self._queue = Queue(max_batch_size=max_batch_size, events=events, clock=clock)
        self._lanes = [self._runner(run) for _ in range(lanes)]
        self._patience = [Patience(runner, longest_s=longest_run_s) for runner in self._lanes]
        self._is_closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._warm_up = warm_up
        self._warm = [Future[None]() for _ in range(lanes)]
        self._ended = [Future[None]() for _ in range(lanes)]
        self._threads = [
            threading.Thread(target=self._live, args=lane, name=f"engine_{number}", daemon=True)
            for number, lane in enumerate(zip(self._lanes, self._warm, self._ended, strict=True))
        ]

    @property
    def waiting(self) -> int:
        """How many pictures wait; to be asked on any thread."""
        return len(self._queue)

    async def start(self) -> None:
        """Start the engine's threads, and wait until each is warm; answers go to the running event loop.

        Raises:
            Exception: what `warm_up` raised.
        """
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        await asyncio.gather(*map(asyncio.wrap_future, self._warm))

    def run_in_spare_time(self, run_aside: Run) -> None:
        """Let the event loop run single pictures while all lanes are busy and it has nothing else to do.

        Args:
            run_aside: an engine's run on this thread; the event loop does nothing else while it runs.
        """
        self._spare_time = SpareTime(self._runner(run_aside), self._queue, clock=self._clock)

    def run_on_the_spot(self, run_aside: Run, *, most: int) -> None:
        """Let the event loop run what a turn has brought; lanes run only what a crowd brings, beside it.

        Args:
            run_aside: an engine's run on this thread; the event loop does nothing else while it runs.
            most: pictures of one such run.
        """
        self._on_the_spot = OnTheSpot(self._runner(run_aside), self._queue, most=most, events=self._events)

    def submit(self, image: Images, *, deadline_s: float) -> asyncio.Future[Result]:
        """Put one picture into the queue; to be called on the event loop.

        Cancel the future to give up: a picture that nobody waits for is never run.

        Args:
            image: uint8 (height, width, 3).
            deadline_s: seconds on the clock; a picture that is still waiting then is not run.

        Returns:
            The future answer; it fails with DeadlineError or EngineError.

        Raises:
            OverloadedError: the queue is full.
            NotReadyError: the batcher is being closed.
        """
        item, queue = self._item(image, deadline_s), self._queue
        with queue.changed:
            if self._is_closing:
                raise self._stopping()
            if len(queue) >= self._max_queue and (waiting := queue.pictures_of_callers) >= self._max_queue:
                self._events.dropped("queue_full")
                raise OverloadedError(
                    f"{waiting:,} pictures wait already; the limit is {self._max_queue:,} (GLIMPSE_MAX_QUEUE). "
                    "Come back after Retry-After seconds.",
                    retry_after_s=self._retry_after_s(),
                    reason="queue_full",
                )
            queue.put(item, wakes_lane=not self._on_the_spot or len(queue) >= self._crowd)
        if self._on_the_spot:
            self._on_the_spot.look_again()
        elif self._spare_time and not queue.idle_lanes:
            self._spare_time.look_again()
        return item.answer

    def submit_first(self, images: Sequence[Images], *, deadline_s: float) -> list[asyncio.Future[Result]]:
        """Put pictures before all that wait, full or not: for those by which the service itself is judged.

        A long queue is no fault of the engine, and must not look like one. One picture alone goes the way of what
        comes alone, several go to a lane.

        Args:
            images: uint8 (height, width, 3) each.
            deadline_s: seconds on the clock; a picture that is still waiting then is not run.

        Raises:
            NotReadyError: the batcher is being closed.
        """
        items = [self._item(image, deadline_s) for image in images]
        with self._queue.changed:
            if self._is_closing:
                raise self._stopping()
            self._queue.put_first(items, wakes_lane=not self._on_the_spot or len(items) > 1)
        if self._on_the_spot and len(items) == 1:
            self._on_the_spot.look_again()
        return [item.answer for item in items]

    def turned(self, seconds: float) -> None:
        """Hear that the event loop has turned for so long more; called on it, again and again.

        An engine with a run that has not come back by then is lost: all who wait for it hear so, and nobody else
        is taken. The event loop's own runs are none of this: while one hangs nothing is called.
        """
        for patience in self._patience:
            if patience.is_over(turned_s=seconds):
                self._give_up(patience)
                return

    async def drain(self, *, timeout_s: float) -> None:
        """Refuse new pictures, answer all that wait, then end the threads.

        Args:
            timeout_s: most seconds that this takes: a run may never end.
        """
        with self._queue.changed:
            self._is_closing = True
            self._queue.changed.notify_all()
        ended = [
            asyncio.wrap_future(end)
            for thread, end in zip(self._threads, self._ended, strict=True)
            if thread.ident is not None
        ]
        if ended:
            await asyncio.wait(ended, timeout=timeout_s)

    def _runner(self, run: Run) -> Runner:
        return Runner(run, events=self._events, clock=self._clock, waiting=self._queue)

    def _give_up(self, patience: Patience) -> None:
        """Fail the batch of a lane that hangs, and all who wait: other lanes may end what they run."""
        batch = patience.runner.batch
        if batch is None:  # it has come back in this very moment
            return
        self._patience = []
        with self._queue.changed:
            self._is_closing = True
            items = [*batch.items, *self._queue.clear()]
            self._queue.changed.notify_all()
        size = len(batch.items)
        facts = {"seconds": round(patience.waited_s), "pictures": size, "waiting": len(items) - size}
        SERVICE.error("a run of the engine does not come back", extra={"fields": facts})
        lost = EngineLostError(
            f"A run of {size} pictures has not come back for {patience.waited_s:.0f} s. Restart the service."
        )
        deliver([(item, lost) for item in items])
        self._events.failed(lost)

    def _item(self, image: Images, deadline_s: float) -> Item:
        assert self._loop is not None, "start() comes first"
        return Item(image, deadline_s, self._clock(), self._loop.create_future())

    def _stopping(self) -> NotReadyError:
        """Count a picture that came too late, and say why it is not taken."""
        self._events.dropped("draining")
        return NotReadyError("The service is stopping. Send the picture again soon.")

    def _live(self, runner: Runner, warm: Future[None], ended: Future[None]) -> None:
        """Warm a lane up, then run batches until there will be no more."""
        if not warm.set_running_or_notify_cancel():  # the start was given up
            ended.set_result(None)
            return
        try:
            self._warm_up()
        except Exception as error:  # noqa: BLE001 - whatever it is, who starts us must know
            warm.set_exception(error)
        else:
            warm.set_result(None)
            self._answer_batches(runner)
        finally:
            ended.set_result(None)

    def _answer_batches(self, runner: Runner) -> None:
        """Run what comes; a fault of ours between two batches ends the lane, and must not do so in silence."""
        try:
            while batch := self._next():
                settle(runner(batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, only a new process has all lanes again
            SERVICE.error("a lane of the engine has ended", exc_info=error)
            lost = EngineLostError(f"A lane has ended ({type(error).__name__}: {error}). Restart the service.")
            self._events.failed(lost)

    def _next(self) -> Batch | None:
        """Wait for a batch; None when there will be none any more."""
        queue = self._queue
        with queue.changed:
            while True:
                batch = queue.take()
                if batch or self._is_closing:
                    return batch
                self._events.idle()
                queue.idle_lanes += 1
                queue.changed.wait()
                queue.idle_lanes -= 1
