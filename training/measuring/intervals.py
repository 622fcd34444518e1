"""How far a share that was counted on some pictures may be from the true one."""

import math
from dataclasses import dataclass

_NORMAL_95 = 1.959964
"""Deviations that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Interval:
    """A share that was counted, and where the true one lies with 95 % confidence; all in 0…1."""

    share: float
    low: float
    high: float


def interval(hits: int, n: int) -> Interval:
    """Give a share with Wilson's interval, which stays right near 0 and 1 and for few pictures.

    Args:
        hits: 0…n.
        n: at least 1.
    Source:
        Wilson, 1927; Brown, Cai & DasGupta, 2001, recommend it for small n.
    """
    share, square = hits / n, _NORMAL_95**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    reach = _NORMAL_95 / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach))
