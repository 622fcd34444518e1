"""What was measured when scores and the abstain rule were fitted to pictures that the training did not see."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Self

VIEWS = ("single_view", "six_views")
"""The two ways to look at a picture: as it is, and averaged over `training.augment.six_views`."""


@dataclass(frozen=True)
class Reliability:
    """How far scores are from the truth; all are 0 for a network that is always right and sure.

    Attributes:
        negative_log_likelihood: mean over the pictures, in nats.
        brier: mean over the pictures of the squared distance from the right answer, 0…2.
        expected_calibration_error: best score against accuracy, 15 bins of equal width.
        adaptive_calibration_error: the same with bins of equally many pictures.
    """

    negative_log_likelihood: float
    brier: float
    expected_calibration_error: float
    adaptive_calibration_error: float


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
class BeforeAndAfter:
    """The same answers with a temperature of 1 and with the fitted one."""

    before: Reliability
    after: Reliability


@dataclass(frozen=True)
class HeldOut:
    """What temperatures and thresholds were fitted on, and how well they fit there.

    Attributes:
        n: number of pictures.
        reliability: for each of `VIEWS`.
        accepted: share of the pictures on which the model does not abstain.
        accuracy_of_accepted: single view; None where nothing is accepted.
    """

    n: int
    reliability: Mapping[str, BeforeAndAfter]
    accepted: float
    accuracy_of_accepted: float | None

    def __post_init__(self) -> None:
        """Refuse what no measurement gives.

        Raises:
            ValueError: no picture, another view, or an accepted share that is no fraction.
        """
        if type(self.n) is not int or self.n < 1:
            raise ValueError(f"the calibration is of {self.n} pictures; a whole number from 1 is needed")
        if set(self.reliability) != set(VIEWS):
            raise ValueError(f"the reliability is of {sorted(self.reliability)}; {' and '.join(VIEWS)} are needed")
        if not (isfinite(self.accepted) and 0 <= self.accepted <= 1):
            raise ValueError(f"the accepted share is {self.accepted}; it must be within 0…1")

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Read it back from the JSON of a checkpoint."""
        reliability = {
            view: BeforeAndAfter(**{when: Reliability(**numbers) for when, numbers in both.items()})
            for view, both in fields["reliability"].items()
        }
        return cls(**{**fields, "reliability": reliability})


def _refuse_no_fraction(of: object, *names: str) -> None:
    for name in names:
        value = getattr(of, name)
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise ValueError(f"{name} is {value!r}; a number within 0…1 is needed")


def _refuse_none(n: object) -> None:
    if type(n) is not int or n < 1:
        raise ValueError(f"n is {n!r}; a whole number from 1 is needed")
