"""Is what the service answers right? Pictures whose answers are known are asked again and again."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from app.errors import DeadlineError, EngineError, NotReadyError
from app.logs import SERVICE
from app.metrics import Instruments
from app.served_model import ServedModel
from models.errors import GlimpseError

_LATE = (TimeoutError, DeadlineError)
"""The same limit, where the one who waits finds it first or a lane does."""
_ASK_AGAIN_S = 1.0
"""Seconds between two times while the answers are wrong."""


class Judge:
    """Sends the golden pictures through the real queue, and remembers what was wrong with the answers.

    Args:
        current: returns the model that answers now.
        interval_s: seconds between two times while the answers are right.
        timeout_s: seconds for the answers; later ones are as bad as wrong ones.
        metrics: hears of each time.
        on_verdict: called after each time, on the event loop.

    Attributes:
        fault: what is wrong, in words; None when all is right.
        is_another_right: whether another process would answer whom this one refuses; set by the server.
        timeout_s: seconds for the answers.
    """

    def __init__(
        self,
        current: Callable[[], ServedModel],
        *,
        interval_s: float,
        timeout_s: float,
        metrics: Instruments,
        on_verdict: Callable[[], None],
    ) -> None:
        self.fault: str | None = "it is starting"
        self.is_another_right = False
        self._public_reason = self.fault
        self.timeout_s = timeout_s
        self._current = current
        self._interval_s = interval_s
        self._metrics = metrics
        self._on_verdict = on_verdict
        self._doubt = asyncio.Event()
        self._judging: asyncio.Task[None] | None = None

    def require_right_answers(self) -> None:
        """Do nothing while the golden answers are right.

        Raises:
            NotReadyError: they were wrong, late or missing when they were last asked; of an engine's own error it
                tells everybody only that there was one.
        """
        if self.fault:
            raise _not_ready(self._public_reason, is_another_ready=self.is_another_right)

    def require_no_fault(self) -> None:
        """Do the same for an operator, who hears the whole reason."""
        if self.fault:
            raise _not_ready(self.fault, is_another_ready=self.is_another_right)

    def doubt(self) -> None:
        """Ask at once; called on the event loop."""
        self._doubt.set()

    def trust(self) -> None:
        """Hear that the model that answers now gave the right answers before it took the place of another."""
        self._find(None)

    def start(self) -> None:
        """Go on asking until `stop`."""
        self._judging = asyncio.get_running_loop().create_task(self._keep_judging())

    async def stop(self) -> None:
        """Ask no more."""
        if self._judging:
            self._judging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._judging

    async def judge(self) -> None:
        """Ask the golden pictures once."""
        judged = self._current()
        try:
            await judged.ask_golden(timeout_s=self.timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, not ready; and the judging must go on
            if judged is not self._current():
                return  # replaced meanwhile
            self._metrics.golden_checks.labels("late" if isinstance(error, _LATE) else "wrong").inc()
            self._find(reason_of(error), public_reason=_public_reason_of(error))
        else:
            self._metrics.golden_checks.labels("right").inc()
            self._find(None)

    def _find(self, fault: str | None, *, public_reason: str = "") -> None:
        """Set the verdict, and tell it where it changed."""
        before, self.fault, self._public_reason = self.fault, fault, public_reason
        self._on_verdict()
        if fault != before:
            level, message = (logging.ERROR, "not ready") if fault else (logging.INFO, "golden answers are right")
            SERVICE.log(level, message, extra={"fields": {"reason": fault} if fault else {}})

    async def _keep_judging(self) -> None:
        """Ask at every interval, at once after a failure, and often while the answers are wrong."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    min(self._interval_s, _ASK_AGAIN_S) if self.fault else self._interval_s
                ):
                    await self._doubt.wait()
            self._doubt.clear()
            await self.judge()
            if self.fault:
                self._doubt.clear()  # its own failures are no new doubt


def reason_of(error: Exception) -> str:
    """Say in words why golden answers, or a checkpoint, were refused."""
    if isinstance(error, _LATE):
        return "the golden answers came too late"
    return str(error) if isinstance(error, GlimpseError) else f"{type(error).__name__}: {error}"


def _public_reason_of(error: Exception) -> str:
    """The reason that any caller may hear: what an engine or Python says of itself may name paths and devices."""
    if isinstance(error, EngineError) or not isinstance(error, GlimpseError | TimeoutError):
        return "the engine, or the comparison of its answers, failed; the operator finds the cause in the log"
    return reason_of(error)


def _not_ready(reason: str, *, is_another_ready: bool) -> NotReadyError:
    return NotReadyError(
        f"The service is not ready: {reason}. Come back after Retry-After seconds.",
        is_another_ready=is_another_ready,
    )
