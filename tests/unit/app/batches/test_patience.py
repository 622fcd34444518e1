"""How long a run is waited for: the event loop's turns come during the runs themselves, on the same thread."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from app.batches.patience import Patience, longest_run_s
from app.batches.runs import Batch, Item, Runner
from models.preprocessing import Answers, Images
from tests.unit.app.lanes import FAR, POISON, Log, answers, picture
from tests.unit.app.loops import with_loop


def verdicts(*turns_s: Sequence[float], values: Sequence[int] = (1,), batches: int = 1) -> list[bool]:
    """What somebody with a patience of 10 s says.

    Args:
        turns_s: of each run, for how long the event loop turned, again and again.
        values: first pixels of the batch.
        batches: how many such batches are run.
    """
    said: list[bool] = []

    async def check() -> None:
        loop = asyncio.get_running_loop()
        left = iter(turns_s)

        def run(images: Images) -> Answers:
            said.extend(patience.is_over(turned_s=turned_s) for turned_s in next(left))
            return answers(images)

        runner = Runner(run, events=Log(), clock=lambda: 1.0, waiting=())
        patience = Patience(runner, longest_s=10.0)
        for _ in range(batches):
            items = [Item(picture(value), FAR, 1.0, loop.create_future()) for value in values]
            runner(Batch(items, np.stack([item.image for item in items])))

    with_loop(check())
    return said


def test_a_run_is_waited_for_while_the_event_loop_turns() -> None:
    """The first turn sees that it has begun; what counts comes after that."""
    assert verdicts([99.0, 5.0, 4.9, 0.2]) == [False, False, False, True]


def test_each_run_has_its_own_time() -> None:
    """However many come one after the other, with no turn between them that would see the lane idle."""
    assert verdicts([9.0, 9.0], [9.0, 9.0], batches=2) == [False] * 4


def test_the_halves_of_a_batch_are_runs_of_their_own() -> None:
    """One picture of four is poisoned: five runs of 9 s are no run that does not come back."""
    assert verdicts(*[[9.0, 9.0]] * 5, values=(1, 2, 3, POISON)) == [False] * 10


def test_an_idle_lane_is_not_waited_for() -> None:
    """Between two batches nothing runs, for however long."""
    runner = Runner(answers, events=Log(), clock=lambda: 1.0, waiting=())
    patience = Patience(runner, longest_s=10.0)
    assert not any(patience.is_over(turned_s=99.0) for _ in range(3))


@pytest.mark.parametrize(
    ("max_deadline_s", "device", "longest_s"),
    [(1, "NVIDIA H100", 60), (90, "NVIDIA H100", 90), (1, "cpu", 600), (90, "cpu", 900)],
)
def test_a_run_may_last_until_all_of_its_callers_are_gone(
    max_deadline_s: float, device: str, longest_s: float
) -> None:
    """A minute at least; and ten times as long on a CPU, where a large batch may take minutes."""
    assert longest_run_s(max_deadline_s=max_deadline_s, device=device) == longest_s
