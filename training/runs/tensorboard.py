"""The metrics of a run for TensorBoard too, where it is installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from training.errors import TrainingError

FOLDER = "tensorboard"
"""In the folder of a run."""
_PLACE = ("step", "epoch", "kind")
"""Fields that say where a line belongs; the others are curves."""


def require_tensorboard() -> None:
    """Do nothing where TensorBoard is installed.

    Raises:
        TrainingError: it is not.
    """
    if find_spec("tensorboard") is None:
        raise TrainingError(
            "--tensorboard needs TensorBoard, which is not installed: pip install tensorboard. "
            "Without it, the same numbers are in the run's metrics.jsonl."
        )


@contextmanager
def tensorboard_log(run: Path) -> Iterator[Callable[..., None]]:
    """Write the lines of `metrics.jsonl` as TensorBoard's events, too, so that each number becomes a curve.

    `tensorboard --logdir RUN` shows it while the run goes on. Where a run is resumed, the points that were written
    after its last state are taken back.

    Args:
        run: folder of the run.

    Yields:
        What takes one line of metrics: `step`, at which; `kind`, what the curves are grouped by; and numbers.
    """
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, and 1 s of import

    writer: SummaryWriter | None = None

    def log(**fields: object) -> None:
        nonlocal writer
        step, kind = fields["step"], fields.get("kind", "step")
        if writer is None:
            # what an earlier process wrote from this step on is written again
            writer = SummaryWriter(run / FOLDER, purge_step=step)
        for name, value in fields.items():
            if name not in _PLACE and isinstance(value, int | float):
                writer.add_scalar(f"{kind}/{name}", value, step)

    try:
        yield log
    finally:  # what is still held back is written, also when the run was stopped
        if writer is not None:
            writer.close()
