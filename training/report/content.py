"""What a report tells of, before it is words."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.calibration import BeforeAndAfter
from models.checkpoint import Checkpoint
from models.metrics import Metrics
from training.data.dataset import Split
from training.evaluate import WithoutCopies
from training.measuring.label_mistakes import LabelMistake
from training.measuring.robustness import Robustness
from training.report.history import History


@dataclass(frozen=True)
class Content:
    """All that a report tells of.

    Attributes:
        checkpoint: that was measured.
        metrics: of it on `split`.
        probabilities: single view, float32 (n, classes).
        reliability: of each view, at temperature 1 and calibrated.
        split: the pictures and the truth.
        label_mistakes: the likeliest among them; None where they are no files.
        robustness: on spoilt copies; None leaves the table out.
        history: of the run that made it; None leaves the curves out.
        created_at: ISO 8601, UTC.
        without_copies: what is right without the pictures that were learnt; None where none are known.
        shows_pictures: whether pictures of the data may stand on the page; somebody else's may not be passed on.
    """

    checkpoint: Checkpoint
    metrics: Metrics
    probabilities: Tensor
    reliability: Mapping[str, BeforeAndAfter]
    split: Split
    label_mistakes: list[LabelMistake] | None
    robustness: Robustness | None
    history: History | None
    created_at: str
    without_copies: WithoutCopies | None = None
    shows_pictures: bool = True
