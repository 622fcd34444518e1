"""When the golden pictures are asked."""

import asyncio
from typing import cast

from app.judging import Judge
from app.metrics import Metrics
from app.served_model import ServedModel
from tests.unit.app.loops import with_loop


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
            lambda: cast(ServedModel, model), interval_s=1e6, timeout_s=5, metrics=Metrics(), on_verdict=on_verdict
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
            metrics=Metrics(),
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


class _Hanging(_Model):
    """Answers too late, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_late = asyncio.Event()

    async def ask_golden(self, *, timeout_s: float) -> None:
        """Do not answer."""
        await self.is_late.wait()
        raise TimeoutError(timeout_s)
