"""Ctrl-C and SIGTERM between two steps of a training, not in the middle of one."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came: a scheduler or an operator wants the process to end."""


_RAISED: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


@contextlib.contextmanager
def interrupts_between_steps() -> Iterator[Callable[[], None]]:
    """Hold back Ctrl-C and SIGTERM until the step is done; a second one is obeyed at once.

    Ctrl-C reaches every process of the terminal. In the middle of a step it would leave data-loading workers half
    started, or talking to a parent that is gone, and each of them would print a traceback of its own. Processes
    that are forked inside the block never answer Ctrl-C: that is their parent's business.

    Yields:
        A function to call after each step; it raises KeyboardInterrupt if Ctrl-C came since, and
        Terminated, a kind of it, if SIGTERM did.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Python hands signals to the main thread alone
        return
    parent = os.getpid()
    pending: type[KeyboardInterrupt] | None = None

    def hold_back(number: int, _frame: FrameType | None) -> None:
        nonlocal pending
        if os.getpid() != parent:
            if number == signal.SIGTERM:  # how a parent ends a data-loading worker that does not hear it
                os._exit(128 + number)
            return
        if pending is not None:
            raise _RAISED[number]
        pending = _RAISED[number]

    def obey() -> None:
        if pending is not None:
            raise pending

    previous = {number: signal.signal(number, hold_back) for number in _RAISED}
    try:
        yield obey
        obey()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
