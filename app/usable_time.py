"""How much of a deadline the wait may use up: most of it in a burst, less while an overload lasts."""

import math
import time
from collections.abc import Callable

_BURST_S = 1.0
"""Seconds of refusals, with no longer pause between them, after which an overload is no burst but lasts."""
_LASTING_SHARE, _LASTING_S = 0.2, 0.1
"""The longest wait while it lasts: this share of a deadline, or so many seconds if that is less. The queue is then
always as long as it may be: a long one lets nobody in that a short one would not, and all answers come later.
Source: docs/experiments.md, 2026-11-26 and 2026-11-27."""
KEPT_FREE = 0.4
"""Share of a deadline that the estimate may not use up: it is a mean, and some wait longer. Source: choice, with
which no answer was late at three times the load that can be answered (docs/benchmarks.md, "Overload")."""
KEPT_FREE_BESIDE_OTHERS = 0.8
"""The same where other processes want the cores too. Source: with this, and not with KEPT_FREE, no answer of two
overloaded processes was late (docs/benchmarks.md, "Quick networks")."""


class UsableTime:
    """Keeps the queue short while an overload lasts, which it knows by the refusals.

    Args:
        kept_free: share of a deadline that the wait may never use up.
        clock: of refusals, in seconds.
    """

    def __init__(self, *, kept_free: float = KEPT_FREE, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_free = kept_free
        self._clock = clock
        self._refusing_since_s = self._refused_s = -math.inf

    def of(self, within_s: float) -> float:
        """Return how many seconds the wait may take of those that are left of a caller's time."""
        usable_s, now_s = within_s * (1 - self._kept_free), self._clock()
        is_lasting = now_s - self._refused_s <= _BURST_S < now_s - self._refusing_since_s
        return min(usable_s, max(within_s * _LASTING_SHARE, _LASTING_S)) if is_lasting else usable_s

    def note_refusal(self) -> None:
        """Hear that somebody was refused for want of time or of a place."""
        now_s = self._clock()
        if now_s - self._refused_s > _BURST_S:
            self._refusing_since_s = now_s
        self._refused_s = now_s
