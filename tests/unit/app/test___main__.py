"""The first lines of `python -m app`, before anything of it is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_STOPPED_AT_AN_IMPORT = """
import runpy, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored

class Stop:
    def find_spec(self, name, *_):
        if name == "torch":
            signal.raise_signal(getattr(signal, sys.argv[-1]))

sys.meta_path.insert(0, Stop())
runpy.run_module("app", run_name="__main__")
"""


_ENDED_WITH_A_STUCK_THREAD = """
import runpy, sys, threading, types

def main():
    threading.Thread(target=threading.Event().wait).start()
    return 4

sys.modules["app.server"] = types.ModuleType("app.server")
sys.modules["app.server"].main = main
runpy.run_module("app", run_name="__main__")
"""


@pytest.mark.parametrize(("name", "by", "code"), [("SIGTERM", "SIGTERM", 143), ("SIGINT", "Ctrl-C", 130)])
def test_a_start_can_be_stopped(name: str, by: str, code: int) -> None:
    """While its modules are imported already: a sentence, an exit code, no traceback."""
    done = subprocess.run(
        [sys.executable, "-c", _STOPPED_AT_AN_IMPORT, name], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, f"Stopped by {by} before it served.\n")


def test_a_thread_that_is_stuck_does_not_keep_the_process() -> None:
    """It ends without it, with the exit code of what it served."""
    done = subprocess.run(
        [sys.executable, "-c", _ENDED_WITH_A_STUCK_THREAD], cwd=ROOT, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (4, b"")
