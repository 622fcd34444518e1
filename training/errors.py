"""What a training command refuses, with a sentence for the person who typed it."""

import math
from collections.abc import Iterable

from torch import Tensor

from models.errors import GlimpseError


class TrainingError(GlimpseError):
    """The command cannot be carried out as it was given."""


class ExportError(TrainingError):
    """The checkpoint cannot be written in another format, or answers differently in it."""


class DataError(TrainingError):
    """The data set cannot be used as it is."""


def check_finite(loss: float, *, epoch: int, step: int) -> None:
    """End a training that diverged.

    Raises:
        TrainingError: the loss is no finite number.
    """
    if not math.isfinite(loss):
        raise TrainingError(
            f"The loss became {loss} in epoch {epoch + 1}, step {step}: the training diverged, and no checkpoint "
            "was written. Try another --seed, or check the data for wrong labels."
        )


def check_finite_weights(weights: Iterable[Tensor]) -> None:
    """Refuse what the last update of a training left, which no loss has seen.

    Raises:
        TrainingError: a weight is no finite number.
    """
    if not all(bool(weight.isfinite().all()) for weight in weights):
        raise TrainingError(
            "The last step of the training left weights that are no finite numbers: it diverged, and no "
            "checkpoint was written. Try another --seed, or check the data for wrong labels."
        )
