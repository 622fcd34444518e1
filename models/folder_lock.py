"""Locks on folders, which die with the process that holds them, however it dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_HELD: set[int] = set()
"""Descriptors of the folders that this process has locked."""


def _let_go() -> None:
    """In a child that was forked, to load data say: a lock lasts as long as anybody holds its descriptor."""
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder until the block ends or the process dies.

    Args:
        folder: that exists. Nothing is written into it: the folder itself is locked.

    Raises:
        BlockingIOError: somebody else holds it.
        OSError: it is not there, or its file system knows no locks.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _HELD.add(descriptor)
        yield
    finally:
        _HELD.discard(descriptor)
        os.close(descriptor)
