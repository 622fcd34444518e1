"""An engine that waits to be let go, the queue in front of it, and somebody who counts what it tells."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from app.batches.runs import Result, Run
from app.batching import Batcher
from app.errors import EngineError
from models.preprocessing import Answers, Images

FAR = 1e9
POISON = 255


class Log:
    """Counts what the batcher tells."""

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.sizes: list[int] = []
        self.waiting: list[int] = []
        self.errors: list[EngineError] = []
        self.idles = 0

    def dropped(self, reason: str) -> None:
        """One more."""
        self.drops[reason] += 1

    def ran(self, *, size: int, infer_ms: float, waiting: int) -> None:
        """A batch of that size, while so many waited."""
        assert infer_ms >= 0
        self.sizes.append(size)
        self.waiting.append(waiting)

    def idle(self) -> None:
        """One more."""
        self.idles += 1

    def failed(self, error: EngineError) -> None:
        """One more, from whichever lane."""
        assert str(error)
        self.errors.append(error)

    @property
    def failures(self) -> int:
        """How many."""
        return len(self.errors)


class GatedEngine:
    """Answers each picture with its own first pixel; each run waits until the test lets it go.

    Attributes:
        runs: the first pixels of each run, in order.
    """

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self._began = threading.Semaphore(0)
        self._gate = threading.Semaphore(0)

    def __call__(self, images: Images) -> Answers:
        """Run, when let go."""
        self.runs.append([int(image.flat[0]) for image in images])
        self._began.release()
        assert self._gate.acquire(timeout=10)
        return answers(images)

    async def began(self) -> None:
        """Wait until one more run has begun."""
        await asyncio.to_thread(self.keep_until_began)

    def keep_until_began(self) -> None:
        """The same without a turn of the event loop: its thread is kept."""
        assert self._began.acquire(timeout=10)

    def let_go(self, runs: int = 1) -> None:
        """Let that many runs end."""
        self._gate.release(runs)


def answers(images: Images) -> Answers:
    """The first pixel as the only score; a poisoned picture fails the whole run."""
    if (images[:, 0, 0, 0] == POISON).any():
        raise ValueError("poison")
    return images[:, 0, 0, :1].astype(np.float32)


def picture(value: int) -> Images:
    """One picture of one pixel."""
    return np.full((1, 1, 3), value, np.uint8)


def scores(results: list[Result]) -> list[int]:
    """The answers as the pixels that they came from."""
    return [int(result.answers[0]) for result in results]


@contextlib.asynccontextmanager
async def running(
    run: Run, log: Log, *, in_spare_time: bool = False, on_the_spot: int = 0, **given: Any
) -> AsyncIterator[Batcher]:
    """A queue with small limits that has started; at the end it is drained, and none of its threads is left.

    Args:
        run: the engine of its lanes.
        log: told of everything.
        in_spare_time: whether the event loop may run single pictures, too.
        on_the_spot: most pictures that the event loop runs at the end of a turn; 0 leaves them to the lanes.
        given: to the batcher, in place of 32 pictures a batch and 1,000 in the queue.
    """
    before = set(threading.enumerate())
    queue = Batcher(run, events=log, **{"max_batch_size": 32, "max_queue": 1000, **given})
    try:
        await queue.start()
        if in_spare_time:
            queue.run_in_spare_time(answers)
        if on_the_spot:
            queue.run_on_the_spot(answers, most=on_the_spot)
        yield queue
    finally:
        await queue.drain(timeout_s=10)
        lanes = [it for it in set(threading.enumerate()) - before if it.name.startswith("engine_")]
        for lane in lanes:  # each says that it ends a moment before it does
            lane.join(timeout=10)
        assert not any(lane.is_alive() for lane in lanes)
