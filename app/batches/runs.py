"""One run of an engine: a batch goes in, and every picture of it gets an answer, whatever happens on the way."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from app.errors import EngineError, EngineLostError
from models.preprocessing import Answers, Images

Run = Callable[[Images], Answers]
"""uint8 (n, height, width, 3) → float32 (n, columns), one row for each image."""
Clock = Callable[[], float]
"""Seconds that only grow."""


class Result(NamedTuple):
    """What the engine found out about one picture.

    Attributes:
        answers: float32 (classes,), probabilities; (classes + 1,) where the checkpoint has a distance, the last.
        queue_ms: time from submission to the start of its batch.
        infer_ms: time that its batch took.
        batch_size: pictures in its batch, this one included.
    """

    answers: Answers
    queue_ms: float
    infer_ms: float
    batch_size: int


class BatchEvents(Protocol):
    """Whoever wants to know what happens in the queue; called on the event loop and on the engine's threads."""

    def dropped(self, reason: str) -> None:
        """A picture left the queue unanswered: "queue_full", "expired", "abandoned" or "draining"."""
        ...

    def ran(self, *, size: int, infer_ms: float, waiting: int) -> None:
        """A batch was answered; so many still wait."""
        ...

    def idle(self) -> None:
        """Nothing waits any more."""
        ...

    def failed(self, error: EngineError) -> None:
        """A picture was run alone and failed."""
        ...


@dataclass(slots=True)
class Item:
    """A picture that waits for its answer.

    Attributes:
        image: uint8 (height, width, 3).
        deadline_s: seconds on the clock; it is not run after that.
        submitted_s: seconds on the clock, when it came.
        answer: future of whoever waits; it is done where nobody waits any more.
        goes_first: before all others, and with none of them in its batch.
    """

    image: Images
    deadline_s: float
    submitted_s: float
    answer: asyncio.Future[Result]
    goes_first: bool = False


@dataclass(slots=True)
class Batch:
    """Pictures that are run together.

    Attributes:
        items: the pictures, at least one.
        images: their pixels, uint8 (n, height, width, 3).
    """

    items: list[Item]
    images: Images


Outcomes = Sequence[tuple[Item, Result | Exception]]


class Runner:
    """Runs batches of one engine, one at a time; a batch that fails is halved until the culprit is alone.

    Each thread that runs batches has its own. Other threads may look at its attributes; it alone sets them.

    Args:
        run: the engine's run; whatever it raises becomes an outcome.
        events: hears of each run, and of each picture that failed alone.
        clock: clock of `submitted_s`, in seconds.
        waiting: the pictures that wait meanwhile; their number is told with each run.

    Attributes:
        batch: the one that it runs; None between two.
        begun: how many runs of the engine have begun, those of halves included.
    """

    def __init__(self, run: Run, *, events: BatchEvents, clock: Clock, waiting: Sized) -> None:
        self.batch: Batch | None = None
        self.begun = 0
        self._run = run
        self._events = events
        self._clock = clock
        self._waiting = waiting

    def __call__(self, batch: Batch) -> Outcomes:
        """Run a batch of pictures that are still wanted; each of them gets an outcome."""
        self.batch = batch
        try:
            return self._answers(batch)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave its callers waiting
            return [(item, self._failure(error)) for item in batch.items]
        finally:
            self.batch = None

    def _answers(self, batch: Batch) -> Outcomes:
        self.begun += 1
        started_s = self._clock()
        size = len(batch.items)
        try:
            rows = self._run(batch.images)
            if rows.ndim != 2 or len(rows) != size:
                raise EngineError(f"The engine gave answers of shape {rows.shape} for {size} pictures.")
        except EngineLostError as error:
            self._events.failed(error)
            return [(item, error) for item in batch.items]
        except Exception as error:  # noqa: BLE001 - an engine may raise anything, and its thread must live
            if size == 1:
                return [(batch.items[0], self._failure(error))]
            return [outcome for half in _halves(batch) for outcome in self._answers(half)]
        infer_ms = (self._clock() - started_s) * 1000
        self._events.ran(size=size, infer_ms=infer_ms, waiting=len(self._waiting))
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

    def _failure(self, error: Exception) -> EngineError:
        failure = EngineError(f"The engine failed on a picture: {type(error).__name__}: {error}")
        failure.__cause__ = error
        self._events.failed(failure)
        return failure


def settle(outcomes: Outcomes) -> None:
    """Give everybody their answer from any thread, and wake the event loop once for all of them."""
    loop = outcomes[0][0].answer.get_loop()
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(deliver, outcomes)


def deliver(outcomes: Outcomes) -> None:
    """Give everybody their answer, on the event loop."""
    for item, outcome in outcomes:
        if item.answer.done():
            continue  # given up while it ran
        if isinstance(outcome, Exception):
            item.answer.set_exception(outcome)
        else:
            item.answer.set_result(outcome)


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    middle = len(batch.items) // 2
    return (
        Batch(batch.items[:middle], batch.images[:middle]),
        Batch(batch.items[middle:], batch.images[middle:]),
    )
