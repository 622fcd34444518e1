"""The service itself: its pulse, whom it lets in, its start and its end."""

import asyncio
import math
import threading
import time
from pathlib import Path

import pytest

from app.errors import NotReadyError, OverloadedError
from app.service import Opened, Service
from app.settings import Settings
from app.threads import LAST_WORK_S
from models.checkpoint import Checkpoint, load
from models.preprocessing import Answers, Images
from tests.unit.app.lanes import FAR
from tests.unit.app.loops import stopped_clock, turns, with_loop
from tests.unit.app.services import opened, shown, trusted
from tests.unit.app.test_served_model import GoldenEngine


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


def test_a_stop_tells_of_the_last_who_were_turned_away(checkpoint_path: Path) -> None:
    """Though no second has passed since the last time."""

    async def check() -> None:
        service = opened(checkpoint_path)
        service.refusals.count(NotReadyError("It is starting."))
        await service.stop()
        assert b'glimpse_refused_total{code="not_ready",reason="not_ready"} 1.0' in service.metrics.exposition()

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
