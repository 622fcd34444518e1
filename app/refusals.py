"""Who was refused: counted one by one, told all at once."""

from collections import Counter

from app.errors import Reason, UnavailableError
from app.logs import SERVICE
from app.metrics import Instruments
from app.problems import kind_of

_TELL_EVERY_S = 1.0


class Refusals:
    """Counts requests that were refused, and tells the metrics and the log how many there were.

    Told one by one they would cost what they save; used on the event loop.

    Args:
        metrics: hears how many there were of each code, for each reason.
    """

    def __init__(self, metrics: Instruments) -> None:
        self._metrics = metrics
        self._untold: Counter[tuple[str, Reason]] = Counter()
        self._told_s = 0.0

    def count(self, error: UnavailableError) -> None:
        """Count a request that was refused."""
        self._untold[kind_of(error).code, error.reason] += 1

    def tell_if_due(self, now_s: float) -> None:
        """Tell what was not told yet, if the last time is more than a second ago.

        Args:
            now_s: seconds on the steady clock.
        """
        if self._untold and now_s > self._told_s + _TELL_EVERY_S:
            self._told_s = now_s
            self.tell()

    def tell(self) -> None:
        """Tell what was not told yet; where that is nothing, do nothing.

        What cannot be told is lost, and not told twice.
        """
        if not self._untold:
            return
        untold, self._untold = self._untold, Counter()
        codes: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        for (code, reason), count in untold.items():
            self._metrics.refused.labels(code, reason).inc(count)
            codes[code] += count
            reasons[reason] += count
        SERVICE.warning("refused", extra={"fields": {**codes, "reasons": dict(reasons)}})
