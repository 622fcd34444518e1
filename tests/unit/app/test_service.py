"""The service itself: its pulse, whom it lets in, its start and its end."""

import threading
import time
from pathlib import Path

import pytest

from app.errors import NotReadyError, OverloadedError
from tests.unit.app.loops import with_loop
from tests.unit.app.services import opened, trusted


def test_a_beat_that_comes_late_is_a_lag(checkpoint_path: Path) -> None:
    """Three seconds after it was due: whoever is let in then has waited about as long."""

    async def check() -> None:
        service = opened(checkpoint_path)
        service._beat(time.monotonic() - 3.0)
        assert 3.0 <= service.admission.lag_s < 20.0
        await service.stop()

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
        lane.join(timeout=1)
    assert not any(lane.is_alive() for lane in lanes)


def test_a_stop_tells_of_the_last_who_were_turned_away(checkpoint_path: Path) -> None:
    """Though no second has passed since the last time."""

    async def check() -> None:
        service = opened(checkpoint_path)
        service.refusals.count(NotReadyError("It is starting."))
        await service.stop()
        assert b'glimpse_refused_total{code="not_ready"} 1.0' in service.metrics.exposition()

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
