"""One training at a time in a run's folder: two would write over each other's states."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from training.errors import TrainingError
from training.folder_lock import locked


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder until the block ends or the process dies, however it dies.

    Args:
        folder: that exists. Nothing is written into it: the folder itself is locked.

    Raises:
        TrainingError: another training is at work there.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except BlockingIOError as error:
            raise TrainingError(
                f"Another training is at work in {folder}. Wait until it ends, or name another folder with --run."
            ) from error
        yield
