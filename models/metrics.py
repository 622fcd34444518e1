"""What was measured on pictures that the training did not see."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.calibration import VIEWS
from models.values import (
    is_count,
    is_fraction,
    require_counts,
    require_fractions,
    require_tables,
    require_texts,
)


@dataclass(frozen=True)
class ScoreBin:
    """Answers whose score lies between two bounds: a calibrated network is right as often as it says.

    Attributes:
        lower: bound, not included.
        upper: bound, included.
        n: of answers, at least 1.
        score: their mean.
        accuracy: of them.
    """

    lower: float
    upper: float
    n: int
    score: float
    accuracy: float

    def __post_init__(self) -> None:
        """Refuse what no measurement gives.

        Raises:
            ValueError: no answer, bounds the wrong way round, or a number that is no fraction.
        """
        require_fractions(self, "lower", "upper", "score", "accuracy")
        require_counts(self, "n")
        if self.lower >= self.upper:
            raise ValueError(f"a bin of scores reaches from {self.lower} to {self.upper}; up is needed")


@dataclass(frozen=True)
class Coverage:
    """What is right of the most confident answers, when the others are not given.

    Attributes:
        coverage: share of the pictures that are answered.
        n: of them.
        accuracy: of these answers.
        score: the lowest among them.
    """

    coverage: float
    n: int
    accuracy: float
    score: float

    def __post_init__(self) -> None:
        """Refuse what no measurement gives.

        Raises:
            ValueError: no answer, or a number that is no fraction.
        """
        require_fractions(self, "coverage", "accuracy", "score")
        require_counts(self, "n")


@dataclass(frozen=True)
class Metrics:
    """What was measured on pictures that the training did not see. Fractions run from 0 to 1.

    Attributes:
        split: what was measured on, in words.
        n: number of pictures.
        accuracy: `single_view`, as the service answers, and `six_views`.
        per_class: label → accuracy, single view; None for a class without pictures.
        confusion_matrix: rows are true classes, columns predicted ones, single view, counts.
        expected_calibration_error: single view, 15 bins of equal width.
        accepted: share of the pictures on which the model does not abstain; None in files from before the rule.
        accuracy_of_accepted: of those, single view; None where there are none.
        reliability_bins: of 15 of equal width those with answers, single view; None in files from before them.
        coverage: for growing shares, single view; None in files from before it.
    """

    split: str
    n: int
    accuracy: Mapping[str, float]
    per_class: Mapping[str, float | None]
    confusion_matrix: tuple[tuple[int, ...], ...]
    expected_calibration_error: float
    accepted: float | None = None
    accuracy_of_accepted: float | None = None
    reliability_bins: tuple[ScoreBin, ...] | None = None
    coverage: tuple[Coverage, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what no measurement gives.

        Raises:
            ValueError: no picture, a share or an accuracy that is no fraction, or no square of counts.
        """
        require_texts(self, "split")
        require_tables(self, "accuracy", "per_class")
        if not is_count(self.n, least=1):
            raise ValueError(f"the metrics are of {self.n!r} pictures; a whole number from 1 is needed")
        if set(self.accuracy) != set(VIEWS) or not all(map(is_fraction, self.accuracy.values())):
            raise ValueError(f"the accuracy is {self.accuracy}; two fractions, {' and '.join(VIEWS)}, are needed")
        for label, accuracy in self.per_class.items():
            if accuracy is not None and not is_fraction(accuracy):
                raise ValueError(
                    f"the accuracy of {label!r} is {reprlib.repr(accuracy)}; a number within 0…1 is needed"
                )
        _refuse_no_square(self.confusion_matrix)
        there = [name for name in ("accepted", "accuracy_of_accepted") if getattr(self, name) is not None]
        require_fractions(self, "expected_calibration_error", *there)


def _refuse_no_square(matrix: Sequence[Sequence[int]]) -> None:
    side = len(matrix)
    # 1,000 classes have a million counts: asked in C, they take 20 ms
    if any(len(row) != side or set(map(type, row)) != {int} or min(row) < 0 for row in matrix):
        raise ValueError(
            f"the confusion matrix is {reprlib.repr(matrix)}; as many rows as columns are needed, each of whole "
            "numbers from 0"
        )
