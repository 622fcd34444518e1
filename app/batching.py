"""Requests become batches: bounded, without waiting, and nobody is run who has already left.

    submit ──▶ queue ──▶ a batch, the moment a lane is free ──▶ engine thread ──▶ every caller's future

The engine takes what is there, up to its cap; there is no artificial delay. When the queue reaches a whole batch
while the engine is busy, that batch is prepared at once, so that the engine finds it ready. Less than a whole one
waits for the engine instead: who arrives meanwhile still rides along. An engine may have several lanes, one thread
each, that run batches of their own at the same time. While all lanes are busy and the event loop has nothing else
to do, the event loop runs single pictures itself: its core would only wait.

Source: text-embeddings-inference: no delay, one batch ahead, closed callers filtered when a batch is formed.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from app.errors import DeadlineError, EngineError, EngineLostError, NotReadyError, OverloadedError
from models.preprocessing import Answers, Images

Run = Callable[[Images], Answers]
"""uint8 (n, height, width, 3) → float32, one row for each."""


class Result(NamedTuple):
    """What the engine found out about one picture.

    Attributes:
        probabilities: float32 (classes,), the distance behind them if the checkpoint has one.
        queue_ms: from submission to the start of its batch.
        infer_ms: that its batch took.
        batch_size: how many rode along, this one included.
    """

    probabilities: Answers
    queue_ms: float
    infer_ms: float
    batch_size: int


_IDLE_TURN_S = 0.0001
"""A turn of the event loop that takes longer did something for somebody; hearing one request takes 0.1 ms."""


class BatchEvents(Protocol):
    """Who wants to know what happens in the queue; called by the event loop and by the engine thread."""

    def dropped(self, reason: str) -> None:
        """A picture left the queue unanswered: "queue_full", "expired", "abandoned" or "draining"."""
        ...

    def ran(self, *, size: int, infer_ms: float, waiting: int) -> None:
        """A batch was answered; so many still wait."""
        ...

    def idle(self) -> None:
        """Nothing waits any more, and a lane has nothing to do."""
        ...

    def failed(self, error: EngineError) -> None:
        """A picture was run alone and failed."""
        ...


@dataclass(slots=True)
class _Item:
    image: Images
    deadline_s: float
    submitted_s: float
    answer: asyncio.Future[Result]


@dataclass(slots=True)
class _Batch:
    items: list[_Item]
    images: Images


class Batcher:
    """A queue in front of one engine, and the threads that run it.

    Args:
        run: the engine.
        warm_up: called by each thread before its first run.
        lanes: threads; so many runs happen at the same time.
        max_batch_size: most pictures of one run.
        max_queue: most pictures that wait.
        events: told of everything that happens.
        clock: seconds that only grow; deadlines are on it.
    """

    def __init__(
        self,
        run: Run,
        *,
        warm_up: Callable[[], None] = lambda: None,
        lanes: int = 1,
        max_batch_size: int,
        max_queue: int,
        events: BatchEvents,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._run_aside: Run | None = None
        self._looking_since_s: float | None = None
        self._max_batch_size = max_batch_size
        self._max_queue = max_queue
        self._events = events
        self._clock = clock
        self._queue: deque[_Item] = deque()
        self._prepared: _Batch | None = None
        self._idle_lanes = 0
        self._is_closing = False
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._warm_up = warm_up
        self._warm = [Future[None]() for _ in range(lanes)]
        self._ended = [Future[None]() for _ in range(lanes)]
        self._threads = [
            threading.Thread(target=self._live, args=(warm, ended), name=f"engine_{lane}", daemon=True)
            for lane, (warm, ended) in enumerate(zip(self._warm, self._ended, strict=True))
        ]

    @property
    def waiting(self) -> int:
        """How many pictures wait; those that are running do not count."""
        prepared = self._prepared  # read once: another thread may take it
        return len(self._queue) + (len(prepared.items) if prepared else 0)

    async def start(self) -> None:
        """Start the engine's threads, and wait until each is warm; answers go to the running event loop.

        Raises:
            Exception: what `warm_up` raised.
        """
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        await asyncio.gather(*map(asyncio.wrap_future, self._warm))

    def help_with(self, run_aside: Run) -> None:
        """Let the event loop run single pictures while all lanes are busy and it has nothing else to do.

        Args:
            run_aside: an engine for this thread; the event loop does nothing else while it runs.
        """
        self._run_aside = run_aside

    def submit(self, image: Images, *, deadline_s: float) -> asyncio.Future[Result]:
        """Put one picture into the queue; to be called on the event loop.

        Cancel the future to give up: a picture that nobody waits for is never run.

        Args:
            image: uint8 (height, width, 3).
            deadline_s: on the clock; a picture that is still waiting then is not run.

        Returns:
            The future answer; it fails with DeadlineError or EngineError.

        Raises:
            OverloadedError: the queue is full.
            NotReadyError: the batcher is being closed.
        """
        item = self._item(image, deadline_s)
        with self._changed:
            self._refuse_if_closing()
            if self.waiting >= self._max_queue:
                self._events.dropped("queue_full")
                raise OverloadedError(
                    f"{self.waiting:,} pictures wait already, which is the limit. Send it again later.",
                    retry_after_s=1,
                )
            self._queue.append(item)
            if not self._idle_lanes and self._prepared is None and len(self._queue) >= self._max_batch_size:
                self._prepared = self._form()
            self._changed.notify()
        if self._run_aside and not self._idle_lanes:
            self._look_again()
        return item.answer

    def submit_first(self, images: Sequence[Images], *, deadline_s: float) -> list[asyncio.Future[Result]]:
        """Put pictures before all that wait, full or not: for those by which the service itself is judged.

        A long queue is no fault of the engine, and must not look like one.

        Args:
            images: uint8 (height, width, 3) each.
            deadline_s: as for `submit`.

        Raises:
            NotReadyError: the batcher is being closed.
        """
        items = [self._item(image, deadline_s) for image in images]
        with self._changed:
            self._refuse_if_closing()
            self._queue.extendleft(reversed(items))
            self._changed.notify()
        return [item.answer for item in items]

    async def drain(self, *, timeout_s: float) -> None:
        """Refuse new pictures, answer all that wait, then end the threads.

        Args:
            timeout_s: most that this takes: a run may never end.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        ended = [
            asyncio.wrap_future(end)
            for thread, end in zip(self._threads, self._ended, strict=True)
            if thread.ident is not None
        ]
        if ended:
            await asyncio.wait(ended, timeout=timeout_s)

    def _look_again(self) -> None:
        if self._looking_since_s is None:
            assert self._loop is not None
            self._looking_since_s = self._clock()
            self._loop.call_soon(self._help)

    def _help(self) -> None:
        """Run one picture on the event loop, if every lane is busy and its last turn had nothing else to do."""
        assert self._looking_since_s is not None
        turn_s = self._clock() - self._looking_since_s
        self._looking_since_s = None
        with self._changed:
            is_needed = not self._idle_lanes and self.waiting > 0
            batch = self._take_one() if is_needed and turn_s < _IDLE_TURN_S else None
        if batch:
            assert self._run_aside is not None
            _deliver(self._outcome(batch, self._run_aside))
        if is_needed:
            self._look_again()

    def _take_one(self) -> _Batch | None:
        """Take the picture that would wait longest: the first behind the prepared batch, else the last in it."""
        while self._queue:
            item = self._queue.popleft()
            if self._is_wanted(item):
                return _Batch([item], item.image[None])
        if self._prepared is None:
            return None
        *others, item = self._prepared.items
        self._prepared = _Batch(others, self._prepared.images[:-1]) if others else None
        return _Batch([item], item.image[None]) if self._is_wanted(item) else None

    def _item(self, image: Images, deadline_s: float) -> _Item:
        assert self._loop is not None, "start() comes first"
        return _Item(image, deadline_s, self._clock(), self._loop.create_future())

    def _refuse_if_closing(self) -> None:
        if self._is_closing:
            self._events.dropped("draining")
            raise NotReadyError("The service is stopping. Send the picture again soon.")

    def _live(self, warm: Future[None], ended: Future[None]) -> None:
        try:
            self._work(warm)
        finally:
            ended.set_result(None)

    def _work(self, warm: Future[None]) -> None:
        try:
            self._warm_up()
        except Exception as error:  # noqa: BLE001 - whatever it is, who starts us must know
            warm.set_exception(error)
            return
        warm.set_result(None)
        while batch := self._next():
            self._settle(self._outcome(batch, self._run))

    def _next(self) -> _Batch | None:
        """Wait for work; None when there will be none any more."""
        with self._changed:
            while True:
                batch = self._still_wanted(self._prepared) if self._prepared else None
                self._prepared = None
                batch = batch or self._form()
                if batch or self._is_closing:
                    return batch
                self._events.idle()
                self._idle_lanes += 1
                self._changed.wait()
                self._idle_lanes -= 1

    def _form(self) -> _Batch | None:
        """Take from the queue who is still worth running, up to a whole batch."""
        items: list[_Item] = []
        while self._queue and len(items) < self._max_batch_size:
            item = self._queue.popleft()
            if self._is_wanted(item):
                items.append(item)
        return _Batch(items, np.stack([item.image for item in items])) if items else None

    def _still_wanted(self, batch: _Batch) -> _Batch | None:
        """Look again at a batch that was prepared ahead: somebody may have left since."""
        keep = [index for index, item in enumerate(batch.items) if self._is_wanted(item)]
        if len(keep) == len(batch.items):
            return batch
        return _Batch([batch.items[index] for index in keep], batch.images[keep]) if keep else None

    def _is_wanted(self, item: _Item) -> bool:
        if item.deadline_s <= self._clock():
            self._events.dropped("expired")
            self._settle([(item, _too_late())])
            return False
        if item.answer.done():
            self._events.dropped("abandoned")
            return False
        return True

    def _outcome(self, batch: _Batch, run: Run) -> list[tuple[_Item, Result | Exception]]:
        try:
            return self._answers(batch, run)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave its callers waiting
            return [(item, self._failure(error)) for item in batch.items]

    def _answers(self, batch: _Batch, run: Run) -> list[tuple[_Item, Result | Exception]]:
        """Run a batch; one that fails is halved until the culprit is alone."""
        started_s = self._clock()
        size = len(batch.items)
        try:
            rows = run(batch.images)
            if rows.ndim != 2 or len(rows) != size:
                raise EngineError(f"The engine gave answers of shape {rows.shape} for {size} pictures.")
        except EngineLostError as error:
            self._events.failed(error)
            return [(item, error) for item in batch.items]
        except Exception as error:  # noqa: BLE001 - an engine may raise anything, and its thread must live
            return self._halves(batch, run) if size > 1 else [(batch.items[0], self._failure(error))]
        infer_ms = (self._clock() - started_s) * 1000
        self._events.ran(size=size, infer_ms=infer_ms, waiting=self.waiting)
        is_finite = np.logical_and.reduce(np.isfinite(rows), axis=1)
        return [
            (
                item,
                Result(row, (started_s - item.submitted_s) * 1000, infer_ms, size)
                if good
                else self._failure(ArithmeticError("the scores are not finite")),
            )
            for item, row, good in zip(batch.items, rows, is_finite, strict=True)
        ]

    def _halves(self, batch: _Batch, run: Run) -> list[tuple[_Item, Result | Exception]]:
        middle = len(batch.items) // 2
        first = _Batch(batch.items[:middle], batch.images[:middle])
        second = _Batch(batch.items[middle:], batch.images[middle:])
        return self._answers(first, run) + self._answers(second, run)

    def _failure(self, error: Exception) -> EngineError:
        failure = EngineError(f"The engine failed on a picture: {type(error).__name__}: {error}")
        failure.__cause__ = error
        self._events.failed(failure)
        return failure

    def _settle(self, answers: Sequence[tuple[_Item, Result | Exception]]) -> None:
        """Wake the event loop once for a whole batch."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_deliver, answers)


def _too_late() -> DeadlineError:
    return DeadlineError("The time that the request had is over. Send it again, or give it more time.")


def _deliver(answers: Sequence[tuple[_Item, Result | Exception]]) -> None:
    for item, answer in answers:
        if item.answer.done():
            continue  # given up while it ran
        if isinstance(answer, Exception):
            item.answer.set_exception(answer)
        else:
            item.answer.set_result(answer)
