"""Processes that a test waits for, but not for ever."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120
"""No start takes longer, on two cores that do something else as well."""


@contextlib.contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python with these arguments, in a process group of its own; at the end all of that is killed."""
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            kill_group(process)


def wait_for_line(process: subprocess.Popen[str], pattern: str) -> str:
    """Read what a process tells until a line has the pattern; what has not by then is killed, and the test fails.

    Args:
        process: that leads a process group.
        pattern: a regular expression.
    """
    assert process.stderr
    told: list[str] = []
    with killed_when_late(process):
        for line in process.stderr:
            told.append(line)
            if re.search(pattern, line):
                return line
    raise AssertionError(f"it ended, and never said {pattern!r}: {''.join(told)}")


@contextlib.contextmanager
def killed_when_late(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill a process and its group if this takes too long: whoever reads what it says goes on then."""
    late = threading.Timer(PATIENCE_S, kill_group, [process])
    late.start()
    try:
        yield
    finally:
        late.cancel()


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a process and of those that it started: one that was stopped would else never end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
