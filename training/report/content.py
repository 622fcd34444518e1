"""What a report tells of, before it is words."""

from dataclasses import dataclass, field

from torch import Tensor

from models.checkpoint import Checkpoint
from models.metrics import Metrics
from training.data.dataset import Split
from training.evaluate import ViewProbabilities, WithoutCopies
from training.measuring.label_mistakes import LabelMistake
from training.measuring.robustness import Robustness
from training.report.history import History
from training.runs.provenance import now_utc


@dataclass(frozen=True)
class Content:
    """All that a report tells of.

    Attributes:
        checkpoint: that was measured, as it was loaded.
        split: the pictures and the truth; its targets are places in the checkpoint's labels.
        views: the checkpoint's probabilities for them, at temperature 1 too.
        metrics: made of these.
        label_mistakes: the likeliest among them; None where they are no files.
        robustness: on spoilt copies; None leaves the table out.
        history: of the run that made it; None leaves the curves out.
        without_copies: what is right without the pictures that were learnt; None where none are known.
        shows_pictures: whether pictures of the data may stand on the page; somebody else's may not be passed on.
        created_at: ISO 8601, UTC.
    """

    checkpoint: Checkpoint
    split: Split
    views: ViewProbabilities
    metrics: Metrics
    label_mistakes: list[LabelMistake] | None
    robustness: Robustness | None
    history: History | None
    without_copies: WithoutCopies | None = None
    shows_pictures: bool = True
    created_at: str = field(default_factory=now_utc)

    @property
    def probabilities(self) -> Tensor:
        """Of the single view, float32 (n, classes)."""
        return self.views.single_view
