"""Ctrl-C between two steps of a training, not in the middle of one."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def interrupts_between_steps() -> Iterator[Callable[[], None]]:
    """Hold back Ctrl-C until the step is done; a second one is obeyed at once.

    Ctrl-C reaches every process of the terminal. In the middle of a step it would leave data-loading workers half
    started, or talking to a parent that is gone, and each of them would print a traceback of its own. Processes
    that are forked inside the block never answer it: that is their parent's business.

    Yields:
        A function to call after each step; it raises KeyboardInterrupt if Ctrl-C came since.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Python hands signals to the main thread alone
        return
    parent = os.getpid()
    is_pending = False

    def hold_back(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_pending
        if os.getpid() != parent:
            return
        if is_pending:
            raise KeyboardInterrupt
        is_pending = True

    def obey() -> None:
        if is_pending:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, hold_back)
    try:
        yield obey
        obey()
    finally:
        signal.signal(signal.SIGINT, previous)
