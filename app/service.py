"""The service: pictures in, answers out, and the judgement whether the answers are right."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Protocol

from starlette.requests import ClientDisconnect

from app.admission import Admission
from app.batching import Result
from app.callers import Caller
from app.cores import share, usable_cores
from app.engines import Engine
from app.errors import (
    EngineError,
    EngineLostError,
    NotReadyError,
    OverloadedError,
    ReloadError,
    UnavailableError,
)
from app.exchange import Timing
from app.explanation import Explainer, Explanation
from app.logs import SERVICE
from app.metrics import Metrics
from app.problems import kind_of
from app.served_model import ServedModel, open_checked
from app.settings import Settings
from models.checkpoint import Checkpoint
from models.errors import GlimpseError, PictureError, TooManyPixelsError
from models.pictures import Picture, decode
from models.preprocessing import Images, InputSpec, Probabilities, to_images

_INLINE_BYTES = 16_384
_INLINE_PIXELS = 16_384
"""A picture of at most so many bytes and pixels is decoded on the event loop: that takes under a millisecond, and
the way to a thread and back costs more than decoding a small one (docs/benchmarks.md)."""

_ASK_AGAIN_S = 1.0
_LAST_RUN_S = 1.0
"""What a run in progress gets when all requests are over; one that hangs must not keep the process."""
_MOST_TO_EXPLAIN = 8
"""Explanations that may wait for the one thread that makes them; each takes some hundredths of a second."""
_BEAT_S = 0.05
_TELL_EVERY_S = 1.0


class OpenEngine(Protocol):
    """Reads a checkpoint and starts an engine for it, as `open_checked` does."""

    def __call__(self, settings: Settings, *, threads: int) -> tuple[Checkpoint, Engine]: ...


class Answer(NamedTuple):
    """What the service found out about one picture.

    Attributes:
        checkpoint: that answered.
        image: uint8 (height, width, 3), the pixels that the network saw.
        probabilities: float32 (classes,).
        distance: of the picture from the classes; None where the checkpoint has none.
        picture_format: JPEG, PNG, …
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
    """

    checkpoint: Checkpoint
    image: Images
    probabilities: Probabilities
    distance: float | None
    picture_format: str
    width: int
    height: int


class _Prepared(NamedTuple):
    """The network's pixels alone: a large picture must not wait for the engine in memory."""

    image: Images
    picture_format: str
    width: int
    height: int


class Service:
    """Everything that lives as long as the process; used on the event loop.

    Args:
        settings: of the process.
        open_engine: reads the checkpoint and starts what runs it; a reload calls it again. Raises GlimpseError.

    Attributes:
        model: what answers now.
        admission: who is let in.
        metrics: what is counted.
        fault: what is wrong with the golden answers; None when they are right.
        is_draining: it has been told to stop, and answers what still comes.
        is_lost: only a new process helps.
    """

    def __init__(self, settings: Settings, open_engine: OpenEngine = open_checked) -> None:
        self.settings = settings
        self.started_s = time.monotonic()
        self.metrics = Metrics()
        self._threads = share(usable_cores(), workers=settings.workers)
        self.admission = Admission(
            max_waiting=settings.max_queue, decoders=self._threads.decode, max_bytes=settings.max_bodies_bytes
        )
        self.fault: str | None = "it is starting"
        self.is_draining = False
        self.is_lost = False
        self._golden_timeout_s = settings.deadline_ms / 1000  # what is too late for callers is too late for these
        self._open_engine = open_engine
        self._decoders = ThreadPoolExecutor(self._threads.decode, "decode")
        self._explainer = Explainer()
        self._explaining = ThreadPoolExecutor(1, "explain")
        self._to_explain = 0
        self._doubt = asyncio.Event()
        self._refused: Counter[str] = Counter()
        self._refusals_told_s = 0.0
        self._reloading = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.model = self._open()

    async def start(self) -> None:
        """Begin to answer, once the golden pictures came back right through the queue.

        Raises:
            GlimpseError: they did not.
        """
        self._loop = asyncio.get_running_loop()
        await self.model.start()
        await self._judge()
        if self.fault:
            await self.model.retire(timeout_s=_LAST_RUN_S)
            raise NotReadyError(f"The golden pictures were not answered rightly: {self.fault}.")
        self._announce(self.model)
        self._beat(time.monotonic())
        self._judging = self._loop.create_task(self._keep_judging())

    async def stop(self) -> None:
        """Answer what waits, the engine last."""
        self.drain()
        self._heartbeat.cancel()
        if self._refused:
            self._tell_refusals(time.monotonic())
        self._judging.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._judging
        for threads in (self._decoders, self._explaining):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        await self.model.retire(timeout_s=_LAST_RUN_S)
        self.metrics.close()

    def drain(self) -> None:
        """Tell load balancers to send nothing more; what comes all the same is answered."""
        self.is_draining = True
        self.metrics.ready.set(0)

    def admit(self, timeout_s: float) -> float:
        """Let a request in, if it can be answered rightly and in time.

        Returns:
            The seconds that are left, after those in which it waited to be read.

        Raises:
            UnavailableError: it cannot; this is counted.
        """
        try:
            self.require_right_answers()
            left_s = timeout_s - self.admission.lag_s
            self.admission.check(within_s=left_s)
        except UnavailableError as error:
            self.refused(error)
            raise
        return left_s

    def refused(self, error: UnavailableError) -> None:
        """Count a request that was turned away."""
        self._refused[kind_of(error).code] += 1

    def require_right_answers(self) -> None:
        """Do nothing while the golden answers are right.

        Raises:
            NotReadyError: they were wrong, late or missing when they were last asked.
        """
        if self.fault:
            raise NotReadyError(f"The service is not ready: {self.fault}. Come back after Retry-After seconds.")

    def require_ready(self) -> None:
        """Do nothing while new callers are welcome.

        Raises:
            NotReadyError: the golden answers are not right, or the service is stopping.
        """
        self.require_right_answers()
        if self.is_draining:
            raise NotReadyError("The service is stopping. Send new requests elsewhere.")

    async def classify(self, data: bytes, caller: Caller, timing: Timing) -> Answer:
        """Decode one picture and run the network on it.

        Args:
            data: the bytes of a picture file.
            caller: who waits for it.
            timing: filled with where the time went, whatever comes of it.

        Raises:
            PictureError: the bytes cannot become a picture.
            OverloadedError: the queue is full.
            DeadlineError: the caller's time is over.
            ClientDisconnect: nobody waits any more.
            EngineError: the engine failed on this picture.
        """
        model = self.model
        with self.admission.picture(), model.in_use():
            prepared = await self._prepare(data, model.checkpoint.record.input, caller, timing)
            result = await self._run(model, prepared.image, caller, timing)
        classes = len(model.checkpoint.record.labels)
        row = result.probabilities
        distance = float(row[classes]) if len(row) > classes else None
        return Answer(model.checkpoint, prepared.image, row[:classes], distance, *prepared[1:])

    async def pixels(self, data: bytes, caller: Caller, timing: Timing) -> Images:
        """Decode one picture to what the network would see: uint8 (height, width, 3).

        Raises:
            PictureError, DeadlineError, ClientDisconnect: as `classify`.
        """
        with self.admission.picture():
            return (await self._prepare(data, self.model.checkpoint.record.input, caller, timing)).image

    async def explain(self, answer: Answer, class_index: int, caller: Caller) -> Explanation:
        """Find out where the evidence for a class is in a picture that was classified.

        Args:
            answer: to be explained.
            class_index: 0…classes − 1.
            caller: who waits for it.

        Raises:
            ExplanationUnavailableError: captum is not installed.
            OverloadedError: too many wait already.
            DeadlineError: the caller's time is over.
            ClientDisconnect: nobody waits any more.
        """
        if self._to_explain >= _MOST_TO_EXPLAIN:
            raise OverloadedError(
                f"{_MOST_TO_EXPLAIN} explanations are asked for already, and one is made at a time. Come back "
                "after Retry-After seconds.",
                retry_after_s=1,
            )
        assert self._loop is not None
        work = partial(self._explainer.explain, answer.checkpoint, answer.image, class_index)
        self._to_explain += 1
        try:
            return await caller.wait(self._loop.run_in_executor(self._explaining, work))
        finally:
            self._to_explain -= 1

    async def reload(self) -> tuple[Checkpoint, Checkpoint]:
        """Load the checkpoint again, beside the old one, and let it answer if its own answers are right.

        Requests that have begun end with the model that they began with.

        Returns:
            The old checkpoint, and the new one.

        Raises:
            ReloadError: the new one was refused, with the reason; the old one goes on.
        """
        if self._reloading.locked():
            raise ReloadError("Another reload is running. Wait for its answer.")
        async with self._reloading:
            old = self.model
            new = await self._open_beside()
            self.model = new
            self._announce(new)
            self._doubt.set()  # a fault of the old one is none of the new one's
            self._retiring = asyncio.create_task(old.retire(timeout_s=self.settings.max_deadline_ms / 1000))
            return old.checkpoint, new.checkpoint

    def _open(self) -> ServedModel:
        checkpoint, engine = self._open_engine(self.settings, threads=self._threads.engine)
        return ServedModel(checkpoint, engine, max_queue=self.settings.max_queue, events=self)

    async def _open_beside(self) -> ServedModel:
        try:
            new = await asyncio.to_thread(self._open)
        except Exception as error:  # whatever an engine raises, the old one goes on and the operator hears why
            raise _refused(error) from error
        try:
            await new.start()
            await new.ask_golden(timeout_s=self._golden_timeout_s)
        except Exception as error:  # for the same reason
            await new.retire(timeout_s=_LAST_RUN_S)
            raise _refused(error) from error
        return new

    async def _run(self, model: ServedModel, image: Images, caller: Caller, timing: Timing) -> Result:
        started_s = time.monotonic()
        try:
            result = await caller.wait(model.batcher.submit(image, deadline_s=caller.deadline_s))
        except (GlimpseError, ClientDisconnect):
            timing.queue_ms = max(timing.queue_ms, (time.monotonic() - started_s) * 1000)
            raise
        timing.queue_ms = max(timing.queue_ms, result.queue_ms)
        timing.infer_ms = max(timing.infer_ms, result.infer_ms)
        timing.batch_size = max(timing.batch_size, result.batch_size)
        self.metrics.stages["queue"].observe(result.queue_ms / 1000)
        self.metrics.stages["infer"].observe(result.infer_ms / 1000)
        return result

    async def _prepare(self, data: bytes, spec: InputSpec, caller: Caller, timing: Timing) -> _Prepared:
        """Decode on the event loop what is small, the rest on a thread."""
        started_s = time.monotonic()
        max_pixels = self.settings.max_pixels
        try:
            if len(data) <= _INLINE_BYTES:
                with contextlib.suppress(TooManyPixelsError):
                    return _prepared(data, spec, max_pixels=min(_INLINE_PIXELS, max_pixels))
            return await self._prepare_in_thread(data, spec, caller)
        except PictureError as error:
            self.metrics.decode_failures.labels(kind_of(error).code).inc()
            raise
        finally:
            seconds = time.monotonic() - started_s
            timing.decode_ms = max(timing.decode_ms, seconds * 1000)
            self.metrics.stages["decode"].observe(seconds)

    async def _prepare_in_thread(self, data: bytes, spec: InputSpec, caller: Caller) -> _Prepared:
        def work() -> tuple[_Prepared, float]:
            started_s = time.perf_counter()
            prepared = _prepared(data, spec, max_pixels=self.settings.max_pixels)
            return prepared, time.perf_counter() - started_s

        assert self._loop is not None
        with self.admission.decoding(len(data)):
            prepared, seconds = await caller.wait(self._loop.run_in_executor(self._decoders, work))
        self.admission.decoded(size_bytes=len(data), seconds=seconds)
        return prepared

    async def _keep_judging(self) -> None:
        """Ask the golden pictures at every interval, at once after a failure, and often while they are wrong."""
        usual_s = self.settings.golden_interval_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(usual_s, _ASK_AGAIN_S) if self.fault else usual_s):
                    await self._doubt.wait()
            await self._judge()
            self._doubt.clear()  # its own failures are no new doubt

    def _beat(self, due_s: float) -> None:
        """Measure how late the event loop is."""
        assert self._loop is not None
        now_s = time.monotonic()
        self.admission.lagged(now_s - due_s)
        if self._refused and now_s > self._refusals_told_s + _TELL_EVERY_S:
            self._tell_refusals(now_s)
        self._heartbeat = self._loop.call_later(_BEAT_S, self._beat, now_s + _BEAT_S)

    def _tell_refusals(self, now_s: float) -> None:
        """Count and log all refusals since the last time at once: one by one they would cost what they save."""
        for code, count in self._refused.items():
            self.metrics.refused.labels(code).inc(count)
        SERVICE.warning("refused", extra={"fields": dict(self._refused)})
        self._refused.clear()
        self._refusals_told_s = now_s

    async def _judge(self) -> None:
        before, judged = self.fault, self.model
        try:
            await judged.ask_golden(timeout_s=self._golden_timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, not ready; and the judging must go on
            if judged is not self.model:
                return  # replaced meanwhile
            self.fault = _reason(error)
            self.metrics.golden_checks.labels("late" if isinstance(error, TimeoutError) else "wrong").inc()
        else:
            self.fault = None
            self.metrics.golden_checks.labels("right").inc()
        self.metrics.ready.set(not self.fault and not self.is_draining)
        self.metrics.measure_memory()
        if self.fault != before:
            level, message = (
                (logging.ERROR, "not ready") if self.fault else (logging.INFO, "golden answers are right")
            )
            SERVICE.log(level, message, extra={"fields": {"reason": self.fault} if self.fault else {}})

    def _announce(self, model: ServedModel) -> None:
        engine, checkpoint = model.engine, model.checkpoint
        facts = {
            "model": checkpoint.record.name,
            "digest": checkpoint.digest,
            "engine": engine.name,
            "device": engine.device,
            "dtype": engine.dtype,
        }
        self.metrics.serves(**facts)
        SERVICE.info("ready", extra={"fields": facts})

    # What the queue tells, from the event loop and from the engine thread.

    def dropped(self, reason: str) -> None:
        """A picture left the queue unanswered."""
        self.metrics.dropped.labels(reason).inc()

    def ran(self, *, size: int, infer_ms: float, waiting: int) -> None:
        """A batch was answered."""
        self.metrics.batch_size.observe(size)
        self.metrics.queue_depth.set(waiting)
        self.admission.answered(size=size, seconds=infer_ms / 1000, finished_s=time.monotonic(), waiting=waiting)

    def idle(self) -> None:
        """Nothing waits any more."""
        self.admission.idle()

    def failed(self, error: EngineError) -> None:
        """A picture failed alone: ask the golden ones whether that was its fault or the engine's."""
        self.metrics.engine_failures.inc()
        self.is_lost = self.is_lost or isinstance(error, EngineLostError)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._doubt.set)


def _prepared(data: bytes, spec: InputSpec, *, max_pixels: int) -> _Prepared:
    picture: Picture = decode(data, max_pixels=max_pixels, at_least=(spec.width, spec.height))
    return _Prepared(to_images([picture], spec)[0], picture.format, picture.width, picture.height)


def _refused(error: Exception) -> ReloadError:
    return ReloadError(f"The checkpoint was refused, and the old one goes on: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the golden answers came too late"
    return str(error) if isinstance(error, GlimpseError) else f"{type(error).__name__}: {error}"
