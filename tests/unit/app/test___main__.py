"""The first lines of `python -m app`, before anything of it is imported."""

import subprocess
import sys

import pytest

from tests.unit.stopped_start import ROOT, start_and_stop

_ENDED_WITH_A_STUCK_THREAD = """
import runpy, sys, threading, types

def main():
    threading.Thread(target=threading.Event().wait).start()
    return 4

sys.modules["app.processes.server"] = types.ModuleType("app.processes.server")
sys.modules["app.processes.server"].main = main
runpy.run_module("app", run_name="__main__")
"""


@pytest.mark.parametrize(("name", "by", "code"), [("SIGTERM", "SIGTERM", 143), ("SIGINT", "Ctrl-C", 130)])
def test_a_start_can_be_stopped(name: str, by: str, code: int) -> None:
    """While its modules are imported already: a sentence, an exit code, no traceback."""
    assert start_and_stop("app", name) == (code, f"Stopped by {by} before it served.\n")


def test_a_thread_that_is_stuck_does_not_keep_the_process() -> None:
    """It ends without it, with the exit code of what it served."""
    done = subprocess.run(
        [sys.executable, "-c", _ENDED_WITH_A_STUCK_THREAD], cwd=ROOT, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (4, b"")
