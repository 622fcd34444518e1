"""What was measured on pictures that the training did not see."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.calibration import VIEWS


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
        _refuse_no_fraction(self, "lower", "upper", "score", "accuracy")
        _refuse_none(self.n)
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
        _refuse_no_fraction(self, "coverage", "accuracy", "score")
        _refuse_none(self.n)


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
            ValueError: no picture, or an accuracy that is no fraction.
        """
        if type(self.n) is not int or self.n < 1:
            raise ValueError(f"the metrics are of {self.n} pictures; a whole number from 1 is needed")
        if set(self.accuracy) != set(VIEWS) or not all(
            isinstance(value, int | float) and 0 <= value <= 1 for value in self.accuracy.values()
        ):
            raise ValueError(f"the accuracy is {self.accuracy}; two fractions, {' and '.join(VIEWS)}, are needed")


def _refuse_no_fraction(of: object, *names: str) -> None:
    for name in names:
        value = getattr(of, name)
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise ValueError(f"{name} is {value!r}; a number within 0…1 is needed")


def _refuse_none(n: object) -> None:
    if type(n) is not int or n < 1:
        raise ValueError(f"n is {n!r}; a whole number from 1 is needed")
