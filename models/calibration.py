"""How to read a network's logits, when not to rely on them, and what that was fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from models.values import is_count, is_fraction, is_number, require_amounts, require_fractions

VIEWS = ("single_view", "six_views")
"""The two ways to look at a picture: as it is, and averaged over `models.views.six_views`."""


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

    def __post_init__(self) -> None:
        """Refuse what no measurement gives.

        Raises:
            ValueError: one is no finite number from 0.
        """
        require_amounts(self, "negative_log_likelihood", "brier")
        require_amounts(self, "expected_calibration_error", "adaptive_calibration_error")


@dataclass(frozen=True)
class BeforeAndAfter:
    """The same answers with a temperature of 1 and no floor, and with the fitted ones."""

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
            ValueError: no picture, another view, a share or an accuracy that is no fraction.
        """
        if not is_count(self.n, least=1):
            raise ValueError(f"the calibration is of {self.n!r} pictures; a whole number from 1 is needed")
        if set(self.reliability) != set(VIEWS):
            raise ValueError(f"the reliability is of {sorted(self.reliability)}; {' and '.join(VIEWS)} are needed")
        if not is_fraction(self.accepted):
            raise ValueError(f"the accepted share is {self.accepted!r}; it must be within 0…1")
        if self.accuracy_of_accepted is not None:
            require_fractions(self, "accuracy_of_accepted")

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Read it back from the JSON of a checkpoint."""
        reliability = {
            view: BeforeAndAfter(**{when: Reliability(**numbers) for when, numbers in both.items()})
            for view, both in fields["reliability"].items()
        }
        return cls(**{**fields, "reliability": reliability})


@dataclass(frozen=True)
class Calibration:
    """How to read the logits, and when not to rely on them.

    Attributes:
        temperature: the network divides its logits by it; 1.0 means not calibrated.
        abstain_threshold: a best score below it means "not sure"; None means never.
        distance_threshold: a distance above it (`models.distance`) means "none of the classes"; None means never.
        six_views_temperature: of the averaged logits of six views, instead of `temperature`.
        floor: probability that is taken off behind the temperature (`models.floor`); 0 means none.
        six_views_floor: behind the six views' temperature.
        held_out: what all of these were fitted on; None means that nothing was fitted.
    """

    temperature: float = 1.0
    abstain_threshold: float | None = None
    distance_threshold: float | None = None
    six_views_temperature: float = 1.0
    floor: float = 0.0
    six_views_floor: float = 0.0
    held_out: HeldOut | None = None

    def __post_init__(self) -> None:
        """Refuse what would turn the ranking around, or can be no threshold.

        Raises:
            ValueError: a temperature is not a finite number above 0, a floor not from 0 to below 1, the threshold
                of the score not within 0…1, or that of the distance not finite.
        """
        for name, temperature in (("", self.temperature), ("six views' ", self.six_views_temperature)):
            if not (is_number(temperature) and temperature > 0):
                raise ValueError(f"the {name}temperature is {temperature!r}; it must be finite and above 0")
        for name, floor in (("", self.floor), ("six views' ", self.six_views_floor)):
            if not (is_fraction(floor) and floor < 1):
                raise ValueError(f"the {name}floor is {floor!r}; it must be from 0 to below 1")
        if self.abstain_threshold is not None and not is_fraction(self.abstain_threshold):
            raise ValueError(f"the abstain threshold is {self.abstain_threshold!r}; it must be within 0…1")
        if self.distance_threshold is not None and not is_number(self.distance_threshold):
            raise ValueError(f"the distance threshold is {self.distance_threshold!r}; it must be finite")

    @property
    def may_abstain(self) -> bool:
        """Whether there is a rule at all: a threshold for the score, for the distance, or for both."""
        return self.abstain_threshold is not None or self.distance_threshold is not None

    def abstains(self, score: float, distance: float | None) -> bool:
        """Decide whether an answer should not be relied on.

        Args:
            score: the best probability: of a single view, or after a second look of all views together.
            distance: of the picture from the classes; None where the checkpoint has none.
        """
        is_unsure = self.abstain_threshold is not None and score < self.abstain_threshold
        is_far = (
            self.distance_threshold is not None and distance is not None and distance > self.distance_threshold
        )
        return is_unsure or is_far
