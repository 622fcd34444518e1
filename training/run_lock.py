"""One training at a time in a run's folder: two would write over each other's states."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from training.errors import TrainingError

_HELD: set[int] = set()
"""Descriptors of the folders that this process has locked."""


def _let_go() -> None:
    """In a child that was forked, to load data say: a lock lasts as long as anybody holds its descriptor."""
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder until the block ends or the process dies, however it dies.

    Args:
        folder: that exists. Nothing is written into it: the folder itself is locked.

    Raises:
        TrainingError: another training is at work there.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"Another training is at work in {folder}. Wait until it ends, or name another folder with --run."
            ) from error
        _HELD.add(descriptor)
        yield
    finally:
        _HELD.discard(descriptor)
        os.close(descriptor)
