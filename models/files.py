"""Files that are there whole, or not at all."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside the target, flush to the disk, rename; a reader sees the old file or the new one.

    Args:
        path: of the file; its folder is made if needed.
        data: all of it.

    Raises:
        OSError: the folder or the file cannot be written; no temporary file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # the target's name may be as long as the file system takes; with it inside, the temporary one would be longer
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".glimpse-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives 0600, and the service often runs as another user
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too must leave no temporary file
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _umask() -> int:
    """Read what the user takes from everybody's rights on new files; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
