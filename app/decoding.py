"""From a picture file to the pixels of a network: small ones on the event loop, the rest in threads."""

import asyncio
import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from app.admission import Admission
from app.callers import Caller
from app.metrics import Instruments
from app.prices import Prices
from app.problems import kind_of
from app.threads import end_threads
from app.wire.exchange import Timing
from models.errors import PictureError, TooManyPixelsError
from models.pictures import Picture, decode, has_many_parts
from models.preprocessing import Images, InputSpec, to_images

INLINE_BYTES = 16_384
_INLINE_PIXELS = 16_384
"""A picture of at most so many bytes and pixels is decoded on the event loop: that takes under a millisecond, and
the way to a thread and back costs more than decoding a small one (docs/benchmarks.md)."""

_TOO_LARGE = "Resize it, or raise GLIMPSE_MAX_PIXELS."
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
"""Chunks of a PNG that a few bytes may blow up to megabytes, which takes 50 ms."""
_BOXES = b"ftyp"
"""Behind the first four bytes of an AVIF, whose headers may cost 35 ms in a few bytes."""


class Prepared(NamedTuple):
    """What is kept of a decoded picture: a large one must not wait for the engine in memory.

    Attributes:
        image: uint8 (height, width, 3).
        picture_format: JPEG, PNG, …
        width: pixels of the upright picture.
        height: pixels of the upright picture.
    """

    image: Images
    picture_format: str
    width: int
    height: int


class DecodePool:
    """Decodes one picture at a time in each of its threads.

    Args:
        threads: number of threads, at least 1.
        max_pixels: most pixels of a picture; more are refused before decoding.
        admission: hears what waits for a thread.
        prices: hear what a byte costs.
        metrics: hears of times and failures.
    """

    def __init__(
        self, *, threads: int, max_pixels: int, admission: Admission, prices: Prices, metrics: Instruments
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, "decode")
        self._max_pixels = max_pixels
        self._admission = admission
        self._prices = prices
        self._metrics = metrics

    async def prepare(self, data: bytes, spec: InputSpec, caller: Caller, timing: Timing) -> Prepared:
        """Decode on the event loop what is small, the rest on a thread.

        Args:
            data: the bytes of a picture file.
            spec: size and resize rule of the images that the network takes.
            caller: whoever waits for the answer.
            timing: gets the time that this took, in ms, whatever comes of it.

        Raises:
            PictureError: the bytes cannot become a picture.
            DeadlineError: the caller's time is over.
            ClientDisconnect: nobody waits any more.
        """
        started_s = time.monotonic()
        try:
            if _is_quick(data):
                with contextlib.suppress(TooManyPixelsError):
                    return _prepared(data, spec, max_pixels=min(_INLINE_PIXELS, self._max_pixels))
            return await self._prepare_in_thread(data, spec, caller)
        except PictureError as error:
            self._metrics.decode_failures.labels(kind_of(error).code).inc()
            raise
        finally:
            seconds = time.monotonic() - started_s
            timing.decode_ms = max(timing.decode_ms, seconds * 1000)
            self._metrics.stages["decode"].observe(seconds)

    async def close(self) -> None:
        """End the threads, one that hangs excepted; what waits for them is dropped."""
        await end_threads(self._threads)

    async def _prepare_in_thread(self, data: bytes, spec: InputSpec, caller: Caller) -> Prepared:
        loop = asyncio.get_running_loop()
        counted = contextlib.ExitStack()
        held, size_bytes = [data], len(data)  # a job that was given up stays in the pool until its turn comes

        def work() -> tuple[Prepared, float]:
            started_s = time.perf_counter()
            prepared = _prepared(held[0], spec, max_pixels=self._max_pixels)
            return prepared, time.perf_counter() - started_s

        def learn(job: Future[tuple[Prepared, float]]) -> None:
            counted.close()
            if not job.cancelled() and not job.exception():
                self._prices.decoded(size_bytes=size_bytes, seconds=job.result()[1])

        def ended(job: Future[tuple[Prepared, float]]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(learn, job)

        job = self._threads.submit(work)
        counted.enter_context(self._admission.decoding(size_bytes))
        job.add_done_callback(ended)  # not when the caller leaves: the thread is busy until then
        try:
            prepared, _ = await caller.wait(asyncio.wrap_future(job))
        finally:
            if job.cancel():
                held.clear()
            del job  # an error that it holds leads back here: a circle that would keep the picture's bytes
        return prepared


def _is_quick(data: bytes) -> bool:
    """Whether a file is small, and of a kind in which that bounds the work; its pixels are counted later."""
    return (
        len(data) <= INLINE_BYTES
        and not data.startswith(_BOXES, 4)
        and not any(name in data for name in _COMPRESSED)
        and not has_many_parts(data)
    )


def _prepared(data: bytes, spec: InputSpec, *, max_pixels: int) -> Prepared:
    picture: Picture = decode(data, max_pixels=max_pixels, at_least=(spec.width, spec.height), advice=_TOO_LARGE)
    return Prepared(to_images([picture], spec)[0], picture.format, picture.width, picture.height)
