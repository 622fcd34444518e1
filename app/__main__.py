"""`python -m app`: the service, or `tensors` for its lab; a stop is understood before the rest is imported."""

import atexit
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from app.ending import exit_code_of, flush_streams, say_stopped_early

LAST_THREADS_S = 0.5
"""After which the process ends without the threads that still run. With a second's delay, the 7 s of a drain and
`app.threads.LAST_WORK_S` a stop stays under the 10 s of `docker stop`, whatever hangs."""

_OF_OTHER_SERVERS = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
"""Where several processes of one service add up their metrics: ours use a folder of their own."""


def main() -> int:
    """Run the service, or the tensor lab; the exit codes are those of their own `main`.

    SIGTERM has a handler from the start on: the first process of a container does not die of it otherwise.
    """
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else nohup, say, has seen to it
        signal.signal(signal.SIGHUP, _stop)
    try:
        if sys.argv[1:2] == ["tensors"]:
            from app.tensors.terminal import main as show  # noqa: PLC0415 - importing torch takes seconds

            return show(sys.argv[2:])
        for variable in _OF_OTHER_SERVERS:
            os.environ.pop(variable, None)
        from app.processes.server import main as serve  # noqa: PLC0415 - importing torch takes seconds

        return serve()
    except KeyboardInterrupt:
        say_stopped_early(signal.SIGINT)
        return exit_code_of(signal.SIGINT)


def _leave_within(seconds: float, exit_code: int) -> None:
    """Do not wait for threads any longer than that: one may be stuck in a decoder, or on a device that is lost."""
    timer = threading.Timer(seconds, os._exit, [exit_code])
    timer.daemon = True
    timer.start()


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    # `timeout`, say, tells the process and then its group; and the exception may get lost where an import is
    signal.signal(number, lambda *_: os._exit(exit_code_of(number)))
    say_stopped_early(number)
    sys.exit(exit_code_of(number))


def run() -> NoReturn:
    """Run it as a process, which ends with it.

    When all is done, no signal changes the exit code any more, and the interpreter takes nothing apart: with torch
    that takes a second, in which a supervisor waits, and in which Python gives every signal its deadly default.
    """
    exit_codes: list[int] = []

    def leave() -> None:
        if exit_codes:
            flush_streams()
            os._exit(exit_codes[0])

    atexit.register(leave)  # the first to be registered is the last to be called
    try:
        exit_code = main()
    except SystemExit as end:
        if not end.code or not isinstance(end.code, int):
            raise  # of --help that cannot be written the interpreter's own exit code tells
        exit_code = end.code
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    exit_codes.append(exit_code)
    _leave_within(LAST_THREADS_S, exit_code)
    flush_streams()
    sys.exit(exit_code)


if __name__ == "__main__":
    run()
