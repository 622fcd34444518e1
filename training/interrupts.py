"""Ctrl-C and SIGTERM: between two steps of a training, not in the middle of one; elsewhere at once."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM came: a scheduler or an operator wants the process to end."""


_RAISED: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


_ECHO_S = 1.0
"""A SIGTERM that comes sooner after another is that one again: systemd tells every process of torchrun, and the
first of them repeats it to the others. Source: choice, as in the service."""


class Interrupts:
    """What came while a step was made."""

    def __init__(self) -> None:
        self._pending: type[KeyboardInterrupt] | None = None
        self._noted_s = 0.0

    @property
    def is_pending(self) -> bool:
        """Whether the training should end after this step."""
        return self._pending is not None

    def note(self, number: int) -> None:
        """Hold a signal back, or obey at once if it is the second, and no echo of a first SIGTERM."""
        now_s = time.monotonic()
        if self._pending is None:
            self._pending, self._noted_s = _RAISED[number], now_s
        elif number != signal.SIGTERM or now_s - self._noted_s > _ECHO_S:
            raise _RAISED[number]

    def obey(self) -> None:
        """End the training if something came.

        Raises:
            KeyboardInterrupt: Ctrl-C came.
            Terminated: SIGTERM came.
        """
        if self._pending is not None:
            raise self._pending


def sigterm_at_once() -> AbstractContextManager[None]:
    """Let SIGTERM raise `Terminated` inside the block, as Ctrl-C raises KeyboardInterrupt.

    Without a handler the process would die of it: no sentence, another exit code, temporary files left behind.
    """
    return _with_sigterm(_terminate)


def sigterm_ends() -> AbstractContextManager[None]:
    """Let SIGTERM end the process inside the block: no handler of Python's is heard while PyTorch waits there."""
    return _with_sigterm(signal.SIG_DFL)


@contextlib.contextmanager
def _with_sigterm(handler: Callable[[int, FrameType | None], NoReturn] | signal.Handlers) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python hands signals to the main thread alone
        return
    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # supervisors may send it twice, and once is enough
    raise Terminated


@contextlib.contextmanager
def interrupts_between_steps() -> Iterator[Interrupts]:
    """Hold back Ctrl-C and SIGTERM until the step is done; a second one is obeyed at once.

    Ctrl-C reaches every process of the terminal. In the middle of a step it would leave data-loading workers half
    started, or talking to a parent that is gone, and each of them would print a traceback of its own. Processes
    that are forked inside the block never answer Ctrl-C: that is their parent's business.

    Yields:
        To be asked, and obeyed, after each step; once more it is obeyed at the end of the block.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts  # Python hands signals to the main thread alone
        return
    parent = os.getpid()

    def hold_back(number: int, _frame: FrameType | None) -> None:
        if os.getpid() == parent:
            interrupts.note(number)
        elif number == signal.SIGTERM:  # how a parent ends a data-loading worker that does not hear it
            os._exit(128 + number)

    previous = {number: signal.signal(number, hold_back) for number in _RAISED}
    try:
        yield interrupts
        interrupts.obey()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
