"""What was answered: counted one by one, told all at once."""

from bisect import bisect_left
from collections import Counter

import prometheus_client

from app.metrics import SCORES, Metrics

_MOST_LABELS = 200
"""Each label is a time series, of every process that is scraped. Source: choice."""
_REST = "other"


class Predictions:
    """Counts what was answered for pictures, and tells the metrics from beat to beat.

    Whoever watches sees pictures change: other labels than usual, lower scores, more that the model abstains from.
    Told one by one they would cost several times as much; used on the event loop.

    Args:
        metrics: hears of all of them. The first 200 labels that are told stay apart, the rest is one, `other`.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counters: dict[str, prometheus_client.Counter] = {}
        self._labels: Counter[str] = Counter()
        self._abstained = 0
        self._forget_scores()

    def count(self, label: str, score: float, *, abstains: bool) -> None:
        """Count a picture that is answered.

        Args:
            label: the best one.
            score: its probability.
            abstains: whether the model does not rely on it.
        """
        self._labels[label] += 1
        self._scores[bisect_left(SCORES, score)] += 1
        self._score_sum += score
        self._abstained += abstains

    def tell(self) -> None:
        """Tell what was not told yet; where that is nothing, do nothing."""
        if not self._labels:
            return
        for label, count in self._labels.items():
            self._counter(label).inc(count)
        self._metrics.abstained.inc(self._abstained)
        self._metrics.best_score.add(self._scores, total=self._score_sum)
        self._labels.clear()
        self._abstained = 0
        self._forget_scores()

    def _counter(self, label: str) -> prometheus_client.Counter:
        counter = self._counters.get(label)
        if counter is None:
            shown = label if len(self._counters) < _MOST_LABELS else _REST
            counter = self._counters[label] = self._metrics.predictions.labels(shown)
        return counter

    def _forget_scores(self) -> None:
        self._scores = [0] * (len(SCORES) + 1)
        self._score_sum = 0.0
