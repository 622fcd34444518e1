"""The metrics of a run for TensorBoard too, where it is installed."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

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


class TensorboardLog:
    """Writes the lines of `metrics.jsonl` as TensorBoard's events, so that each number becomes a curve.

    Use it as a context manager. `tensorboard --logdir RUN` shows it while the run goes on. Where a run is resumed,
    the points that were written after its last state are taken back.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, and 1 s of import

        self._open = partial(SummaryWriter, run / FOLDER)
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is still held back, also when the run was stopped."""
        if self._writer is not None:
            self._writer.close()

    def log(self, **fields: object) -> None:
        """Take one line of metrics.

        Args:
            fields: `step`, at which; `kind`, what the curves are grouped by; and numbers.
        """
        step, kind = fields["step"], fields.get("kind", "step")
        if self._writer is None:
            # what an earlier process wrote from this step on is written again
            self._writer = self._open(purge_step=step)
        for name, value in fields.items():
            if name not in _PLACE and isinstance(value, int | float):
                self._writer.add_scalar(f"{kind}/{name}", value, step)
