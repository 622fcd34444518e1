"""How a process ends that does not serve, or must not be kept: the sentence on stderr, and the exit code.

A shell or a supervisor may have closed both streams, or the disk behind them may be full: the exit code is what
they go by, and it is kept whatever becomes of the words. This is imported first, so it imports nothing heavy.
"""

import contextlib
import os
import signal
import sys

_UNHEARD = (OSError, ValueError)
"""What writing raises where nobody listens: a terminal that is gone, a full disk; a stream that was closed."""


def say_stopped_early(number: int) -> None:
    """Say which signal ended the start; written past Python's streams, which a handler may have interrupted."""
    if sys.stderr is None:  # a shell closed it, and its number may be that of a socket by now
        return
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    with contextlib.suppress(OSError):
        os.write(2, f"Stopped by {name} before it served.\n".encode())


def exit_code_of(number: int) -> int:
    """What a start ends with that a signal stopped: as a shell tells it, and SIGHUP means SIGTERM."""
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


def refuse(sentence: str, exit_code: int) -> int:
    """Say on stderr why nothing is done, if anybody listens, and return the exit code."""
    if sys.stderr is not None:
        with contextlib.suppress(*_UNHEARD):
            sys.stderr.write(f"Error: {sentence}\n")
    return exit_code


def flush_streams() -> None:
    """Write what stdout and stderr still hold; what cannot be written is dropped.

    Else the interpreter would try once more at its end, and exit with 120 for it.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except _UNHEARD:
            with contextlib.suppress(*_UNHEARD):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
