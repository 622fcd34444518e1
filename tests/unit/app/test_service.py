"""The service itself: its pulse, whom it lets in, its start and its end."""

import asyncio
import dataclasses
import logging
import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from app.batches.runs import Result
from app.callers import Caller
from app.errors import EngineError, EngineLostError, NotReadyError, OverloadedError, ReloadError
from app.opening import Opened
from app.served_model import ServedModel
from app.service import _BEAT_S, Service
from app.settings import Settings
from app.threads import LAST_WORK_S
from app.wire.exchange import Timing
from models.calibration import Calibration
from models.checkpoint import Checkpoint, load
from models.prediction import Prediction
from models.preprocessing import Answers, Images
from tests.drawing import encode, gradient
from tests.unit.app.lanes import FAR
from tests.unit.app.loops import stopped_clock, turns, with_loop
from tests.unit.app.services import opened, shown, trusted
from tests.unit.app.test_served_model import GoldenEngine

PNG = encode(gradient())


def test_a_beat_that_comes_late_is_a_lag(checkpoint_path: Path) -> None:
    """Three seconds after it was due: whoever is let in then has waited about as long."""

    async def check() -> None:
        service = opened(checkpoint_path)
        service._beat(time.monotonic() - 3.0)
        assert 3.0 <= service.admission.lag_s < 20.0
        await service.stop()

    with_loop(check())


def test_a_beat_shows_how_full_the_service_is(checkpoint_path: Path) -> None:
    """A picture that is decoded is in no queue, but in work; bodies that are still coming are in memory."""

    async def check() -> None:
        service = opened(checkpoint_path)
        service.prices.answered(size=1, seconds=3.0, finished_s=100.0, waiting=0)
        service.bodies.hold(1_234)
        with service.admission.picture():
            service._beat(math.inf)  # in time, however slow this machine is
            found = shown(service)
        await service.stop()
        assert {
            "glimpse_estimated_wait_seconds 3.0",
            "glimpse_in_work_pictures 1.0",
            "glimpse_bodies_bytes 1234.0",
            "glimpse_queue_depth 0.0",
        } <= found

    with_loop(check())


def test_a_beat_that_comes_on_time_is_no_lag(checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is due a beat later, and not at once; one that comes a second after that is late."""
    now_s = time.monotonic()

    async def check() -> None:
        nonlocal now_s
        service = opened(checkpoint_path)
        monkeypatch.setattr(time, "monotonic", lambda: now_s)
        service._beat(now_s)
        for passed_s, lag_s in ((_BEAT_S, 0.0), (_BEAT_S + 1.0, 1.0)):
            before = service._heartbeat
            now_s += passed_s
            await turns()
            assert service._heartbeat is not before
            assert service.admission.lag_s == pytest.approx(lag_s, abs=1e-6)
        monkeypatch.undo()
        await service.stop()

    with_loop(check())


def test_a_beat_tells_the_metrics_what_was_counted(checkpoint_path: Path) -> None:
    """Who was refused, and what was answered: nobody else does while it serves."""

    async def check() -> None:
        service = opened(checkpoint_path)
        service.refusals.count(NotReadyError("It is starting."))
        service.predictions.count(Prediction("red", 0, 0.9), abstains=False)
        service._beat(time.monotonic())
        found = service.metrics.exposition()
        assert b'glimpse_refused_total{code="not_ready",reason="not_ready"} 1.0' in found
        assert b'glimpse_predictions_total{label="red"} 1.0' in found
        await service.stop()

    with_loop(check())


def test_a_beat_that_fails_is_not_the_last(checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the metrics that cannot be written, say: an engine that hangs is looked for all the same."""

    async def check() -> None:
        service = opened(checkpoint_path)
        turned: list[float] = []

        def full(_value: float) -> None:
            raise OSError("The disk is full.")

        monkeypatch.setattr(service.metrics.queue_depth, "set", full)
        monkeypatch.setattr(service.model.batcher, "turned", turned.append)
        with pytest.raises(OSError, match="full"):
            service._beat(time.monotonic() - 3.0)
        assert service._heartbeat is not None
        assert not service._heartbeat.cancelled()
        assert service.admission.lag_s >= 3.0
        assert turned == [_BEAT_S]
        await service.stop()

    with_loop(check())


def test_it_shows_as_ready_while_its_answers_are_right_and_it_does_not_stop(checkpoint_path: Path) -> None:
    """From the start, not while a fault is found, and never again once it drains, whatever the judge finds."""

    async def check() -> None:
        service = opened(checkpoint_path)
        engine = service.model.engine
        assert isinstance(engine, GoldenEngine)
        assert "glimpse_ready 0.0" in shown(service)
        await service.start()
        assert "glimpse_ready 1.0" in shown(service)
        engine.wrong_sizes = {1, 8}
        await service.judge.judge()
        assert "glimpse_ready 0.0" in shown(service)
        engine.wrong_sizes = set()
        await service.judge.judge()
        assert "glimpse_ready 1.0" in shown(service)
        service.drain()
        assert "glimpse_ready 0.0" in shown(service)
        service.judge.trust()
        assert "glimpse_ready 0.0" in shown(service)
        await service.stop()

    with_loop(check())


def test_who_never_abstains_is_expected_to_accept_nothing_in_particular(checkpoint_path: Path) -> None:
    """The share in its file, 1, says nothing: no alert may compare with it."""
    service = opened(checkpoint_path)
    checkpoint = service.model.checkpoint
    metrics = dataclasses.replace(checkpoint.record.metrics, accepted=1.0)
    record = dataclasses.replace(checkpoint.record, metrics=metrics, calibration=Calibration())
    service.model.checkpoint = dataclasses.replace(checkpoint, record=record)
    service.announce()
    assert "glimpse_expected_accepted_ratio NaN" in shown(service)


def test_what_serves_is_told_in_metrics_and_log(checkpoint_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The model and the share on which it does not abstain; the versions from the start on."""
    service = opened(checkpoint_path)
    versions = ",".join(f'{name}="{value}"' for name, value in sorted(service.versions.items()))
    assert f"glimpse_build_info{{{versions}}} 1.0" in shown(service)
    checkpoint = service.model.checkpoint
    metrics = dataclasses.replace(checkpoint.record.metrics, accepted=0.75)
    record = dataclasses.replace(
        checkpoint.record, metrics=metrics, calibration=Calibration(abstain_threshold=0.5)
    )
    service.model.checkpoint = dataclasses.replace(checkpoint, record=record)
    with caplog.at_level(logging.INFO, logger="glimpse"):
        service.announce()
    assert "glimpse_expected_accepted_ratio 0.75" in shown(service)
    (line,) = caplog.records
    assert vars(line)["fields"] == {
        "model": "tiny",
        "digest": checkpoint.digest,
        "engine": "golden",
        "device": "nowhere",
        "dtype": "float32",
        "version": service.versions["version"],
    }


def test_of_several_pictures_the_longest_time_of_each_stage_is_told(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the caller; the metrics get the times of each, in seconds."""

    async def check() -> None:
        service = opened(checkpoint_path)
        row = service.model.checkpoint.golden_probabilities[0]
        results = iter((Result(row, 2000.0, 500.0, 3), Result(row, 1000.0, 700.0, 1)))

        def submit(_: Images, *, deadline_s: float) -> asyncio.Future[Result]:
            assert deadline_s > time.monotonic()
            answer = asyncio.get_running_loop().create_future()
            answer.set_result(next(results))
            return answer

        monkeypatch.setattr(service.model.batcher, "submit", submit)
        timing = Timing()
        async with Caller(None, timeout_s=60) as caller:
            for _ in range(2):
                await service.classify(PNG, caller, timing)
        assert timing.to_header().endswith("queue;dur=2000.00, infer;dur=700.00, batch;desc=3")
        assert {
            'glimpse_stage_seconds_sum{stage="queue"} 3.0',
            'glimpse_stage_seconds_sum{stage="infer"} 1.2',
        } <= shown(service)
        await service.stop()

    with_loop(check())


def test_the_time_in_which_a_process_was_stopped_is_not_held_against_its_engine(checkpoint_path: Path) -> None:
    """Two hours after a beat was due a run may still come back; after a minute of beats it is lost."""
    may_end = threading.Event()

    async def check() -> None:
        engine = HangingEngine(load(checkpoint_path), may_end)
        service = Service(Settings(checkpoint=checkpoint_path), opened=(load(checkpoint_path), engine))
        await service.start()
        answer = service.model.batcher.submit(service.model.checkpoint.golden_images[0], deadline_s=FAR)
        while service.model.batcher.waiting:
            await asyncio.sleep(0)
        for late_s in (7200.0, 7200.0, 0.0):
            beat(service, late_s=late_s)
        was_lost = service.is_lost
        for _ in range(1_200):
            beat(service)
        with pytest.raises(EngineLostError, match="has not come back for 60 s"):
            await answer
        assert (was_lost, service.is_lost) == (False, True)
        await service.lost.wait()
        may_end.set()
        await service.stop()

    def beat(service: Service, *, late_s: float = 0.0) -> None:
        """In the place of the beat that was due."""
        assert service._heartbeat
        service._heartbeat.cancel()
        service._beat(time.monotonic() - late_s)

    with_loop(check())


def test_the_time_in_which_a_request_was_not_read_is_taken_off(checkpoint_path: Path) -> None:
    """Of its 10 s a loop that is 2 s late has used up two."""
    service = trusted(checkpoint_path)
    service.admission.lagged(2.0)
    assert service.admit(10.0) == 8.0


def test_beside_other_processes_more_of_the_time_is_kept_free(checkpoint_path: Path) -> None:
    """A wait of 3 s is let in with 7 s left by a process that is alone, and refused by one of two."""
    alone, one_of_two = (trusted(checkpoint_path, workers=workers) for workers in (1, 2))
    for service in (alone, one_of_two):
        service.admission.lagged(3.0)
    assert alone.admit(10.0) == 7.0
    with pytest.raises(OverloadedError, match="7,000 ms are left"):
        one_of_two.admit(10.0)


def test_a_start_that_fails_leaves_no_thread_behind(checkpoint_path: Path) -> None:
    """Golden answers that are wrong end the engine's lanes, too."""
    before = set(threading.enumerate())

    async def check() -> None:
        with pytest.raises(NotReadyError, match="give other answers"):
            await opened(checkpoint_path, is_wrong=True).start()

    with_loop(check())
    lanes = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("engine_")]
    for lane in lanes:  # each says that it ends a moment before it does
        lane.join(timeout=10)
    assert not any(lane.is_alive() for lane in lanes)


class HangingEngine(GoldenEngine):
    """Answers the golden pictures, all of them together, and nothing else before it may."""

    def __init__(self, checkpoint: Checkpoint, may_end: threading.Event) -> None:
        super().__init__(checkpoint)
        self._may_end = may_end

    def answer(self, images: Images) -> Answers:
        """Wait for a single one."""
        assert len(images) > 1 or self._may_end.wait(timeout=20)
        return super().answer(images)


def test_what_hangs_at_a_stop_is_waited_for_together(checkpoint_path: Path) -> None:
    """Decoders, an explanation, the engine, a replaced model that is in use: a second for all, not for each."""
    may_end = threading.Event()

    def open_model(settings: Settings, *, threads: int) -> Opened:
        assert threads >= 1
        checkpoint = load(settings.checkpoint)
        return checkpoint, HangingEngine(checkpoint, may_end)

    async def check() -> None:
        service = Service(Settings(checkpoint=checkpoint_path), open_model)
        await service.start()
        with service.model.in_use():
            await service.reload()
            hang = [pool.submit(may_end.wait) for pool in (service._decoders._threads, service.explainer._thread)]
            waits = service.model.batcher.submit(service.model.checkpoint.golden_images[0], deadline_s=FAR)
            while not all(work.running() for work in hang) or service.model.batcher.waiting:
                await asyncio.sleep(0)
            with stopped_clock() as put_forward:
                stopping = asyncio.create_task(service.stop())
                for passed_s, is_over in ((0.0, False), (LAST_WORK_S - 0.1, False), (0.2, True)):
                    put_forward(passed_s)
                    await turns()
                    assert stopping.done() == is_over
        may_end.set()
        await waits

    try:
        with_loop(check())
    finally:
        may_end.set()


def reloading(path: Path, *engines: GoldenEngine) -> Service:
    """A service that has these engines one after the other; its judge is asked by the test alone."""
    left = iter(engines)

    def open_model(settings: Settings, *, threads: int) -> Opened:
        assert threads >= 1
        return load(settings.checkpoint), next(left)

    service = Service(Settings(checkpoint=path), open_model)
    service.judge.start = lambda: None  # type: ignore[method-assign]  # of this service alone
    return service


def wrong(checkpoint: Checkpoint) -> GoldenEngine:
    """An engine whose answers are wrong when the golden pictures are asked together."""
    engine = GoldenEngine(checkpoint)
    engine.wrong_sizes = {len(checkpoint.golden_images)}
    return engine


def test_a_new_model_that_answers_wrongly_through_the_queue_is_refused(checkpoint_path: Path) -> None:
    """Though it could be opened; the old one goes on, and none of the new one's threads is left."""
    before = set(threading.enumerate())
    checkpoint = load(checkpoint_path)

    def lanes() -> list[threading.Thread]:
        return [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("engine_")]

    async def check() -> None:
        service = reloading(checkpoint_path, GoldenEngine(checkpoint), wrong(checkpoint))
        await service.start()
        model, old_lanes = service.model, lanes()
        with pytest.raises(ReloadError, match=r"the old one goes on: .*give other answers"):
            await service.reload()
        assert service.model is model
        for lane in set(lanes()) - set(old_lanes):  # each says that it ends a moment before it does
            lane.join(timeout=10)
        assert lanes() == old_lanes
        service.require_ready()
        await service.judge.judge()
        service.require_ready()
        await service.stop()

    with_loop(check())


def test_a_reload_makes_a_service_ready_whose_old_model_was_wrong(checkpoint_path: Path) -> None:
    """At once: the new one was asked before it took over, and nobody need wait for the judge's next time."""
    checkpoint = load(checkpoint_path)
    old = GoldenEngine(checkpoint)

    async def check() -> None:
        service = reloading(checkpoint_path, old, GoldenEngine(checkpoint))
        await service.start()
        old.wrong_sizes = {1, len(checkpoint.golden_images)}
        await service.judge.judge()
        with pytest.raises(NotReadyError, match="give other answers"):
            service.require_ready()
        await service.reload()
        service.require_ready()
        service.admit(10.0)
        assert b"glimpse_ready 1.0" in service.metrics.exposition()
        await service.stop()

    with_loop(check())


def test_after_a_reload_a_picture_soon_has_another_price(checkpoint_path: Path) -> None:
    """What the old model cost is a first guess: the first run of the new one counts for half, for its lanes."""
    checkpoint = load(checkpoint_path)
    new = GoldenEngine(checkpoint)
    new.lanes = 4

    async def check() -> None:
        service = reloading(checkpoint_path, GoldenEngine(checkpoint), new)
        await service.start()
        for _ in range(100):
            service.prices.answered(size=1, seconds=1.0, finished_s=100.0, waiting=0)
        await service.reload()
        with service.admission.picture():
            first_guess_s = service.admission.wait_s
            service.prices.answered(size=1, seconds=4 * first_guess_s / 100, finished_s=200.0, waiting=0)
            assert service.admission.wait_s < 0.8 * first_guess_s
        await service.stop()

    with_loop(check())


class FailingEngine(GoldenEngine):
    """Opens, and fails on everything."""

    def answer(self, images: Images) -> Answers:
        """Fail."""
        self.sizes.append(len(images))
        raise RuntimeError("no kernels for this one")


@pytest.mark.parametrize("stage", ["read", "warmed up"])
def test_a_new_model_that_hangs_is_given_up_and_another_may_be_loaded(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """With a sentence, whatever it hangs on; and when it comes back after all, no thread of it is left."""
    monkeypatch.setattr("app.opening._LONGEST_OPENING_S", 10.0)
    checkpoint, began, may_end = load(checkpoint_path), threading.Event(), threading.Event()
    before = set(threading.enumerate())

    def hang() -> None:
        began.set()
        assert may_end.wait(timeout=20)

    first, hanging, right = (GoldenEngine(checkpoint) for _ in range(3))
    left = iter((first, hanging, right))

    def open_model(settings: Settings, *, threads: int) -> Opened:
        assert threads >= 1
        engine = next(left)
        if engine is hanging and stage == "read":
            hang()
        return load(settings.checkpoint), engine

    if stage == "warmed up":
        hanging.warm_up = hang  # type: ignore[method-assign]

    async def check() -> None:
        service = Service(Settings(checkpoint=checkpoint_path), open_model)
        await service.start()
        model = service.model
        reloading = asyncio.create_task(service.reload())
        while not began.is_set():
            await asyncio.sleep(0)
        with stopped_clock() as put_forward:
            for passed_s, is_over in ((9.0, False), (1.5, True)):
                put_forward(passed_s)
                await turns()
                assert reloading.done() == is_over
        with pytest.raises(ReloadError, match=r"the old one goes on: it was not open and warm after 10 s\. What"):
            await reloading
        assert service.model is model
        await service.reload()
        assert service.model.engine is right
        await service.stop()
        may_end.set()

    try:
        with_loop(check())
    finally:
        may_end.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_what_a_new_model_does_before_it_answers_is_none_of_the_old_ones(checkpoint_path: Path) -> None:
    """Its golden pictures teach no price, and its failures make nobody doubt the engine that answers."""
    checkpoint = load(checkpoint_path)
    failing, right = FailingEngine(checkpoint), GoldenEngine(checkpoint)

    async def check() -> None:
        service = reloading(checkpoint_path, GoldenEngine(checkpoint), failing, right)
        await service.start()
        doubts: list[None] = []
        service.judge.doubt = lambda: doubts.append(None)  # type: ignore[method-assign]
        service.prices.answered(size=1, seconds=100.0, finished_s=100.0, waiting=0)
        picture_s = service.prices.picture_s
        with pytest.raises(ReloadError, match="no kernels for this one"):
            await service.reload()
        await service.reload()
        assert failing.sizes
        assert right.sizes
        assert service.prices.picture_s == picture_s
        assert doubts == []
        await service.stop()

    with_loop(check())


def test_the_model_that_answers_alone_teaches_prices_and_is_doubted(checkpoint_path: Path) -> None:
    """After a reload that is the new one, though the old one still ends what it had begun."""
    checkpoint = load(checkpoint_path)

    async def check() -> None:
        service = reloading(checkpoint_path, GoldenEngine(checkpoint), GoldenEngine(checkpoint))
        await service.start()
        doubts: list[None] = []
        service.judge.doubt = lambda: doubts.append(None)  # type: ignore[method-assign]
        golden, unknown = checkpoint.golden_images[0], np.zeros_like(checkpoint.golden_images[0])
        old = service.model

        async def run_on(model: ServedModel) -> tuple[bool, int]:
            before_s = service.prices.picture_s
            await model.batcher.submit(golden, deadline_s=FAR)
            with pytest.raises(EngineError):
                await model.batcher.submit(unknown, deadline_s=FAR)
            return service.prices.picture_s != before_s, len(doubts)

        with old.in_use():
            assert await run_on(old) == (True, 1)
            await service.reload()
            assert await run_on(old) == (False, 1)
            assert await run_on(service.model) == (True, 2)
        await service.stop()

    with_loop(check())


def test_what_is_lost_stays_lost_whatever_is_loaded_then(checkpoint_path: Path) -> None:
    """The process is about to end, and its exit code says why."""
    checkpoint = load(checkpoint_path)

    class LostEngine(GoldenEngine):
        """Answers the golden pictures, all of them together, and is lost at the first single one."""

        def answer(self, images: Images) -> Answers:
            """Answer, or fail for good."""
            if len(images) == 1:
                raise EngineLostError("The device is gone.")
            return super().answer(images)

    async def check() -> None:
        service = reloading(checkpoint_path, LostEngine(checkpoint), GoldenEngine(checkpoint))
        await service.start()
        with pytest.raises(EngineLostError):
            await service.model.batcher.submit(checkpoint.golden_images[0], deadline_s=FAR)
        await service.lost.wait()
        await service.reload()
        assert service.is_lost
        await service.stop()

    with_loop(check())


def test_what_is_lost_while_another_model_takes_over_is_lost(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a lane whose word has not reached the event loop when the new model is there."""
    checkpoint = load(checkpoint_path)

    async def check() -> None:
        service = reloading(checkpoint_path, GoldenEngine(checkpoint), GoldenEngine(checkpoint))
        await service.start()
        ask_golden = ServedModel.ask_golden

        async def ask_and_lose(model: ServedModel, *, timeout_s: float) -> None:
            await ask_golden(model, timeout_s=timeout_s)
            service._watch.failed(EngineLostError("The device is gone."))

        monkeypatch.setattr(ServedModel, "ask_golden", ask_and_lose)
        await service.reload()
        assert service.lost.is_set()
        await service.stop()

    with_loop(check())


def test_a_new_model_that_finds_the_device_lost_lets_the_old_one_be_asked(checkpoint_path: Path) -> None:
    """It is refused, and the device may be that of both; nobody waits for the next round of golden pictures."""
    checkpoint = load(checkpoint_path)

    class LostEngine(GoldenEngine):
        """Is lost from the beginning."""

        def answer(self, images: Images) -> Answers:
            """Fail for good."""
            raise EngineLostError(f"The device is gone, and {len(images)} pictures with it.")

    async def check() -> None:
        service = reloading(checkpoint_path, GoldenEngine(checkpoint), LostEngine(checkpoint))
        await service.start()
        doubted = asyncio.Event()
        service.judge.doubt = doubted.set  # type: ignore[method-assign]
        with pytest.raises(ReloadError, match="gone"):
            await service.reload()
        assert doubted.is_set()
        assert not service.is_lost
        await service.stop()

    with_loop(check())


def test_a_stop_tells_of_the_last_who_were_refused(checkpoint_path: Path) -> None:
    """Though no second has passed since the last time."""

    async def check() -> None:
        service = opened(checkpoint_path)
        service.refusals.count(NotReadyError("It is starting."))
        await service.stop()
        assert b'glimpse_refused_total{code="not_ready",reason="not_ready"} 1.0' in service.metrics.exposition()

    with_loop(check())


def test_a_stop_tells_of_the_last_that_were_answered(checkpoint_path: Path) -> None:
    """Those too that were answered while it waited for them: other workers add up what is told."""

    async def check() -> None:
        service = opened(checkpoint_path)
        with service.model.in_use():
            stopping = asyncio.create_task(service.stop())
            await turns()
            service.predictions.count(Prediction("red", 0, 0.9), abstains=False)
        await stopping
        assert b'glimpse_predictions_total{label="red"} 1.0' in service.metrics.exposition()

    with_loop(check())


def test_a_service_that_has_stopped_beats_no_more(checkpoint_path: Path) -> None:
    """The last beat that was due is cancelled."""

    async def check() -> None:
        service = opened(checkpoint_path)
        service._beat(time.monotonic())
        beat = service._heartbeat
        await service.stop()
        assert beat is service._heartbeat
        assert beat is not None
        assert beat.cancelled()

    with_loop(check())


def test_what_is_served_decides_how_the_wait_is_estimated(checkpoint_path: Path) -> None:
    """Lanes of the engine share the cost of a picture."""
    engine = GoldenEngine(load(checkpoint_path))
    engine.lanes = 4
    service = Service(Settings(checkpoint=checkpoint_path), opened=(load(checkpoint_path), engine))
    service.prices.answered(size=1, seconds=0.4, finished_s=100.0, waiting=0)
    with service.admission.picture():
        assert service.admission.wait_s == pytest.approx(0.1)


def test_a_body_without_room_may_come_back_when_half_of_the_work_is_done(checkpoint_path: Path) -> None:
    """One picture of 20 s is in work, and the room for bodies is full."""
    service = opened(checkpoint_path, max_bodies_bytes=100)
    service.prices.answered(size=1, seconds=20.0, finished_s=100.0, waiting=0)
    with service.admission.picture(), pytest.raises(OverloadedError, match="GLIMPSE_MAX_BODIES_BYTES") as refused:
        service.hold(101)
    assert refused.value.retry_after_s == 10


def test_a_picture_that_finds_the_queue_full_may_come_back_when_half_of_the_work_is_done(
    checkpoint_path: Path,
) -> None:
    """As whoever is refused before, though the engine's queue knows no prices."""

    async def check() -> None:
        service = opened(checkpoint_path, max_queue=0)
        await service.model.start()
        service.prices.answered(size=1, seconds=20.0, finished_s=100.0, waiting=0)
        with service.admission.picture(), pytest.raises(OverloadedError, match="GLIMPSE_MAX_QUEUE") as refused:
            service.model.batcher.submit(service.model.checkpoint.golden_images[0], deadline_s=FAR)
        assert refused.value.retry_after_s == 10
        await service.stop()

    with_loop(check())


@pytest.mark.parametrize(("deadline_ms", "timeout_s"), [(200, 5.0), (20_000, 20.0)])
def test_golden_pictures_have_the_time_of_callers_and_five_seconds_at_least(
    checkpoint_path: Path, deadline_ms: int, timeout_s: float
) -> None:
    """A short deadline must not make a healthy service look ill: they wait for batches that run."""
    assert opened(checkpoint_path, deadline_ms=deadline_ms).judge.timeout_s == timeout_s
