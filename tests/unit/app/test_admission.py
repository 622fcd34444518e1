"""Who is let in, with every number worked out by hand."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from app.admission import Admission
from app.errors import OverloadedError


def admission(*, max_waiting: int = 1_000, decoders: int = 2, max_bytes: int = 1_000) -> Admission:
    """Nothing is measured yet."""
    return Admission(max_waiting=max_waiting, decoders=decoders, max_bytes=max_bytes)


def measured(picture_s: float, **given: int) -> Admission:
    """The engine needed so long for each of eight pictures, ten times."""
    door = admission(**given)
    for _ in range(10):
        door.answered(size=8, seconds=8 * picture_s, finished_s=100.0, waiting=0)
    return door


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
        door.enter()
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
    door = admission()
    door.decoded(size_bytes=1_000, seconds=0.5)
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


def test_large_numbers_can_be_read(let_in: LetIn) -> None:
    """A comma between the thousands."""
    door = measured(0.25, max_waiting=1_234)
    let_in(door, 1_234)
    with pytest.raises(OverloadedError, match=r"^1,234 pictures are being answered and .* about 308,500 ms"):
        door.check(within_s=60)


def cost(door: Admission) -> float:
    """What the service believes that a picture costs."""
    with door.picture():
        return door.wait_s


def test_a_tenth_of_each_new_measurement_is_believed() -> None:
    """But for the first ten, each of which counts alike; then 0.25 s and one of 1.25 s make 0.35 s."""
    door = admission()
    for seconds, mean in ((2.0, 0.25), (6.0, 0.5), (1.0, 0.375)):
        door.answered(size=8, seconds=seconds, finished_s=100.0, waiting=0)
        assert cost(door) == pytest.approx(mean)
    door = measured(0.25)
    assert cost(door) == pytest.approx(0.25)
    door.answered(size=8, seconds=10.0, finished_s=200.0, waiting=0)
    assert cost(door) == pytest.approx(0.35)


def test_each_picture_counts_alike_however_many_ride_along() -> None:
    """16 pictures took 1.6 s, and one 0.2 s by itself: 1.8 s for 17, not half of the way to 0.2 s."""
    door = admission()
    door.answered(size=16, seconds=1.6, finished_s=100.0, waiting=0)
    door.answered(size=1, seconds=0.2, finished_s=200.0, waiting=0)
    assert cost(door) == pytest.approx(1.8 / 17)


def test_in_a_backlog_the_cost_is_what_the_service_gets_done() -> None:
    """In each second a lane ends 16 pictures and the event loop four, one by one: 50 ms a picture."""
    door = admission()
    for second in range(100):
        for part in range(1, 5):
            door.answered(size=1, seconds=0.1, finished_s=second + part / 5, waiting=9)
        door.answered(size=16, seconds=0.9, finished_s=second + 1.0, waiting=9)
    assert cost(door) == pytest.approx(1 / 20, rel=0.3)


def test_in_a_backlog_the_time_between_two_batches_counts() -> None:
    """It holds all that the engine waits for; the run alone counts only when nothing waited before it."""
    door = admission()
    door.answered(size=10, seconds=1.0, finished_s=100.0, waiting=5)
    assert cost(door) == 0.1  # the run alone: nobody knows since when it was busy
    door.answered(size=10, seconds=1.0, finished_s=103.0, waiting=5)
    assert cost(door) == pytest.approx((1.0 + 3.0) / 20)
    door.answered(size=5, seconds=1.0, finished_s=105.0, waiting=0)
    assert cost(door) == pytest.approx((1.0 + 3.0 + 2.0) / 25)
    door.answered(size=10, seconds=1.0, finished_s=900.0, waiting=0)
    assert cost(door) == pytest.approx((1.0 + 3.0 + 2.0 + 1.0) / 35)


def test_a_pause_after_everybody_left_is_no_backlog() -> None:
    """Ten waited, all hung up, and the next came an hour later: that hour is not what a picture costs."""
    door = admission()
    door.answered(size=1, seconds=0.01, finished_s=100.0, waiting=10)
    door.idle()
    door.answered(size=1, seconds=0.01, finished_s=3700.0, waiting=0)
    assert cost(door) == pytest.approx(0.01)


def test_bytes_that_wait_for_a_decoding_thread_count_too() -> None:
    """8,000 bytes at 0.5 ms each are 4 s of work, and 2 s for two threads, beside the engine's 0.25 s."""
    door = measured(0.25)
    door.decoded(size_bytes=1_000, seconds=0.5)
    with door.picture(), door.decoding(6_000), door.decoding(2_000):
        assert door.wait_s == 2.25
        with pytest.raises(OverloadedError, match="brings 1, about 2,250 ms"):
            door.check(within_s=2.5)
    door.decoded(size_bytes=10, seconds=0.5)  # a tenth of it is believed: 0.5 s for 901 bytes
    with door.decoding(9_010):
        assert door.wait_s == pytest.approx(2.5)


def test_whatever_happens_is_counted_down_again() -> None:
    """A failure on a thread, in the queue or in the engine leaves no work behind."""
    door = measured(0.25)
    door.decoded(size_bytes=1, seconds=1.0)

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
    door.enter()
    door.enter()
    assert door.wait_s == 0.5
    with pytest.raises(OverloadedError, match="GLIMPSE_MAX_QUEUE"):
        door.check(within_s=60)
    door.entered()
    let_in(door, 1)
    with pytest.raises(OverloadedError, match="GLIMPSE_MAX_QUEUE"):
        door.check(within_s=60)
    door.lagged(0.0)  # the other one hung up, and the loop has come round since
    door.check(within_s=60)


def test_a_turn_that_comes_after_it_was_given_up_counts_for_nobody() -> None:
    """The loop came round, and whoever entered was forgotten; the next who enters counts as one."""
    door = measured(0.25)
    door.enter()
    door.lagged(0.0)
    door.entered()
    assert door.wait_s == 0
    door.enter()
    assert door.wait_s == 0.25


def test_a_lag_fades_by_a_fifth_with_each_beat_in_time() -> None:
    """One that is shorter does not hide it, and a longer one counts at once."""
    door = admission()
    for late_s, lag_s in ((2.0, 2.0), (0.001, 1.6), (0.5, 1.28), (3.0, 3.0)):
        door.lagged(late_s)
        assert door.lag_s == pytest.approx(lag_s)


def test_bodies_may_not_fill_the_memory_together() -> None:
    """What is held counts until it is let go; the limit itself is still held."""
    door = admission(max_bytes=100)
    door.hold(60)
    door.hold(40)
    with pytest.raises(OverloadedError, match=r"100 bytes, leave no room for 1 more; the limit is 100") as refused:
        door.hold(1)
    assert refused.value.retry_after_s == 1
    door.let_go(40)
    door.hold(40)


def test_who_finds_no_memory_may_come_back_when_half_of_the_work_is_done(let_in: LetIn) -> None:
    """20 pictures of 0.25 s are 5 s of work: 3 s, rounded up."""
    door = measured(0.25, max_bytes=100)
    let_in(door, 20)
    with pytest.raises(OverloadedError, match="leave no room for 101 more") as refused:
        door.hold(101)
    assert refused.value.retry_after_s == 3


def test_lanes_that_could_have_run_as_many_share_the_cost() -> None:
    """Four lanes, 0.25 s a picture in each: 16 a second. In a backlog what they get done counts as it is."""
    door = admission()
    door.serves(lanes=4)
    door.answered(size=1, seconds=0.25, finished_s=100.0, waiting=0)
    assert cost(door) == 0.0625
    door.check(within_s=1.0, pictures=10)
    door = admission()
    door.serves(lanes=4)
    for number in range(100):
        door.answered(size=1, seconds=0.25, finished_s=100 + 0.1 * number, waiting=9)
    assert cost(door) == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("lanes", [8, 15])
def test_lanes_that_end_together_do_not_make_a_picture_cheap(lanes: int) -> None:
    """The first had all the time since the last batches, the others none: on the whole it is what it was."""
    door = admission()
    door.serves(lanes=lanes)
    for round_ in range(40):
        for _ in range(lanes):
            door.answered(size=16, seconds=0.48, finished_s=100 + 0.48 * round_, waiting=99)
    assert 0.2 < cost(door) / (0.03 / lanes) < 5


def test_what_an_idle_service_would_take_is_doubted(let_in: LetIn) -> None:
    """A minute in which a machine moved makes a picture dear; a large batch may try all the same, and teaches."""
    door = measured(0.001)
    door.answered(size=8, seconds=60.0, finished_s=200.0, waiting=0)
    assert cost(door) == pytest.approx(0.001 + 0.1 * 60 / 8, rel=0.01)
    door.check(within_s=10, pictures=64)
    let_in(door, 1)
    with pytest.raises(OverloadedError, match="brings 64"):
        door.check(within_s=10, pictures=64)


def test_another_model_soon_has_another_price() -> None:
    """What the last one cost counts as one measurement; the time since its last batch does not count."""
    door = measured(0.01)
    door.answered(size=8, seconds=0.08, finished_s=300.0, waiting=9)
    door.serves(lanes=1)
    assert cost(door) == pytest.approx(0.01)
    door.answered(size=8, seconds=8.0, finished_s=300.1, waiting=0)
    assert cost(door) == pytest.approx((0.01 + 1.0) / 2)
    door.answered(size=8, seconds=8.0, finished_s=400.0, waiting=0)
    assert cost(door) == pytest.approx((0.01 + 2.0) / 3)


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
        self.door = Admission(max_waiting=max_waiting, decoders=2, max_bytes=1_000, clock=lambda: self.now_s)
        self.door.answered(size=8, seconds=2.0, finished_s=100.0, waiting=0)
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


def test_a_short_deadline_may_use_up_a_tenth_of_a_second(let_in: LetIn) -> None:
    """With less the engine would wait for pictures; what three fifths allow is never exceeded."""
    service = Refusing(let_in)
    for _ in range(12):
        assert not service.lets_in(1.0)
    assert service.door._usable_s(0.4) == pytest.approx(0.1)
    assert service.door._usable_s(0.1) == pytest.approx(0.06)
    assert service.door._usable_s(10.0) == pytest.approx(2.0)


def test_refusals_far_apart_are_no_lasting_overload(let_in: LetIn) -> None:
    """One caller who asks for too little time, again and again, changes nothing for the others."""
    service = Refusing(let_in)
    for _ in range(5):
        service.now_s += 1.0
        assert not service.lets_in(1.0)
    assert service.lets_in(9.0)
