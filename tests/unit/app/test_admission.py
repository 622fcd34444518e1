"""Who is let in, with every number worked out by hand."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from app.admission import Admission
from app.errors import OverloadedError
from app.prices import Prices
from app.usable_time import UsableTime


def admission(prices: Prices | None = None, *, max_waiting: int = 1_000) -> Admission:
    """Two threads decode; nothing is measured yet."""
    return Admission(prices or Prices(), UsableTime(), max_waiting=max_waiting, decoders=2)


def priced(picture_s: float = 0.0, *, byte_s: float = 0.0) -> Prices:
    """What a picture and a byte cost."""
    prices = Prices()
    prices.picture_s, prices.byte_s = picture_s, byte_s
    return prices


def measured(picture_s: float, *, byte_s: float = 0.0, max_waiting: int = 1_000) -> Admission:
    """A picture and a byte cost so many seconds."""
    return admission(priced(picture_s, byte_s=byte_s), max_waiting=max_waiting)


LetIn = Callable[[Admission, int], None]


@pytest.fixture
def let_in() -> Iterator[LetIn]:
    """So many pictures come, and are not answered before the test is over."""
    with ExitStack() as inside:

        def come(door: Admission, pictures: int) -> None:
            for _ in range(pictures):
                inside.enter_context(door.picture())

        yield come


def test_nobody_is_refused_before_anything_was_measured(let_in: LetIn) -> None:
    """Without a measurement the estimate is nothing, and the shortest deadline is good enough."""
    door = admission()
    let_in(door, 999)
    assert door.wait_s == 0
    door.check(within_s=0.001)


def test_an_empty_service_lets_in_whoever_comes() -> None:
    """However slow it was: one picture that has the engine to itself is worth a try."""
    measured(60.0).check(within_s=0.001)


def test_the_wait_is_what_is_let_in_times_what_a_picture_costs(let_in: LetIn) -> None:
    """20 pictures of 0.25 s are 5 s."""
    door = measured(0.25)
    let_in(door, 20)
    assert door.wait_s == 5.0


@pytest.mark.parametrize(
    ("within_s", "retry_after_s"),
    [
        (5.0, 2),  # 5 s of work, and 3 s of the deadline may be used up: 2 s too much
        (2.0, 4),  # 1.2 s may: 3.8 s too much
        (0.5, 5),  # 0.3 s may: 4.7 s too much
        (8.0, 1),  # 4.8 s may: 0.2 s too much
    ],
)
def test_who_could_not_be_answered_in_time_is_told_when_to_come_back(
    within_s: float, retry_after_s: int, let_in: LetIn
) -> None:
    """When the work is down to three fifths of the deadline, in whole seconds, rounded up."""
    door = measured(0.25)
    let_in(door, 20)
    with pytest.raises(
        OverloadedError, match=rf"^20 pictures .* 5,000 ms of work; {within_s * 1000:,.0f} ms are left"
    ) as it:
        door.check(within_s=within_s)
    assert it.value.retry_after_s == retry_after_s


def test_three_fifths_of_the_deadline_may_be_used_up(let_in: LetIn) -> None:
    """5 s of work are let in with 8.34 s, and refused with a little less."""
    door = measured(0.25)
    let_in(door, 20)
    door.check(within_s=8.34)
    with pytest.raises(OverloadedError, match="8,330 ms are left of its time"):
        door.check(within_s=8.33)


def test_more_views_leave_half_of_the_room_to_new_callers(let_in: LetIn) -> None:
    """Of 6 s that may be used up 3 are theirs, as long as 24 pictures take, and 5 places of 10."""
    door = measured(0.125)
    let_in(door, 24)
    assert [door.has_room(pictures=count, within_s=10) for count in (5, 25, 26)] == [True, True, False]
    let_in(door, 1)
    assert not door.has_room(pictures=1, within_s=10)
    door.check(within_s=10)
    small = admission(max_waiting=10)
    let_in(small, 5)
    assert [small.has_room(pictures=count, within_s=10) for count in (5, 6)] == [True, False]
    let_in(small, 1)
    assert not small.has_room(pictures=1, within_s=10)
    small.check(within_s=10)


def test_a_batch_waits_for_its_own_pictures_too(let_in: LetIn) -> None:
    """8 waiting pictures and 5 new ones: the last of them waits for twelve others, 3 s."""
    door = measured(0.25)
    let_in(door, 8)
    door.check(within_s=5.01, pictures=5)
    with pytest.raises(OverloadedError, match="about 3,000 ms of work") as refusal:
        door.check(within_s=2.0, pictures=5)
    assert refusal.value.retry_after_s == 2


@pytest.mark.parametrize(("picture_s", "retry_after_s"), [(0.0, 1), (0.25, 1), (2.0, 4)])
def test_a_full_service_refuses_whatever_the_deadline(picture_s: float, retry_after_s: int, let_in: LetIn) -> None:
    """Four are the limit here; half of their work later there is room for two."""
    door = measured(picture_s, max_waiting=4)
    let_in(door, 3)
    door.check(within_s=60)
    let_in(door, 1)
    with pytest.raises(
        OverloadedError, match=r"^4 pictures .* brings 1; the limit is 4 \(GLIMPSE_MAX_QUEUE\)"
    ) as refusal:
        door.check(within_s=60)
    assert refusal.value.retry_after_s == retry_after_s


def test_who_is_on_the_way_is_counted_and_told() -> None:
    """Four whose header came fill the place; the sentence does not say that there are none."""
    door = measured(0.25, max_waiting=4)
    for _ in range(4):
        door.expect()
    with pytest.raises(OverloadedError, match=r"^4 pictures are in work or on their way"):
        door.check(within_s=60)


def test_a_batch_needs_room_for_all_of_it(let_in: LetIn) -> None:
    """Two more fit, three do not."""
    door = measured(0.25, max_waiting=4)
    let_in(door, 2)
    door.check(within_s=60, pictures=2)
    with pytest.raises(OverloadedError, match="GLIMPSE_MAX_QUEUE"):
        door.check(within_s=60, pictures=3)


def test_what_is_reserved_counts_until_each_picture_counts_itself() -> None:
    """Of three places the first is given up at its turn, the others at the end; nothing is given up twice."""
    door = measured(0.25, max_waiting=4)
    with door.reserve([0, 0, 0], within_s=60) as give_up:
        assert door.wait_s == 0.75
        with (
            pytest.raises(OverloadedError, match=r"^3 pictures .* \(GLIMPSE_MAX_QUEUE\)"),
            door.reserve([0, 0], within_s=60),
        ):
            pass
        give_up(0)
        give_up(0)
        with door.picture():
            assert door.wait_s == 0.75
        assert door.wait_s == 0.5
    assert door.wait_s == 0
    give_up(1)  # of a picture whose turn comes when its request is over
    assert door.wait_s == 0


def test_a_batch_waits_for_the_decoding_of_its_own_files() -> None:
    """0.5 ms a byte, two threads: 4,000 bytes beside the largest are 1 s, and all 10,000 are 2.5 s to others."""
    door = measured(0.0, byte_s=0.0005)
    with (
        door.picture(),
        pytest.raises(OverloadedError, match="brings 3, about 1,000 ms"),
        door.reserve([2_000, 6_000, 2_000], within_s=1.0),
    ):
        pass
    with door.reserve([2_000, 6_000, 2_000], within_s=1.0):  # to an idle service it is worth a try
        pass
    with door.reserve([2_000, 6_000, 2_000], within_s=4.0) as give_up:
        assert door.wait_s == 2.5
        give_up(1)
        assert door.wait_s == 1.0
    assert door.wait_s == 0
    with door.reserve([1_000_000], within_s=0.001):  # alone, it is worth a try
        pass


@pytest.mark.parametrize(("pictures", "retry_after_s"), [(0, 1), (20, 3), (1_000, 30)])
def test_whoever_finds_no_room_may_come_back_when_half_of_the_work_is_done(
    pictures: int, retry_after_s: int, let_in: LetIn
) -> None:
    """20 pictures of 0.25 s are 5 s of work: 3 s, rounded up; never less than one second or more than thirty."""
    door = measured(0.25)
    let_in(door, pictures)
    assert door.retry_after_s() == retry_after_s


def test_large_numbers_can_be_read(let_in: LetIn) -> None:
    """A comma between the thousands."""
    door = measured(0.25, max_waiting=1_234)
    let_in(door, 1_234)
    with pytest.raises(OverloadedError, match=r"^1,234 pictures are being answered and .* about 308,500 ms"):
        door.check(within_s=60)


def test_a_time_in_which_no_picture_is_answered_is_told_as_that() -> None:
    """Coming back would not help, and the others are not what is in its way; a late event loop is."""
    door = measured(0.012)
    door.expect()
    with pytest.raises(
        OverloadedError,
        match=r"^This request allows 1\.0 ms, and one picture takes about 12\.0 ms here, however few others ask\. "
        r"Give it more with X-Request-Timeout-Ms\.$",
    ):
        door.check(within_s=0.001)
    door.lagged(2.0)
    with pytest.raises(OverloadedError, match=r"^0 pictures are being answered .* Come back"):
        door.check(within_s=-1.0)


def test_bytes_that_wait_for_a_decoding_thread_count_too() -> None:
    """8,000 bytes at 0.5 ms each are 4 s of work, and 2 s for two threads, beside the engine's 0.25 s."""
    door = measured(0.25, byte_s=0.0005)
    with door.picture(), door.decoding(6_000), door.decoding(2_000):
        assert door.wait_s == 2.25
        with pytest.raises(OverloadedError, match="brings 1, about 2,250 ms"):
            door.check(within_s=2.5)


def test_whatever_happens_is_counted_down_again() -> None:
    """A failure on a thread, in the queue or in the engine leaves no work behind."""
    door = measured(0.25, byte_s=1.0)

    def fail() -> None:
        with door.picture(), door.decoding(5):
            assert door.wait_s == 2.75
            raise ZeroDivisionError("in between")

    with pytest.raises(ZeroDivisionError, match="in between"):
        fail()
    assert door.wait_s == 0.0


def test_the_lag_of_the_event_loop_is_part_of_the_wait(let_in: LetIn) -> None:
    """What it was late counts at once, and fades when it is in time again."""
    door = measured(0.25)
    let_in(door, 4)
    door.lagged(2.0)
    assert (door.lag_s, door.wait_s) == (2.0, 3.0)
    for _ in range(20):
        door.lagged(0.001)
    assert door.lag_s < 0.05


def test_who_was_let_in_by_the_header_counts_until_the_turn_comes(let_in: LetIn) -> None:
    """Else all that arrive in one turn of the event loop would be let in together."""
    door = measured(0.25, max_waiting=2)
    door.expect()
    door.expect()
    assert (door.pictures, door.wait_s) == (2, 0.5)
    with pytest.raises(OverloadedError, match="GLIMPSE_MAX_QUEUE"):
        door.check(within_s=60)
    door.stop_expecting()
    let_in(door, 1)
    with pytest.raises(OverloadedError, match="GLIMPSE_MAX_QUEUE"):
        door.check(within_s=60)
    door.lagged(0.0)  # the other one hung up, and the loop has come round since
    door.check(within_s=60)


def test_who_is_on_the_way_counts_as_long_as_the_loop_is_late() -> None:
    """A loop that is late by more than 10 ms has not given everybody a turn."""
    door = measured(0.25)
    door.expect()
    door.lagged(0.02)
    assert door.pictures == 1
    door.lagged(0.01)
    assert door.pictures == 0


def test_a_turn_that_comes_after_it_was_given_up_counts_for_nobody() -> None:
    """The loop came round, and whoever was expected is forgotten; the next one counts as one."""
    door = measured(0.25)
    door.expect()
    door.lagged(0.0)
    door.stop_expecting()
    assert door.wait_s == 0
    door.expect()
    assert door.wait_s == 0.25


def test_a_lag_fades_by_a_fifth_with_each_beat_in_time() -> None:
    """One that is shorter does not hide it, and a longer one counts at once."""
    door = admission()
    for late_s, lag_s in ((2.0, 2.0), (0.001, 1.6), (0.5, 1.28), (3.0, 3.0)):
        door.lagged(late_s)
        assert door.lag_s == pytest.approx(lag_s)


def test_what_an_idle_service_would_take_is_doubted(let_in: LetIn) -> None:
    """A minute in which a machine moved makes a picture dear; a large batch may try all the same, and teaches."""
    door = measured(0.75)  # a tenth of 7.5 s; before it was a millisecond
    door.check(within_s=10, pictures=64)
    let_in(door, 1)
    with pytest.raises(OverloadedError, match="brings 64"):
        door.check(within_s=10, pictures=64)


def test_who_brings_too_much_at_a_time_is_told_so(let_in: LetIn) -> None:
    """To come back would not help: it would be too much for an idle service, too."""
    door = measured(0.25)
    with pytest.raises(OverloadedError, match=r"Send fewer pictures at a time, or give it more with X-Request"):
        door.check(within_s=1.0, pictures=21)
    let_in(door, 9)
    with pytest.raises(OverloadedError, match=r"Come back after Retry-After seconds, or give it more"):
        door.check(within_s=1.0)


def test_nobody_is_sent_away_for_long(let_in: LetIn) -> None:
    """An estimate of minutes is an odd price, and a lag of the event loop is over before anybody is back."""
    door = measured(10.0)
    let_in(door, 100)
    with pytest.raises(OverloadedError) as refused:
        door.check(within_s=1.0)
    assert refused.value.retry_after_s == 30
    door = measured(0.25)
    let_in(door, 8)
    door.lagged(20.0)
    for within_s in (1.0, 1.0 - 20.0):  # the latter as the service asks: the request has waited to be read
        with pytest.raises(OverloadedError) as refused:
            door.check(within_s=within_s)
        assert refused.value.retry_after_s == 2


class Refusing:
    """A service that has had 5 s of work for a while, with a clock that a test sets."""

    def __init__(self, let_in: LetIn, *, max_waiting: int = 1_000) -> None:
        self.now_s = 100.0
        usable_time = UsableTime(clock=lambda: self.now_s)
        self.door = Admission(priced(0.25), usable_time, max_waiting=max_waiting, decoders=2)
        let_in(self.door, 20)

    def lets_in(self, within_s: float) -> bool:
        """Ask, a tenth of a second later."""
        self.now_s += 0.1
        try:
            self.door.check(within_s=within_s)
        except OverloadedError:
            return False
        return True


@pytest.mark.parametrize("limit", ["time", "number"])
def test_while_an_overload_lasts_a_fifth_of_the_deadline_is_enough(limit: str, let_in: LetIn) -> None:
    """For a second it is a burst, which may fill three fifths; then answers come sooner, and as many. It is over
    when nobody was refused for a second.
    """
    service = Refusing(let_in, max_waiting=1_000 if limit == "time" else 20)
    hopeless, patient = (8.0, 10.0) if limit == "time" else (10.0, 10.0)
    if limit == "time":
        assert service.lets_in(patient)
    for _ in range(11):
        assert not service.lets_in(hopeless)
    assert not service.lets_in(patient)
    if limit == "time":
        assert service.lets_in(26.0)
        service.now_s += 1.0
        assert service.lets_in(patient)
