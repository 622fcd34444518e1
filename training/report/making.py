"""From a measured checkpoint to the page: spoil pictures, then write."""

from pathlib import Path

from rich.console import Console

from models.checkpoint import Checkpoint
from models.metrics import Metrics
from training.data.dataset import Split
from training.evaluate import ViewProbabilities, WithoutCopies
from training.measuring.calibration import reliability_by_view
from training.measuring.label_mistakes import LabelMistake
from training.measuring.robustness import measure_robustness
from training.report.content import Content
from training.report.history import History
from training.report.page import write_page
from training.runs.provenance import now_utc


def make_report(
    checkpoint: Checkpoint,
    split: Split,
    *,
    views: ViewProbabilities,
    metrics: Metrics,
    label_mistakes: list[LabelMistake] | None,
    history: History | None,
    folder: Path,
    pictures: int,
    seed: int,
    console: Console,
    without_copies: WithoutCopies | None = None,
    shows_pictures: bool = True,
) -> Path:
    """Write `report.html` about a checkpoint that was measured.

    Args:
        checkpoint: as it was loaded, its network on the device to compute on.
        split: that it was measured on; its targets are places in the checkpoint's labels.
        views: its probabilities for that split.
        metrics: made of them.
        label_mistakes: the likeliest among the pictures; None where they are no files.
        history: of the run that made the checkpoint; None leaves the curves out.
        folder: to write into; made if needed.
        pictures: how many to spoil; 0 leaves that table out.
        seed: of their choice and of the noise.
        console: told of the progress.
        without_copies: what is right without the pictures that were learnt; None leaves it out.
        shows_pictures: whether pictures of the split may stand on the page.

    Returns:
        The path of the page.

    Raises:
        OSError: the page cannot be written.
    """
    robustness = None
    if pictures:
        robustness = measure_robustness(
            checkpoint.network,
            split,
            pictures=pictures,
            seed=seed,
            place="for the report: spoilt copies",
            console=console,
        )
    content = Content(
        checkpoint=checkpoint,
        metrics=metrics,
        probabilities=views.single_view,
        reliability=reliability_by_view(views.before_and_after, split.targets),
        split=split,
        label_mistakes=label_mistakes,
        robustness=robustness,
        history=history,
        created_at=now_utc(),
        without_copies=without_copies,
        shows_pictures=shows_pictures,
    )
    return write_page(content, folder)
