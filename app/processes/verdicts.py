"""Which of several processes answer rightly: one that does not leaves new connections to those that do.

Workers import it first, so it imports nothing heavy.
"""

import multiprocessing
import time
from collections.abc import Callable

_MOST = 1024
"""Processes that may be told apart: more than the setting allows, for uvicorn starts another at each SIGTTIN."""
_FRESH_S = 1.0
"""Seconds for which a process counts as right after it last said so, every 0.1 s: one that has died, or hangs,
says nothing. Source: choice."""


class Verdicts:
    """When each of several processes was last right; shared with all that are started afterwards.

    Args:
        clock: of this machine, in seconds, the same in all processes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._right_s = multiprocessing.get_context("spawn").RawArray("d", [-_FRESH_S] * _MOST)
        self._clock = clock

    def tell(self, slot: int, *, is_right: bool) -> None:
        """Say of one process whether it answers rightly; to be said again and again.

        Args:
            slot: place of that process among the others, from 0.
            is_right: whether it does.
        """
        self._right_s[slot] = self._clock() if is_right else -_FRESH_S

    def is_another_right(self, slot: int) -> bool:
        """Say whether a process beside that one answers rightly.

        Args:
            slot: place of the one that asks.
        """
        since_s = self._clock() - _FRESH_S
        return any(right_s > since_s for place, right_s in enumerate(self._right_s) if place != slot)
