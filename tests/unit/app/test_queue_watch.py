"""What metrics, prices and judge hear of the queue."""

import asyncio
import threading

import pytest

from app.batches.runs import BatchEvents
from app.errors import EngineError, EngineLostError
from app.metrics import Instruments
from app.prices import Prices
from app.queue_watch import QueueWatch
from tests.unit.app.loops import turns, with_loop


def shown(metrics: Instruments) -> set[str]:
    """The lines of a scrape."""
    return set(metrics.exposition().decode().splitlines())


def never() -> None:
    """Nobody is to call this."""
    raise AssertionError("there is nothing to doubt")


def started(watch: QueueWatch) -> QueueWatch:
    """The same, of the model that answers."""

    async def start() -> None:
        watch.start()

    with_loop(start())
    return watch


def test_a_batch_is_measured_and_teaches_what_a_picture_costs() -> None:
    """Four pictures in 2 s are half a second for each."""
    metrics, prices = Instruments(), Prices()
    watch: BatchEvents = started(QueueWatch(metrics, prices, doubt=never))
    watch.ran(size=4, infer_ms=2_000.0, waiting=2)
    assert "glimpse_batch_size_sum 4.0" in shown(metrics)
    assert prices.picture_s == pytest.approx(0.5)


def test_when_nothing_waits_the_time_from_then_on_costs_nobody() -> None:
    """Else the pause before the next batch would count as the price of its pictures."""
    metrics, prices = Instruments(), Prices()
    watch = started(QueueWatch(metrics, prices, doubt=never))
    watch.ran(size=1, infer_ms=3_600_000.0, waiting=5)  # an hour; behind a backlog next to none would be counted
    watch.idle()
    watch.ran(size=1, infer_ms=3_600_000.0, waiting=0)
    assert prices.picture_s == pytest.approx(3_600)


@pytest.mark.parametrize("reason", ["queue_full", "expired", "abandoned", "draining"])
def test_a_dropped_picture_is_counted_by_its_reason(reason: str) -> None:
    """One more."""
    metrics = Instruments()
    QueueWatch(metrics, Prices(), doubt=never).dropped(reason)
    assert f'glimpse_dropped_total{{reason="{reason}"}} 1.0' in shown(metrics)


def test_a_failure_is_doubted_on_the_event_loop() -> None:
    """It comes from a lane; what it wakes belongs to the loop."""
    heard: list[threading.Thread] = []
    metrics = Instruments()

    async def run() -> None:
        doubted = asyncio.Event()

        def doubt() -> None:
            heard.append(threading.current_thread())
            doubted.set()

        watch = QueueWatch(metrics, Prices(), doubt=doubt)
        watch.start()
        await asyncio.to_thread(watch.failed, EngineError("It failed."))
        await doubted.wait()
        assert not watch.is_lost

    with_loop(run())
    assert heard == [threading.current_thread()]
    assert "glimpse_engine_failures_total 1.0" in shown(metrics)


@pytest.mark.parametrize("is_over", [False, True], ids=["not yet", "not any more"])
def test_of_a_model_that_does_not_answer_all_is_counted_alone(is_over: bool) -> None:
    """Its runs cost no caller's time, its pauses end no backlog, its failures are none of the other engine's."""
    metrics, prices = Instruments(), Prices()
    watch, serving = (QueueWatch(metrics, prices, doubt=never) for _ in range(2))

    async def check() -> None:
        serving.start()
        serving.ran(size=1, infer_ms=2_000.0, waiting=5)
        if is_over:
            watch.start()
            watch.stop()
        watch.ran(size=4, infer_ms=0.0, waiting=0)
        watch.idle()
        watch.failed(EngineError("It failed."))
        await turns()
        assert prices.picture_s == pytest.approx(2.0)
        serving.ran(size=1, infer_ms=3_600_000.0, waiting=0)  # behind a backlog its own hour is not counted
        assert prices.picture_s < 60.0

    with_loop(check())
    assert {"glimpse_engine_failures_total 1.0", "glimpse_batch_size_sum 6.0"} <= shown(metrics)


def test_a_model_that_was_replaced_lets_a_lost_device_be_doubted() -> None:
    """It is the device of the one that answers, too."""
    doubted = asyncio.Event()

    async def check() -> None:
        watch = QueueWatch(Instruments(), Prices(), doubt=doubted.set)
        watch.start()
        watch.stop()
        watch.failed(EngineLostError("It is gone."))
        await asyncio.wait_for(doubted.wait(), 10)

    with_loop(check())


def test_a_lost_device_stays_lost() -> None:
    """Whatever fails after it."""
    watch = QueueWatch(Instruments(), Prices(), doubt=never)
    lost = [watch.is_lost]
    for error in (EngineError("It failed."), EngineLostError("It is gone."), EngineError("It failed.")):
        watch.failed(error)
        lost.append(watch.is_lost)
    assert lost == [False, False, True, True]
