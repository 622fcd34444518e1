"""A checkpoint with the engine that runs it and the queue in front of it.

What the event loop runs beside the lanes is decided by what is measured when a model starts:

    one alone takes    in a batch each takes            the event loop runs              lanes run
    over 2 ms                                           nothing                          all
    at most 2 ms       over 0.04 ms (one core: 0.3)     single ones while it is idle     the rest
                                                        and every lane is busy
    at most 2 ms       at most 0.04 ms (one core: 0.3)  what a turn has brought          what a crowd brings

An engine that only its lanes can run, as one on a GPU, is like the first row. Whether an OpenVINO lane shares a
small batch with the event loop's core it decides itself, again and again (`app/engines/openvino_cpu.py`).
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from app.batches.runs import BatchEvents, Run
from app.batching import Batcher
from app.engines import Engine, open_engine
from app.errors import EngineError, StartError
from app.pinning import require
from app.processes.cores import longest_on_the_spot
from app.settings import Settings
from app.threads import in_own_thread
from models.checkpoint import Checkpoint, load
from models.memory import lacks_memory
from models.preprocessing import Answers, Images

_LONGEST_ASIDE_S = 0.002
"""A picture that takes longer is not run on the event loop: everybody else's request would notice."""
_LONGEST_BATCH_S = 0.005
"""A batch that takes longer is not run on the event loop, though its pictures would have waited for it anyway."""
_TIMED_RUNS = 20
_LONGEST_TIMING_S = 0.2


class ServedModel:
    """What answers pictures; a reload puts another one in its place.

    Args:
        checkpoint: the one that is served.
        engine: runs its network.
        max_queue: most pictures of callers that may wait.
        retry_after_s: asked for the whole seconds after which there is room again, where so many wait.
        cores: of this process.
        events: hears of everything that happens in the queue.
        longest_run_s: how long a run may take before the engine is taken as lost, in seconds.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        engine: Engine,
        *,
        max_queue: int,
        retry_after_s: Callable[[], int],
        cores: int,
        events: BatchEvents,
        longest_run_s: float = math.inf,
    ) -> None:
        self.checkpoint = checkpoint
        self.engine = engine
        checked = partial(_checked, engine.name, columns=checkpoint.answer_columns)
        self.batcher = Batcher(
            checked(engine.answer),
            warm_up=engine.warm_up,
            lanes=engine.lanes,
            max_batch_size=engine.max_batch_size,
            max_queue=max_queue,
            retry_after_s=retry_after_s,
            events=events,
            longest_run_s=longest_run_s,
        )
        self._run_aside = checked(engine.run_aside) if engine.run_aside else None
        self._longest_picture_s = longest_on_the_spot(cores)
        self._asked_pictures: int | None = None
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    async def start(self) -> None:
        """Begin to answer.

        Raises:
            Exception: what the engine raised while it was warmed up.
        """
        await self.batcher.start()
        run, images = self._run_aside, self.checkpoint.golden_images
        if run is None:
            return
        # Not here: in a reload others are answered meanwhile, and the first run makes kernels.
        one_s = await in_own_thread(partial(_seconds, run, images[:1]))
        if one_s > _LONGEST_ASIDE_S:
            return
        picture_s = await in_own_thread(partial(_seconds, run, images)) / len(images)
        if picture_s <= self._longest_picture_s:
            most = max(1, min(self.engine.max_batch_size, int(_LONGEST_BATCH_S / picture_s)))
            for size in range(1, most + 1):
                run(np.zeros((size, *images.shape[1:]), np.uint8))
                await asyncio.sleep(0)  # kernels belong to the thread that made them, and take 5 to 60 ms each
            self.batcher.run_on_the_spot(run, most=most)
        else:
            run(images[:1])
            self.batcher.run_in_spare_time(run)

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
        """Send the golden pictures through the queue, before all others: once all, and the next time one alone.

        Single pictures may be run another way than batches. The next time comes only when the answers were right,
        or a fault of one way would look mended by the other.

        Raises:
            GoldenError: an answer is not the stored one.
            EngineError: the engine failed on one.
            TimeoutError: they came too late.
        """
        with self.in_use():
            async with asyncio.timeout(timeout_s):
                deadline_s = time.monotonic() + timeout_s
                images = list(self.checkpoint.golden_images[: self._asked_pictures])
                results = await asyncio.gather(*self.batcher.submit_first(images, deadline_s=deadline_s))
        got = np.stack([result.answers for result in results])
        self.checkpoint.check_golden(got, tolerance=self.engine.tolerance, first=self._asked_pictures)
        self._asked_pictures = 1 if self._asked_pictures is None else None

    async def retire(self, *, timeout_s: float) -> None:
        """Close the queue once the last request that began with this model has its answer.

        Args:
            timeout_s: most that this takes, the end of the queue included.
        """
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + timeout_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):  # wait_for of Python 3.11 may lose a cancellation
                await self._unused.wait()
        await self.batcher.drain(timeout_s=max(0.0, ends_s - loop.time()))


def _checked(name: str, run: Run, *, columns: int) -> Run:
    """Make what the queue runs. It does not hold the model: a circle would keep a replaced one in memory."""

    def checked(images: Images) -> Answers:
        rows = run(images)
        if rows.shape[1:] != (columns,):
            raise EngineError(f"The engine {name} gave answers of shape {rows.shape}.")
        return rows

    return checked


def _seconds(run: Run, images: Images) -> float:
    """Time the fastest of some runs on this thread: the first makes the kernels, others wait for a busy loop."""
    run(images)
    runs_s: list[float] = []
    while len(runs_s) < _TIMED_RUNS and sum(runs_s) < _LONGEST_TIMING_S:
        started_s = time.perf_counter()
        run(images)
        runs_s.append(time.perf_counter() - started_s)
    return min(runs_s)


def picture_seconds(checkpoint: Checkpoint, engine: Engine) -> float | None:
    """Time what a picture costs one core in a batch; None for an engine that a thread of its own has to run."""
    if engine.run_aside is None:
        return None
    return _seconds(engine.run_aside, checkpoint.golden_images) / len(checkpoint.golden_images)


def open_checked(settings: Settings, *, threads: int) -> tuple[Checkpoint, Engine]:
    """Load the checkpoint, start the engine, and compare its answers with the golden ones, whichever way it runs.

    Raises:
        CheckpointError: the file is refused, or the engine gives other answers.
        StartError: it is another file than was asked for, the engine cannot be had, or there is not enough memory.
    """
    try:
        checkpoint = load(settings.checkpoint)
        require(settings.checkpoint_digest, checkpoint, settings.checkpoint)
        engine = open_engine(
            checkpoint,
            engine=settings.engine,
            device=settings.device,
            threads=threads,
            max_batch_size=settings.max_batch_size,
        )
        check_every_way(checkpoint, engine)
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise StartError(
            f"There is not enough memory to open {settings.checkpoint}. Give the process more, or let "
            "fewer workers share it."
        ) from error
    return checkpoint, engine


def check_every_way(checkpoint: Checkpoint, engine: Engine) -> None:
    """Send the golden pictures in each batch size for which an engine has something of its own, lane or aside.

    They are cut where a batch is smaller, and repeated where it is larger.

    Raises:
        GoldenError: the answers are other ones.
    """
    count = len(checkpoint.golden_images)
    ways: list[tuple[Run, int]] = [(engine.answer, size) for size in engine.checked_sizes]
    if engine.run_aside:
        ways += [(engine.run_aside, size) for size in sorted({1, *engine.checked_sizes})]
    for run, size in ways:
        images = np.concatenate([checkpoint.golden_images] * math.ceil(size / count))
        answers = np.concatenate([run(images[at : at + size]) for at in range(0, len(images), size)])
        for first in range(0, len(images), count):
            checkpoint.check_golden(answers[first : first + count], tolerance=engine.tolerance)
