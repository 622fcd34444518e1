"""Who is taken with whom, with nobody who runs them; what is prepared shows by what can still come before it."""

import asyncio
from typing import Any

import numpy as np
import pytest

from app.batches.queues import Queue
from app.batches.runs import Batch, Item
from app.errors import DeadlineError, EngineError
from tests.unit.app.lanes import FAR, Log, picture
from tests.unit.app.loops import turns, with_loop


def item(value: int, *, deadline_s: float = FAR) -> Item:
    """One picture, submitted at 0."""
    return Item(picture(value), deadline_s, 0.0, asyncio.get_running_loop().create_future())


def filled(*values: int, max_batch_size: int, log: Log | None = None, idle_lanes: int = 0) -> Queue:
    """A queue in which those pictures wait, at 1 on its clock."""
    queue = Queue(max_batch_size=max_batch_size, events=log or Log(), clock=lambda: 1.0)
    queue.idle_lanes = idle_lanes
    with queue.changed:
        for value in values:
            queue.put(item(value))
    return queue


def taken(queue: Queue, *, one: bool = False) -> list[int] | None:
    """The pictures of the batch that is next, with its pixels looked at."""
    with queue.changed:
        batch: Batch | None = queue.take_one() if one else queue.take()
    if batch is None:
        return None
    values = [int(item.image.flat[0]) for item in batch.items]
    assert batch.images.shape == (len(values), 1, 1, 3)
    assert [int(image.flat[0]) for image in batch.images] == values
    return values


@pytest.mark.parametrize(
    ("values", "idle_lanes", "expected"),
    [
        ((1, 2), 0, [[1, 2], [9]]),
        ((1, 2, 3), 0, [[1, 2], [9], [3]]),
        ((1,), 0, [[9], [1]]),  # less than a whole batch
        ((1, 2), 1, [[9], [1, 2]]),  # a lane is about to take them
    ],
)
def test_a_whole_batch_is_prepared_while_every_lane_is_busy(
    values: tuple[int, ...], idle_lanes: int, expected: list[list[int]]
) -> None:
    """Nobody comes before it any more, and it still counts as waiting."""

    async def check() -> None:
        queue = filled(*values, max_batch_size=2, idle_lanes=idle_lanes)
        assert len(queue) == len(values)
        with queue.changed:
            queue.put_first([item(9)])
        assert [taken(queue) for _ in expected] == expected
        assert (taken(queue), len(queue)) == (None, 0)

    with_loop(check())


def test_who_goes_first_is_run_without_others() -> None:
    """A batch that callers fill may take longer than these may; as many as a batch holds ride together."""

    async def check() -> None:
        queue = filled(1, 2, 3, 4, max_batch_size=3, idle_lanes=1)
        with queue.changed:
            queue.put_first([item(value) for value in (6, 7, 8, 9)])
        assert [taken(queue) for _ in range(5)] == [[6, 7, 8], [9], [1, 2, 3], [4], None]

    with_loop(check())


def test_who_went_first_and_was_given_up_makes_room() -> None:
    """An engine that hangs is asked again and again, and what nobody waits for must not pile up."""

    async def check() -> None:
        queue = filled(1, max_batch_size=3, idle_lanes=1)
        for _ in range(3):
            asked = [item(8), item(9)]
            with queue.changed:
                queue.put_first(asked)
            assert len(queue) == 3
            for one in asked:
                one.answer.cancel()

    with_loop(check())


def test_who_left_a_prepared_batch_is_not_run() -> None:
    """Its pixels go with them; where all have left the next batch is taken."""

    async def check() -> None:
        log = Log()
        queue = filled(max_batch_size=3, log=log)
        items = [item(value) for value in range(7)]
        with queue.changed:
            for one in items:
                queue.put(one)
        items[1].answer.cancel()
        assert taken(queue) == [0, 2]
        with queue.changed:
            queue.put(item(7))  # with it a batch is prepared again
        for one in items[3:6]:
            one.answer.cancel()
        assert taken(queue) == [6, 7]
        assert log.drops == {"abandoned": 4}

    with_loop(check())


def test_whose_time_is_over_is_told_so() -> None:
    """At the deadline itself already; who has more time is taken."""

    async def check() -> None:
        log = Log()
        queue = filled(max_batch_size=3, log=log)
        late = item(1, deadline_s=1.0)
        with queue.changed:
            queue.put(late)
            queue.put(item(2, deadline_s=1.1))
        assert taken(queue) == [2]
        await turns()
        assert isinstance(late.answer.exception(), DeadlineError)
        assert log.drops == {"expired": 1}

    with_loop(check())


def test_one_is_taken_from_where_it_would_wait_longest() -> None:
    """The first behind the prepared batch, then the last in it."""

    async def check() -> None:
        queue = filled(1, 2, 3, 4, 5, max_batch_size=3)
        assert [taken(queue, one=True) for _ in range(4)] == [[4], [5], [3], [2]]
        assert (taken(queue), len(queue)) == ([1], 0)

    with_loop(check())


def test_a_prepared_batch_without_memory_fails_alone() -> None:
    """Who is left of it needs a batch of their own; where there is no room for it, the next in the queue come."""

    class Full(np.ndarray[Any, np.dtype[np.uint8]]):
        """Pixels that cannot be copied."""

        def __getitem__(self, key: Any) -> Any:
            """Fail."""
            raise MemoryError

    async def check() -> None:
        log = Log()
        queue = filled(1, max_batch_size=2, log=log)
        leaver, left = item(2), queue._items[0]
        with queue.changed:
            queue.put(leaver)
            queue.put(item(3))
        assert queue._prepared
        queue._prepared.images = queue._prepared.images.view(Full)
        leaver.answer.cancel()
        assert taken(queue) == [3]
        await turns()
        assert isinstance(left.answer.exception(), EngineError)
        assert log.failures == 1

    with_loop(check())
