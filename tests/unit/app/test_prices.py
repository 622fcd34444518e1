"""What a picture and a byte cost, with every number worked out by hand."""

import pytest

from app.prices import Prices


def measured(picture_s: float) -> Prices:
    """The engine needed so long for each of eight pictures, ten times."""
    prices = Prices()
    for _ in range(10):
        prices.answered(size=8, seconds=8 * picture_s, finished_s=100.0, waiting=0)
    return prices


def test_a_tenth_of_each_new_measurement_is_believed() -> None:
    """But for the first ten, each of which counts alike; then 0.25 s and one of 1.25 s make 0.35 s."""
    prices = Prices()
    for seconds, mean in ((2.0, 0.25), (6.0, 0.5), (1.0, 0.375)):
        prices.answered(size=8, seconds=seconds, finished_s=100.0, waiting=0)
        assert prices.picture_s == pytest.approx(mean)
    prices = measured(0.25)
    assert prices.picture_s == pytest.approx(0.25)
    prices.answered(size=8, seconds=10.0, finished_s=200.0, waiting=0)
    assert prices.picture_s == pytest.approx(0.35)


def test_each_picture_counts_alike_however_many_ride_along() -> None:
    """16 pictures took 1.6 s, and one 0.2 s by itself: 1.8 s for 17, not half of the way to 0.2 s."""
    prices = Prices()
    prices.answered(size=16, seconds=1.6, finished_s=100.0, waiting=0)
    prices.answered(size=1, seconds=0.2, finished_s=200.0, waiting=0)
    assert prices.picture_s == pytest.approx(1.8 / 17)


def test_in_a_backlog_the_cost_is_what_the_service_gets_done() -> None:
    """In each second a lane ends 16 pictures and the event loop four, one by one: 50 ms a picture."""
    prices = Prices()
    for second in range(100):
        for part in range(1, 5):
            prices.answered(size=1, seconds=0.1, finished_s=second + part / 5, waiting=9)
        prices.answered(size=16, seconds=0.9, finished_s=second + 1.0, waiting=9)
    assert prices.picture_s == pytest.approx(1 / 20, rel=0.3)


def test_in_a_backlog_the_time_between_two_batches_counts() -> None:
    """It holds all that the engine waits for; the run alone counts only when nothing waited before it."""
    prices = Prices()
    prices.answered(size=10, seconds=1.0, finished_s=100.0, waiting=5)
    assert prices.picture_s == 0.1  # the run alone: nobody knows since when it was busy
    prices.answered(size=10, seconds=1.0, finished_s=103.0, waiting=5)
    assert prices.picture_s == pytest.approx((1.0 + 3.0) / 20)
    prices.answered(size=5, seconds=1.0, finished_s=105.0, waiting=0)
    assert prices.picture_s == pytest.approx((1.0 + 3.0 + 2.0) / 25)
    prices.answered(size=10, seconds=1.0, finished_s=900.0, waiting=0)
    assert prices.picture_s == pytest.approx((1.0 + 3.0 + 2.0 + 1.0) / 35)


def test_a_pause_after_everybody_left_is_no_backlog() -> None:
    """Ten waited, all hung up, and the next came an hour later: that hour is not what a picture costs."""
    prices = Prices()
    prices.answered(size=1, seconds=0.01, finished_s=100.0, waiting=10)
    prices.idle()
    prices.answered(size=1, seconds=0.01, finished_s=3700.0, waiting=0)
    assert prices.picture_s == pytest.approx(0.01)


def test_lanes_that_could_have_run_as_many_share_the_cost() -> None:
    """Four lanes, 0.25 s a picture in each: 16 a second. In a backlog what they get done counts as it is."""
    prices = Prices()
    prices.serves(lanes=4)
    prices.answered(size=1, seconds=0.25, finished_s=100.0, waiting=0)
    assert prices.picture_s == 0.0625
    prices = Prices()
    prices.serves(lanes=4)
    for number in range(100):
        prices.answered(size=1, seconds=0.25, finished_s=100 + 0.1 * number, waiting=9)
    assert prices.picture_s == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("lanes", [8, 15])
def test_lanes_that_end_together_do_not_make_a_picture_cheap(lanes: int) -> None:
    """The first had all the time since the last batches, the others none: on the whole it is what it was."""
    prices = Prices()
    prices.serves(lanes=lanes)
    for round_ in range(40):
        for _ in range(lanes):
            prices.answered(size=16, seconds=0.48, finished_s=100 + 0.48 * round_, waiting=99)
    assert 0.2 < prices.picture_s / (0.03 / lanes) < 5


def test_another_model_soon_has_another_price() -> None:
    """What the last one cost counts as one measurement; the time since its last batch does not count."""
    prices = measured(0.01)
    prices.answered(size=8, seconds=0.08, finished_s=300.0, waiting=9)
    prices.serves(lanes=1)
    assert prices.picture_s == pytest.approx(0.01)
    prices.answered(size=8, seconds=8.0, finished_s=300.1, waiting=0)
    assert prices.picture_s == pytest.approx((0.01 + 1.0) / 2)
    prices.answered(size=8, seconds=8.0, finished_s=400.0, waiting=0)
    assert prices.picture_s == pytest.approx((0.01 + 2.0) / 3)


def test_seconds_and_bytes_of_files_are_added_up_apart() -> None:
    """0.5 ms a byte; a file of ten bytes that takes as long as one of 1,000 makes it 0.5 s for 901, not 25 ms."""
    prices = Prices()
    prices.decoded(size_bytes=1_000, seconds=0.5)
    assert prices.byte_s == 0.0005
    prices.decoded(size_bytes=10, seconds=0.5)  # a tenth of it is believed
    assert prices.byte_s == pytest.approx(0.5 / 901)


def test_nothing_has_a_price_before_it_was_measured() -> None:
    """Whoever comes may try."""
    assert (Prices().picture_s, Prices().byte_s) == (0, 0)
