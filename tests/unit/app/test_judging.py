"""When the golden pictures are asked."""

import asyncio
from typing import cast

import pytest

from app.errors import DeadlineError, EngineError, NotReadyError
from app.judging import _ASK_AGAIN_S, Judge
from app.metrics import Instruments
from app.served_model import ServedModel
from tests.unit.app.loops import stopped_clock, turns, with_loop


class _Model:
    """Answers rightly; while it is asked for the first time, some picture fails.

    Attributes:
        asked: how often.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.judge: Judge | None = None

    async def ask_golden(self, *, timeout_s: float) -> None:
        """Answer."""
        assert timeout_s == 5
        self.asked += 1
        if self.asked == 1:
            assert self.judge
            self.judge.doubt()


def test_a_failure_while_it_asks_makes_it_ask_again() -> None:
    """At once, not after the interval: what failed was not among what is known to be right."""

    async def check() -> None:
        model = _Model()
        again = asyncio.Event()

        def on_verdict() -> None:
            if model.asked == 2:
                again.set()

        model.judge = Judge(
            lambda: cast(ServedModel, model),
            interval_s=1e6,
            timeout_s=5,
            metrics=Instruments(),
            on_verdict=on_verdict,
        )
        model.judge.doubt()
        model.judge.start()
        await again.wait()
        await model.judge.stop()
        assert model.judge.fault is None

    with_loop(check())


def test_a_model_that_was_asked_before_it_came_is_trusted() -> None:
    """While the one before hangs, and after its answer is late: nobody waits for that."""

    async def check() -> None:
        models = [_Hanging(), _Model()]
        judge = Judge(
            lambda: cast(ServedModel, models[0]),
            interval_s=1e6,
            timeout_s=5,
            metrics=Instruments(),
            on_verdict=lambda: None,
        )
        judging = asyncio.create_task(judge.judge())
        await asyncio.sleep(0)
        assert judge.fault
        hanging = cast(_Hanging, models.pop(0))
        judge.trust()
        judge.require_right_answers()
        hanging.is_late.set()
        await judging
        judge.require_right_answers()

    with_loop(check())


@pytest.mark.parametrize("is_another_right", [True, False])
def test_who_is_refused_hears_whether_another_process_is_right(is_another_right: bool) -> None:
    """A probe too, whose connection would stay with this one for ever."""
    judge = _judge(_Model(), interval_s=1e6)
    judge.is_another_right = is_another_right
    for require in (judge.require_right_answers, judge.require_no_fault):
        with pytest.raises(NotReadyError, match="it is starting") as refusal:
            require()
        assert refusal.value.is_another_ready == is_another_right


def test_its_own_failures_are_no_new_doubt() -> None:
    """Whatever failed alone while it asked: a broken engine would be asked without a pause."""

    async def check() -> None:
        model = _Failing()
        judge = _judge(model, interval_s=1e6)
        model.judge = judge
        judge.doubt()
        judge.start()
        await turns()
        await judge.stop()
        assert (model.asked, judge.fault) == (1, "broken")

    with_loop(check())


def test_wrong_answers_are_asked_again_after_the_interval_where_that_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not only after the time that it takes where the interval is long."""
    monkeypatch.setattr("app.judging._ASK_AGAIN_S", 1e6)

    async def check() -> None:
        model = _Failing()
        judge = _judge(model, interval_s=0.001)
        await judge.judge()
        judge.start()
        async with asyncio.timeout(2):
            await model.again.wait()
        await judge.stop()

    with_loop(check())


@pytest.mark.parametrize(("is_wrong", "waits_s"), [(True, _ASK_AGAIN_S), (False, 8.0)])
def test_wrong_answers_are_asked_again_soon_where_the_interval_is_long(is_wrong: bool, waits_s: float) -> None:
    """What has mended itself is ready within a second; right answers are asked again after the interval."""

    async def check() -> None:
        model = _Failing() if is_wrong else _Model()
        judge = _judge(model, interval_s=8.0)
        with stopped_clock() as put_forward:
            model.judge = judge
            await judge.judge()
            judge._doubt.clear()
            judge.start()
            for passed_s, asked in ((0.0, 1), (waits_s - 0.1, 1), (0.2, 2), (waits_s - 0.1, 2), (0.2, 3)):
                put_forward(passed_s)
                await turns()
                assert model.asked == asked
        await judge.stop()

    with_loop(check())


def _judge(model: _Model, *, interval_s: float) -> Judge:
    return Judge(
        lambda: cast(ServedModel, model),
        interval_s=interval_s,
        timeout_s=5,
        metrics=Instruments(),
        on_verdict=lambda: None,
    )


class _Failing(_Model):
    """Fails whenever it is asked, and raises a doubt as an engine's failure does.

    Attributes:
        again: set when it is asked for the second time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.again = asyncio.Event()

    async def ask_golden(self, *, timeout_s: float) -> None:
        """Fail."""
        assert timeout_s == 5
        self.asked += 1
        if self.asked == 2:
            self.again.set()
        if self.judge:
            self.judge.doubt()
        await asyncio.sleep(0)  # as for a real engine: else whoever asks without a pause would stop the loop
        raise EngineError("broken")


class _Hanging(_Model):
    """Answers too late, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_late = asyncio.Event()

    async def ask_golden(self, *, timeout_s: float) -> None:
        """Do not answer."""
        await self.is_late.wait()
        raise TimeoutError(timeout_s)


@pytest.mark.parametrize("error", [TimeoutError(), DeadlineError("The time is over.")])
def test_late_is_late_whoever_finds_it(error: Exception) -> None:
    """The one who waits, or a lane that looks at the same moment: the metric and the reason are the same."""

    class Late(_Model):
        async def ask_golden(self, *, timeout_s: float) -> None:
            assert timeout_s == 5
            raise error

    async def check() -> None:
        metrics = Instruments()
        judge = Judge(
            lambda: cast(ServedModel, model), interval_s=1e6, timeout_s=5, metrics=metrics, on_verdict=lambda: None
        )
        await judge.judge()
        assert judge.fault == "the golden answers came too late"
        assert b'glimpse_golden_checks_total{result="late"} 1.0' in metrics.exposition()

    model = Late()
    with_loop(check())
