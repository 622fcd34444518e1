"""The service: pictures in, answers out, and who is let in."""

import asyncio
import contextlib
import time
from functools import partial
from typing import NamedTuple

from starlette.requests import ClientDisconnect

from app.admission import Admission
from app.batches.runs import Result
from app.bodies import Bodies
from app.build import versions
from app.callers import Caller
from app.decoding import DecodePool, Prepared
from app.errors import NotReadyError, ReloadError, UnavailableError
from app.explanation import Explainer
from app.judging import Judge
from app.logs import SERVICE
from app.metrics import Instruments
from app.opening import Opened, Opening, OpenModel, refused_reload
from app.predictions import Predictions
from app.prices import Prices
from app.processes.cores import share
from app.queue_watch import QueueWatch
from app.refusals import Refusals
from app.second_look import SecondLook
from app.served_model import ServedModel, open_checked
from app.settings import Settings
from app.threads import LAST_WORK_S
from app.usable_time import KEPT_FREE, KEPT_FREE_BESIDE_OTHERS, UsableTime
from app.wire.exchange import Timing
from models.checkpoint import Checkpoint
from models.cores import usable_cores
from models.errors import GlimpseError
from models.preprocessing import Images, Probabilities

_BEAT_S = 0.05
_LEAST_JUDGED_S = 5.0
"""Least seconds that golden answers have, however short the deadlines are: they wait for batches that run, which
callers with more time may have filled, and at a start for everybody who has the cores. Source: choice."""


class Classified(NamedTuple):
    """What the service found out about one picture.

    Attributes:
        checkpoint: the one that answered.
        prepared: the picture, with the pixels that the network saw.
        probabilities: float32 (classes,).
        distance: from the picture to the nearest class; None where the checkpoint has no distance.
    """

    checkpoint: Checkpoint
    prepared: Prepared
    probabilities: Probabilities
    distance: float | None


class Service:
    """Everything that lives as long as the process; used on the event loop.

    Args:
        settings: those of this process.
        open_model: reads the checkpoint and starts what runs it; a reload calls it again. Raises GlimpseError.
        opened: what it gave for these settings; None calls it.

    Attributes:
        model: checkpoint, engine and queue that answer now.
        prices: what a picture and a byte have cost lately.
        admission: decides who is let in.
        bodies: counts the bytes of bodies in memory.
        refusals: counts who is refused.
        predictions: counts what is answered.
        metrics: the counters and histograms.
        versions: of what runs, as `app.build.versions` names them.
        judge: tells whether the answers are right.
        explainer: draws heat maps.
        is_draining: it has been told to stop, and answers what still comes.
        lost: set when only a new process helps, for whoever ends this one.
    """

    def __init__(
        self, settings: Settings, open_model: OpenModel = open_checked, *, opened: Opened | None = None
    ) -> None:
        self.settings = settings
        self.started_s = time.monotonic()
        self.metrics = Instruments()
        self.versions = versions()
        self.metrics.runs(self.versions)
        self._share = share(usable_cores(), workers=max(1, settings.workers))
        self.prices = Prices()
        self.admission = Admission(
            self.prices,
            UsableTime(kept_free=KEPT_FREE_BESIDE_OTHERS if settings.workers > 1 else KEPT_FREE),
            max_waiting=settings.max_queue,
            decoders=self._share.decode,
        )
        self.bodies = Bodies(max_bytes=settings.max_bodies_bytes, retry_after_s=self.admission.retry_after_s)
        self.refusals = Refusals(self.metrics)
        self.predictions = Predictions(self.metrics)
        self.is_draining = False
        self.lost = asyncio.Event()
        self.judge = Judge(
            lambda: self.model,
            interval_s=settings.golden_interval_s,
            timeout_s=max(_LEAST_JUDGED_S, settings.deadline_ms / 1000),
            metrics=self.metrics,
            on_verdict=self._tell_verdict,
        )
        self.explainer = Explainer()
        self._opening = Opening(
            settings, open_model, share=self._share, retry_after_s=self.admission.retry_after_s
        )
        self._decoders = DecodePool(
            threads=self._share.decode,
            max_pixels=settings.max_pixels,
            admission=self.admission,
            prices=self.prices,
            metrics=self.metrics,
        )
        self._second_look = SecondLook(self.admission, self.metrics) if settings.second_look == "on" else None
        self._watch = self._watch_another()
        self._reloading = asyncio.Lock()
        self._retiring: dict[asyncio.Task[None], ServedModel] = {}
        self._heartbeat: asyncio.TimerHandle | None = None
        self.model = self._opening.serve(opened or self._opening.open(), self._watch)
        self.prices.serves(lanes=self.model.engine.lanes)

    async def start(self) -> None:
        """Begin to answer, once the golden pictures came back right through the queue.

        Raises:
            GlimpseError: they came back wrong, late or not at all.
        """
        self._watch.start()
        await self.model.start()
        await self.judge.judge()
        if fault := self.judge.fault:
            await self.model.retire(timeout_s=LAST_WORK_S)
            raise NotReadyError(f"The golden pictures were not answered rightly: {fault}.")
        self._beat(time.monotonic())
        self.judge.start()

    async def stop(self) -> None:
        """Answer what waits, and end all threads; a service that never started only closes what it opened.

        All of it has `LAST_WORK_S`, together.
        """
        self.drain()
        if self._heartbeat:
            self._heartbeat.cancel()
        self.refusals.tell()
        await self.judge.stop()
        await asyncio.gather(
            self._decoders.close(),
            self.explainer.close(),
            self.model.retire(timeout_s=LAST_WORK_S),
            self._end_retiring(),
        )
        self.predictions.tell()  # of the last ones, too, which other workers add to theirs
        self.metrics.close()

    def drain(self) -> None:
        """Tell load balancers to send nothing more; what comes all the same is answered."""
        self.is_draining = True
        self.metrics.ready.set(0)

    def announce(self, *, previous: Checkpoint | None = None) -> None:
        """Say in log and metrics which model answers; whoever hears it may stop the service in good order.

        Args:
            previous: that a reload put it in the place of; None at a start.
        """
        engine, checkpoint = self.model.engine, self.model.checkpoint
        facts = {
            "model": checkpoint.record.name,
            "digest": checkpoint.digest,
            "engine": engine.name,
            "device": engine.device,
            "dtype": engine.dtype,
        }
        may_abstain = checkpoint.record.calibration.may_abstain  # else it accepts all, and no share is expected
        accepted = checkpoint.record.metrics.accepted if may_abstain else None
        self.metrics.serves(accepted=accepted, **facts)
        if previous:
            SERVICE.info("reloaded", extra={"fields": {**facts, "previous": previous.digest}})
        else:
            SERVICE.info("ready", extra={"fields": {**facts, "version": self.versions["version"]}})

    def admit(self, timeout_s: float) -> float:
        """Let a request in, if it can be answered rightly and in time.

        Returns:
            The seconds that are left, after those in which it waited to be read.

        Raises:
            UnavailableError: it cannot be answered so; the refusal is counted.
        """
        try:
            self.judge.require_right_answers()
            left_s = timeout_s - self.admission.lag_s
            self.admission.check(within_s=left_s)
        except UnavailableError as error:
            self.refusals.count(error)
            raise
        return left_s

    def hold(self, size_bytes: int) -> None:
        """Make room for a piece of a body, to be given back by `bodies.let_go`.

        Raises:
            UnavailableError: there is none beside the other bodies; the refusal is counted.
        """
        try:
            self.bodies.hold(size_bytes)
        except UnavailableError as error:
            self.refusals.count(error)
            raise

    @property
    def is_lost(self) -> bool:
        """Whether only a new process helps."""
        return self.lost.is_set() or self._watch.is_lost

    def require_ready(self) -> None:
        """Do nothing while new callers are welcome.

        Raises:
            NotReadyError: the golden answers are not right, or the service is stopping.
        """
        self.judge.require_no_fault()
        if self.is_draining:
            raise NotReadyError("The service is stopping. Send new requests elsewhere.")

    async def classify(
        self, data: bytes, caller: Caller, timing: Timing, model: ServedModel | None = None
    ) -> Classified:
        """Decode one picture and run the network on it.

        Args:
            data: the bytes of a picture file.
            caller: whoever waits for the answer.
            timing: gets the time of each stage, in ms, whatever comes of it.
            model: that the request began with; None takes the one of this moment.

        Raises:
            PictureError: the bytes cannot become a picture.
            OverloadedError: the queue is full.
            DeadlineError: the caller's time is over.
            ClientDisconnect: nobody waits any more.
            EngineError: the engine failed on this picture.
        """
        model = model or self.model
        with self.admission.picture(), model.in_use():
            prepared = await self._decoders.prepare(data, model.checkpoint.record.input, caller, timing)
            row = (await self._run(model, prepared.image, caller, timing)).answers
            if self._second_look:
                run = partial(self._run, model, caller=caller, timing=timing)
                row = await self._second_look.join(row, prepared.image, model.checkpoint, caller, run)
        return Classified(model.checkpoint, prepared, *model.checkpoint.read(row))

    async def pixels(self, data: bytes, caller: Caller, timing: Timing) -> Images:
        """Decode one picture to what the network would see: uint8 (height, width, 3).

        Raises:
            PictureError, DeadlineError, ClientDisconnect: as `classify`.
        """
        with self.admission.picture():
            spec = self.model.checkpoint.record.input
            return (await self._decoders.prepare(data, spec, caller, timing)).image

    async def reload(self, *, digest: str | None = None) -> tuple[Checkpoint, Checkpoint]:
        """Load the checkpoint again, beside the old one, and let it answer if its own answers are right.

        Requests that have begun end with the model that they began with.

        Args:
            digest: that the file must have; None takes what the settings say.

        Returns:
            The old checkpoint, and the new one.

        Raises:
            ReloadError: the new one was refused, with the reason; the old one goes on.
        """
        if self._reloading.locked():
            raise refused_reload("Another reload is running. Wait for its answer.")
        async with self._reloading:
            old, watch = self.model, self._watch_another()
            try:
                new = await self._opening.beside(watch, digest, golden_timeout_s=self.judge.timeout_s)
            except ReloadError:
                if watch.is_lost:  # the device of all, perhaps
                    self.judge.doubt()
                raise
            if self._watch.is_lost:  # and nobody has heard of it yet
                self.lost.set()
            self._watch.stop()
            self.model, self._watch = new, watch
            self.prices.serves(lanes=new.engine.lanes)
            watch.start()
            self.announce(previous=old.checkpoint)
            self.explainer.keep_only(self.model.checkpoint.digest)
            self.judge.trust()  # a fault of the old one is none of the new one's
            retiring = asyncio.create_task(old.retire(timeout_s=self.settings.max_deadline_ms / 1000))
            self._retiring[retiring] = old
            retiring.add_done_callback(self._retiring.pop)
            return old.checkpoint, new.checkpoint

    async def _end_retiring(self) -> None:
        """Wait for replaced models to end, for no longer than for the one that answers now."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORK_S):
                await asyncio.gather(*self._retiring)

    def _watch_another(self) -> QueueWatch:
        return QueueWatch(self.metrics, self.prices, doubt=self._on_failure)

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

    def _beat(self, due_s: float) -> None:
        """Measure how late the event loop is, and how much waits; an engine that hangs tells nobody by itself."""
        now_s = time.monotonic()
        # First of all: whatever fails below, as metrics in files may, must not be the last beat.
        self._heartbeat = asyncio.get_running_loop().call_later(_BEAT_S, self._beat, now_s + _BEAT_S)
        self.admission.lagged(now_s - due_s)
        self.model.batcher.turned(_BEAT_S)
        waiting = sum(model.batcher.waiting for model in (self.model, *self._retiring.values()))
        self.metrics.queue_depth.set(waiting)
        self.metrics.wait.set(self.admission.wait_s)
        self.metrics.pictures.set(self.admission.pictures)
        self.metrics.bodies.set(self.bodies.held_bytes)
        self.refusals.tell_if_due(now_s)
        self.predictions.tell()

    def _on_failure(self) -> None:
        if self.is_lost:
            self.lost.set()
        self.judge.doubt()

    def _tell_verdict(self) -> None:
        self.metrics.ready.set(not self.judge.fault and not self.is_draining)
        self.metrics.measure_memory()
