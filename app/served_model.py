"""A checkpoint with the engine that runs it and the queue in front of it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import numpy as np

from app.batching import Batcher, BatchEvents
from app.engines import Engine, open_engine
from app.errors import EngineError
from app.settings import Settings
from models.checkpoint import Checkpoint, load
from models.preprocessing import Answers, Images


class ServedModel:
    """What answers pictures; a reload puts another one in its place.

    Args:
        checkpoint: what is served.
        engine: what runs it.
        max_queue: most pictures of callers that wait.
        events: told of everything that happens in the queue.
    """

    def __init__(self, checkpoint: Checkpoint, engine: Engine, *, max_queue: int, events: BatchEvents) -> None:
        self.checkpoint = checkpoint
        self.engine = engine
        self.batcher = Batcher(
            _checked(engine, columns=checkpoint.answer_columns),
            warm_up=engine.warm_up,
            lanes=engine.lanes,
            max_batch_size=engine.max_batch_size,
            max_queue=max_queue,
            events=events,
        )
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the model open for a request that began with it."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def ask_golden(self, *, timeout_s: float) -> None:
        """Send the golden pictures through the queue, before all others.

        Raises:
            GoldenError: the answers are other ones.
            EngineError: it fails.
            TimeoutError: they came too late.
        """
        with self.in_use():
            async with asyncio.timeout(timeout_s):
                deadline_s = time.monotonic() + timeout_s
                images = list(self.checkpoint.golden_images)
                results = await asyncio.gather(*self.batcher.submit_first(images, deadline_s=deadline_s))
        got = np.stack([result.probabilities for result in results])
        self.checkpoint.check_golden(got, tolerance=self.engine.tolerance)

    async def retire(self, *, timeout_s: float) -> None:
        """Close the queue once the last request that began with this model has its answer, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):  # wait_for of Python 3.11 may lose a cancellation
                await self._unused.wait()
        await self.batcher.drain(timeout_s=timeout_s)


def _checked(engine: Engine, *, columns: int) -> Callable[[Images], Answers]:
    """What the queue runs. It does not hold the model: a circle would keep a replaced one in memory."""

    def run(images: Images) -> Answers:
        rows = engine.probabilities(images)
        if rows.shape[1:] != (columns,):
            raise EngineError(f"The engine {engine.name} gave answers of shape {rows.shape}.")
        return rows

    return run


def open_checked(settings: Settings, *, threads: int) -> tuple[Checkpoint, Engine]:
    """Load the checkpoint, start the engine, and compare its answers with the golden ones.

    Raises:
        CheckpointError: the file is refused, or the engine gives other answers.
        GlimpseError: the engine cannot be had as asked for.
    """
    checkpoint = load(settings.checkpoint)
    engine = open_engine(
        checkpoint,
        engine=settings.engine,
        device=settings.device,
        threads=threads,
        max_batch_size=settings.max_batch_size,
    )
    answers = engine.probabilities(checkpoint.golden_images)
    checkpoint.check_golden(answers, tolerance=engine.tolerance)
    return checkpoint, engine
