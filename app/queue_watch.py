"""What follows from what happens in the queue: numbers, a better estimate of the wait, doubt about the engine."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from app.errors import EngineError, EngineLostError
from app.metrics import Instruments
from app.prices import Prices


class QueueWatch:
    """Hears all that happens in a model's queue (`app.batches.runs.BatchEvents`), from event loop and lanes.

    Beside the model that answers there may be others: one whose golden pictures a reload asks, and those that were
    replaced. What these do says nothing about a new caller's wait, nor about the engine that will answer, unless
    they find the device lost, which is the same for all.

    Args:
        metrics: hears of everything.
        prices: hear what a batch cost, and when nothing waits, while the model is the one that answers.
        doubt: called on the event loop when a picture failed alone then (was that its fault, or the engine's?),
            and when a model that was replaced finds the engine lost.

    Attributes:
        is_lost: the engine fails for good, or hangs; only a new process helps.
    """

    def __init__(self, metrics: Instruments, prices: Prices, *, doubt: Callable[[], None]) -> None:
        self.is_lost = False
        self._metrics = metrics
        self._prices = prices
        self._doubt = doubt
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers = False

    def start(self) -> None:
        """Hear that the model answers from now on; before that, all is counted alone. Called on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._answers = True

    def stop(self) -> None:
        """Hear that another model answers from now on: what this one still ends is counted alone."""
        self._answers = False

    def dropped(self, reason: str) -> None:
        """A picture left the queue unanswered."""
        self._metrics.dropped.labels(reason).inc()

    def ran(self, *, size: int, infer_ms: float, waiting: int) -> None:
        """A batch was answered."""
        self._metrics.batch_size.observe(size)
        if self._answers:
            self._prices.answered(size=size, seconds=infer_ms / 1000, finished_s=time.monotonic(), waiting=waiting)

    def idle(self) -> None:
        """Nothing waits any more."""
        if self._answers:
            self._prices.idle()

    def failed(self, error: EngineError) -> None:
        """A picture failed alone."""
        self._metrics.engine_failures.inc()
        self.is_lost = self.is_lost or isinstance(error, EngineLostError)
        if self._loop is not None and (self._answers or self.is_lost):
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to doubt
                self._loop.call_soon_threadsafe(self._doubt)
