"""One training at a time in a run's folder: two would write over each other's states."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from models.folder_lock import locked
from training.errors import TrainingError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What `flock` fails with where a file system has no locks."""


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder until the block ends or the process dies, however it dies.

    Where the file system knows no locks, as some network drives, nobody is kept out.

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
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
