"""What was answered: counted one by one, told all at once."""

from bisect import bisect_left
from collections import Counter

from app.metrics import SCORES, Instruments
from models.prediction import Prediction

_MOST_LABELS = 200
"""Each label is a time series, of every process that is scraped: the first of the checkpoint, for all processes
have to choose the same, and to choose it again after a restart. Source: choice."""
_REST = "other"


class Predictions:
    """Counts what was answered for pictures, and tells the metrics from beat to beat.

    Whoever watches sees pictures change: other labels than usual, lower scores, more that the model abstains from.
    Told one by one they would cost several times as much; used on the event loop.

    Args:
        metrics: hears of all of them. The labels of a model's first 200 classes stay apart; the rest is `other`.
    """

    def __init__(self, metrics: Instruments) -> None:
        self._metrics = metrics
        self._forget()

    def count(self, best: Prediction, *, abstains: bool) -> None:
        """Count a picture that is answered.

        Args:
            best: its best label.
            abstains: whether the model does not rely on it.
        """
        label, class_index, score = best
        self._labels[label if class_index < _MOST_LABELS else _REST] += 1
        self._scores[bisect_left(SCORES, score)] += 1
        self._score_sum += score
        self._abstained += abstains

    def tell(self) -> None:
        """Tell what was not told yet; where that is nothing, do nothing.

        What cannot be told is lost, and not told twice.
        """
        if not self._labels:
            return
        labels, abstained, scores, score_sum = self._labels, self._abstained, self._scores, self._score_sum
        self._forget()
        for label, count in labels.items():
            self._metrics.predictions.labels(label).inc(count)
        self._metrics.abstained.inc(abstained)
        self._metrics.best_score.add(scores, total=score_sum)

    def _forget(self) -> None:
        self._labels: Counter[str] = Counter()
        self._abstained = 0
        self._scores = [0] * (len(SCORES) + 1)
        self._score_sum = 0.0
