"""What lives as long as the process: the checkpoint, the engine, and the threads that feed it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from fastapi import FastAPI
from starlette.types import Lifespan

from app.engines import Engine, open_engine
from app.logs import SERVICE
from app.problems import EngineError, NotReadyError
from app.settings import Settings
from models import golden
from models.checkpoint import Checkpoint, load
from models.errors import GlimpseError, GoldenError
from models.pictures import decode
from models.preprocessing import Images, Probabilities, to_images


@dataclass(frozen=True)
class Answer:
    """What the service found out about one picture.

    Attributes:
        probabilities: float32 (classes,).
        picture_format: JPEG, PNG, …
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        decode_ms: from bytes to images.
        infer_ms: from images to probabilities.
    """

    probabilities: Probabilities
    picture_format: str
    width: int
    height: int
    decode_ms: float
    infer_ms: float


class _Prepared(NamedTuple):
    images: Images
    picture_format: str
    width: int
    height: int
    decode_ms: float


@dataclass
class Service:
    """A checkpoint with the engine that runs it.

    Decoding happens on as many threads as there are cores; the engine has one thread of its own, since
    each thread that calls PyTorch would start another team of workers.

    Attributes:
        checkpoint: what is served.
        engine: what runs it.
        fault: what was wrong with the engine's last run; only right golden answers take it away.
    """

    checkpoint: Checkpoint
    engine: Engine
    fault: str | None = None
    started_s: float = field(default_factory=time.monotonic)
    _decoders: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(os.cpu_count(), "decode"), repr=False
    )
    _engine_thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "engine"), repr=False)

    async def classify(self, data: bytes, *, max_pixels: int) -> Answer:
        """Decode one picture and run the network on it.

        Args:
            data: the bytes of a picture file.
            max_pixels: limit, read from the header.

        Raises:
            PictureError: the bytes cannot become a picture.
            EngineError: the engine failed; the service is at fault until the golden answers are right again.
        """
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._decoders, self._prepare, data, max_pixels)
        rows, infer_ms = await loop.run_in_executor(self._engine_thread, self._run, prepared.images)
        return Answer(rows[0], *prepared[1:], infer_ms=infer_ms)

    def check_golden(self) -> None:
        """Ask the engine for the golden answers; right ones end a fault.

        Raises:
            EngineError: it fails.
            GoldenError: it gives others.
        """
        answers, _ = self._run(self.checkpoint.golden_images)
        try:
            golden.check(answers, self.checkpoint.golden_probabilities, tolerance=self.engine.tolerance)
        except GoldenError:
            self.fault = "other answers"
            raise
        self.fault = None

    async def require_ready(self) -> None:
        """Do nothing while there is no fault; after one ask for the golden answers again.

        Raises:
            NotReadyError: they are still wrong.
        """
        if self.fault is None:
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._engine_thread, self.check_golden)
        except GlimpseError as error:
            raise NotReadyError(
                f"The engine does not give the golden answers ({self.fault}). Restart the service if this lasts."
            ) from error

    def close(self) -> None:
        """Finish what the threads are doing, the engine last; what waits for them is dropped."""
        self._decoders.shutdown(cancel_futures=True)
        self._engine_thread.shutdown(cancel_futures=True)

    def _prepare(self, data: bytes, max_pixels: int) -> _Prepared:
        """Keep the network's pixels alone: a large picture must not wait for the engine in memory."""
        started_s = time.perf_counter()
        spec = self.checkpoint.record.input
        picture = decode(data, max_pixels=max_pixels, at_least=(spec.width, spec.height))
        images = to_images([picture], spec)
        decode_ms = (time.perf_counter() - started_s) * 1000
        return _Prepared(images, picture.format, picture.width, picture.height, decode_ms)

    def _run(self, images: Images) -> tuple[Probabilities, float]:
        """Return the probabilities and the milliseconds that they took."""
        started_s = time.perf_counter()
        try:
            rows = self.engine.probabilities(images)
        except Exception as error:  # an engine may raise anything; whatever it is, the service must know
            self.fault = type(error).__name__
            raise EngineError(
                f"The engine {self.engine.name} failed on {len(images)} images: {type(error).__name__}: {error}"
            ) from error
        if rows.shape != (len(images), len(self.checkpoint.record.labels)) or not np.isfinite(rows).all():
            self.fault = "answers that are no probabilities"
            raise EngineError(f"The engine {self.engine.name} gave answers that are no probabilities.")
        return rows, (time.perf_counter() - started_s) * 1000


def open_service(settings: Settings) -> Service:
    """Load the checkpoint, start the engine, and compare its answers with the golden ones.

    Raises:
        CheckpointError: the file is refused, or the engine gives other answers.
        GlimpseError: the engine cannot be had as asked for.
    """
    checkpoint = load(settings.checkpoint)
    service = Service(checkpoint, open_engine(checkpoint, engine=settings.engine, device=settings.device))
    service.check_golden()
    return service


def lifespan(settings: Settings, opened: Service | None) -> Lifespan[FastAPI]:
    """Make the lifespan of an application: a service is there from its start to its end.

    Args:
        settings: of the process.
        opened: a service that is open already; None opens one when the application starts.
    """

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        service = opened or open_service(settings)
        app.state.service = service
        SERVICE.info(
            "ready",
            extra={
                "fields": {
                    "model": service.checkpoint.record.name,
                    "digest": service.checkpoint.digest,
                    "engine": service.engine.name,
                    "device": service.engine.device,
                    "dtype": service.engine.dtype,
                }
            },
        )
        try:
            yield
        finally:
            app.state.service = None
            service.close()
            SERVICE.info("stopped")

    return run
