"""The folder that several processes share: the copy of what they serve, and their numbers.

Its first process holds a lock on it (flock). Whoever cleans temporary folders, as systemd-tmpfiles does, leaves it
alone then, and the next start removes those whose first process was killed.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.errors import StartError
from models.folder_lock import locked
from models.tensor_file import digest_of

_PREFIX = "glimpse-workers-"
_YOUNG_S = 60
"""Seconds that a folder without a lock is left alone: another start may be about to lock it. Source: choice."""


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """Make a folder for what several processes share, for as long as they serve.

    Raises:
        StartError: there is no temporary folder to make it in.
    """
    try:
        _remove_abandoned(Path(tempfile.gettempdir()))
        folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
    except OSError as error:
        raise StartError(
            f"Several workers share a temporary folder, and none can be made ({error.strerror or error}). Mount "
            "one that can be written at /tmp, or serve with --workers 1."
        ) from error
    with folder, contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # some file systems know no locks
            stack.enter_context(locked(Path(folder.name)))
        yield Path(folder.name)


def copy_checked(checkpoint: Path, folder: Path, *, digest: str) -> Path:
    """Keep what was checked: a worker that takes the place of another must not serve what lies there by then.

    Args:
        checkpoint: that was checked.
        folder: for the copy.
        digest: of the file when it was checked, as `Checkpoint` has it.

    Raises:
        StartError: there is no room for it, or it is another file by now.
    """
    copy = folder / checkpoint.name
    try:
        data = checkpoint.read_bytes()
        copy.write_bytes(data)
    except OSError as error:
        raise StartError(
            f"Workers share a copy of {checkpoint}, which cannot be made in {folder} "
            f"({error.strerror or error}). Make room, or serve with --workers 1."
        ) from error
    if digest_of(data) != digest:
        raise StartError(f"{checkpoint} was changed while it was being checked. Start again.")
    return copy


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it is in use, somebody else's, or gone by now
            if not folder.is_symlink() and time.time() - folder.stat().st_mtime > _YOUNG_S:
                with locked(folder):
                    shutil.rmtree(folder)
