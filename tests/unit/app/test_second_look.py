"""Whether a picture is looked at again, and what becomes of the answer."""

import asyncio
import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from starlette.requests import ClientDisconnect

from app.admission import Admission
from app.batches.runs import Result
from app.callers import Caller
from app.errors import DeadlineError, EngineError, OverloadedError
from app.metrics import Instruments
from app.prices import Prices
from app.second_look import SecondLook
from app.usable_time import UsableTime
from models.calibration import Calibration
from models.checkpoint import Checkpoint
from models.distance import ClassDistance
from models.networks.network import Network
from models.preprocessing import Answers, Images
from models.record import Record
from models.views import six_views, together
from tests.unit.app.loops import no_error_in_a_circle, turns, with_loop

SURE, UNSURE = np.array([0.9, 0.1, 1.0], np.float32), np.array([0.6, 0.4, 1.0], np.float32)
FAR = np.array([0.9, 0.1, 5.0], np.float32)
IMAGE: Images = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def _checkpoint(*, mirrors: bool = True) -> Checkpoint:
    record = SimpleNamespace(
        labels=("cat", "dog"),
        calibration=Calibration(abstain_threshold=0.7, distance_threshold=2.0),
        training=SimpleNamespace(configuration={} if mirrors else {"unmirrored": True}),
    )
    distance = ClassDistance(torch.zeros(1), torch.eye(1), torch.zeros(2, 1))
    return Checkpoint(cast(Record, record), cast(Network, None), IMAGE[None], SURE[None, :2], "sha256:", distance)


class _Room:
    """A service's admission and metrics, and a network that answers by the brightness of a pixel."""

    def __init__(self, *, most: int = 100, fault: Exception | None = None) -> None:
        self.prices, self.metrics = Prices(), Instruments()
        self.usable_time = UsableTime()
        self.admission = Admission(self.prices, self.usable_time, max_waiting=most, decoders=1)
        self.fault = fault
        self.seen: list[Images] = []
        self.in_work: list[int] = []

    async def run(self, image: Images) -> Result:
        self.seen.append(image)
        self.in_work.append(self.admission.pictures)
        if self.fault is not None and len(self.seen) == 3:
            raise self.fault
        return Result(self.answers(image), 0.0, 0.0, 1)

    @staticmethod
    def answers(image: Images) -> Answers:
        score = 0.5 + image[0, 0, 0] / 600
        return np.array([score, 1 - score, 7.0], np.float32)

    def look(self, first: Answers, *, mirrors: bool = True, timeout_s: float = 10.0) -> Answers:
        async def check() -> Answers:
            look = SecondLook(self.admission, self.metrics)
            caller = Caller(None, timeout_s=timeout_s)
            return await look.join(first, IMAGE, _checkpoint(mirrors=mirrors), caller, self.run)

        return cast(Answers, _result_of(check))

    @property
    def counts(self) -> dict[str, float]:
        lines = self.metrics.exposition().decode().splitlines()
        return {
            result: float(line.split()[-1])
            for result in ("taken", "skipped")
            for line in lines
            if line.startswith(f'glimpse_second_looks_total{{result="{result}"}}')
        }


def _result_of(check: Callable[[], Any]) -> Any:
    found: list[Any] = []

    async def keep() -> None:
        found.append(await check())

    with_loop(keep())
    return found[0]


def test_a_sure_answer_is_the_answer() -> None:
    """Nothing else is run."""
    room = _Room()
    assert room.look(SURE) is SURE
    assert room.seen == []
    assert room.counts == {}


@pytest.mark.parametrize("first", [UNSURE, FAR], ids=["unsure", "far"])
@pytest.mark.parametrize("mirrors", [True, False])
def test_what_would_be_abstained_from_is_looked_at_again(first: Answers, mirrors: bool) -> None:
    """All other views are run, and counted as in work; all together are the answer, with the first distance."""
    room = _Room()
    joined = room.look(first, mirrors=mirrors)
    views = six_views(torch.tensor(IMAGE)[None], mirrors=mirrors)
    assert len(room.seen) == len(views) - 1 == (5 if mirrors else 2)
    for seen, (_, view) in zip(room.seen, views[1:], strict=True):
        assert np.array_equal(seen, view[0].numpy())
        assert seen.flags.c_contiguous
    rows = np.stack([first, *(room.answers(view[0].numpy()) for _, view in views[1:])])
    assert np.array_equal(joined, together(rows, [weight for weight, _ in views], classes=2))
    assert joined[2] == first[2]
    assert room.in_work == [len(views) - 1] * (len(views) - 1)
    assert room.admission.pictures == 0
    assert room.counts == {"taken": 1}


def test_without_time_the_first_answer_stays() -> None:
    """Five pictures of 3 s do not fit into 10; nobody counts as refused, so the queue does not become short."""
    room = _Room()
    room.prices.answered(size=1, seconds=3.0, finished_s=100.0, waiting=0)
    assert room.look(UNSURE) is UNSURE
    assert room.seen == []
    assert room.counts == {"skipped": 1}
    assert room.usable_time._refused_s < 0
    assert room.look(UNSURE, timeout_s=60.0) is not UNSURE


def test_without_room_in_the_queue_the_first_answer_stays() -> None:
    """GLIMPSE_MAX_QUEUE holds for views, too."""
    room = _Room(most=4)
    assert room.look(UNSURE) is UNSURE
    assert _Room(most=5).look(UNSURE) is not UNSURE


def test_pictures_of_one_run_see_each_others_views() -> None:
    """Their answers come in the same turn of the event loop: there is room for the views of one of them."""
    room = _Room(most=20)

    async def check() -> list[Answers]:
        look = SecondLook(room.admission, room.metrics)

        async def join() -> Answers:
            with room.admission.picture():
                caller = Caller(None, timeout_s=10.0)
                return await look.join(UNSURE, IMAGE, _checkpoint(), caller, room.run)

        return await asyncio.gather(*(join() for _ in range(8)))

    joined = _result_of(check)
    assert [one is UNSURE for one in joined] == [False, False] + [True] * 6
    assert max(room.in_work) <= 20
    assert room.counts == {"taken": 2, "skipped": 6}


def test_views_that_do_not_come_back_do_not_hold_the_answer() -> None:
    """They are given up after half of the caller's time, and leave no room taken."""
    room, given_up = _Room(), list[bool]()

    async def run(image: Images) -> Result:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            given_up.append(True)
            raise
        raise AssertionError

    room.run = run  # type: ignore[method-assign]  # of this room alone
    assert room.look(UNSURE, timeout_s=0.2) is UNSURE
    assert len(given_up) == 5
    assert room.counts == {"skipped": 1}
    assert room.admission.pictures == 0


@pytest.mark.parametrize(
    "fault",
    [
        EngineError("it broke"),
        OverloadedError("full", retry_after_s=1, reason="queue_full"),
        DeadlineError("The time is over."),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_view_that_fails_costs_the_second_look_alone(fault: Exception) -> None:
    """There is an answer already, and it is the best that there is."""
    room = _Room(fault=fault)
    assert room.look(UNSURE) is UNSURE
    assert room.counts == {"skipped": 1}
    assert room.admission.pictures == 0


@pytest.mark.parametrize(
    "fault", [ClientDisconnect("gone"), ZeroDivisionError()], ids=lambda fault: type(fault).__name__
)
def test_whoever_hung_up_gets_nothing_and_a_fault_of_ours_is_told(fault: Exception) -> None:
    """Neither is hidden behind the first answer."""
    with pytest.raises(type(fault)):
        _Room(fault=fault).look(UNSURE)


def test_whoever_hung_up_does_not_stay_in_memory() -> None:
    """The error passes frames that hold the caller's body, and none of them holds the error."""
    room = _Room()

    async def run(image: Images) -> Result:
        raise ClientDisconnect("gone")

    async def look() -> None:
        second = SecondLook(room.admission, room.metrics)
        caller = Caller(None, timeout_s=10.0)
        with no_error_in_a_circle():
            with contextlib.suppress(ClientDisconnect):
                await second.join(UNSURE, IMAGE, _checkpoint(), caller, run)
            await turns()  # until then the loop holds what it woke this task with

    with_loop(look())
