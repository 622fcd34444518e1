"""What processes tell each other about themselves."""

import multiprocessing
from functools import partial

import pytest

from app.processes.verdicts import Verdicts


@pytest.fixture
def now_s() -> list[float]:
    """The clock of the machine."""
    return [0.5]


@pytest.fixture
def verdicts(now_s: list[float]) -> Verdicts:
    """Nobody has said anything."""
    return Verdicts(clock=lambda: now_s[0])


def test_before_anybody_has_spoken_nobody_is_right(verdicts: Verdicts) -> None:
    """Also on a machine that has just been started, whose clock is near 0."""
    assert not verdicts.is_another_right(0)


def test_a_process_is_another_for_all_but_itself(verdicts: Verdicts) -> None:
    """Its own answers help none of its callers to right ones."""
    verdicts.tell(1, is_right=True)
    assert [verdicts.is_another_right(slot) for slot in range(3)] == [True, False, True]


def test_who_is_wrong_says_so_at_once(verdicts: Verdicts) -> None:
    """Whatever was said a moment before."""
    verdicts.tell(1, is_right=True)
    verdicts.tell(1, is_right=False)
    assert not verdicts.is_another_right(0)


def test_who_has_not_spoken_for_a_second_may_be_dead(verdicts: Verdicts, now_s: list[float]) -> None:
    """Or hang: then nobody else would take the connections."""
    verdicts.tell(1, is_right=True)
    now_s[0] += 0.9
    assert verdicts.is_another_right(0)
    now_s[0] += 0.2
    assert not verdicts.is_another_right(0)


def test_what_one_process_says_another_hears() -> None:
    """They share the memory."""
    verdicts = Verdicts(clock=partial(float, 5.0))  # a clock that stands, and can be pickled
    child = multiprocessing.get_context("spawn").Process(
        target=verdicts.tell, args=(1,), kwargs={"is_right": True}
    )
    child.start()
    child.join()
    assert child.exitcode == 0
    assert verdicts.is_another_right(0)
