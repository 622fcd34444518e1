"""How much of a deadline may be used up, with a clock that the test sets."""

import pytest

from app.usable_time import KEPT_FREE_BESIDE_OTHERS, UsableTime


class Refused:
    """Somebody is refused every tenth of a second, unless a test says otherwise."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.usable_time = UsableTime(clock=lambda: self.now_s)

    def times(self, refusals: int, *, every_s: float = 0.1) -> UsableTime:
        """So many more are refused."""
        for _ in range(refusals):
            self.now_s += every_s
            self.usable_time.note_refusal()
        return self.usable_time


def test_the_share_that_is_kept_free_is_taken_off() -> None:
    """Two fifths, or what a process among others keeps free."""
    assert UsableTime().of(10.0) == pytest.approx(6.0)
    assert UsableTime(kept_free=KEPT_FREE_BESIDE_OTHERS).of(10.0) == pytest.approx(2.0)


def test_a_second_of_refusals_is_a_burst_and_more_is_a_lasting_overload() -> None:
    """It is over when nobody was refused for more than a second."""
    refused = Refused()
    assert refused.times(10).of(10.0) == pytest.approx(6.0)
    assert refused.times(2).of(10.0) == pytest.approx(2.0)
    refused.now_s += 0.9
    assert refused.usable_time.of(10.0) == pytest.approx(2.0)
    refused.now_s += 0.2
    assert refused.usable_time.of(10.0) == pytest.approx(6.0)


def test_a_short_deadline_may_use_up_a_tenth_of_a_second() -> None:
    """With less the engine would wait for pictures; what three fifths allow is never exceeded."""
    usable_time = Refused().times(13)
    assert usable_time.of(0.4) == pytest.approx(0.1)
    assert usable_time.of(0.1) == pytest.approx(0.06)
    assert usable_time.of(10.0) == pytest.approx(2.0)


def test_refusals_far_apart_are_no_lasting_overload() -> None:
    """One caller who asks for too little time, again and again, changes nothing for the others."""
    assert Refused().times(5, every_s=1.1).of(9.0) == pytest.approx(5.4)
