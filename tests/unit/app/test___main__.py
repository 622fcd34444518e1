"""The first lines of `python -m app`, before anything of it is imported."""

import os
import subprocess
import sys
from pathlib import Path

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

_STOPPED_AGAIN_AT_ITS_END = """
import atexit, os, runpy, signal, sys, types

class Torch:
    def __del__(self):
        os.write(2, b"taken apart")

def main():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        atexit.register(signal.raise_signal, number)
    sys.torch = Torch()
    print("words")
    return 0

sys.modules["app.processes.server"] = types.ModuleType("app.processes.server")
sys.modules["app.processes.server"].main = main
runpy.run_module("app", run_name="__main__")
"""

_STOPPED_WITH_WORDS_LEFT = """
import runpy, signal, sys, types

def main():
    print("Words that nobody hears.")
    signal.raise_signal(signal.SIGTERM)

sys.modules["app.processes.server"] = types.ModuleType("app.processes.server")
sys.modules["app.processes.server"].main = main
runpy.run_module("app", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("name", "by", "code"), [("SIGTERM", "SIGTERM", 143), ("SIGHUP", "SIGHUP", 143), ("SIGINT", "Ctrl-C", 130)]
)
def test_a_start_can_be_stopped(name: str, by: str, code: int) -> None:
    """While its modules are imported already: a sentence, an exit code, no traceback."""
    assert start_and_stop("app", name) == (code, f"Stopped by {by} before it served.\n")


def test_the_metrics_folder_of_another_server_is_not_taken(tmp_path: Path) -> None:
    """Who comes from gunicorn has it in the environment, and it may be gone."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "gone"), "GLIMPSE_CHECKPOINT": "none"}
    done = subprocess.run(
        [sys.executable, "-m", "app", "--port", "0", "--workers", "1"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("Error: none: the checkpoint cannot be read")


def test_a_thread_that_is_stuck_does_not_keep_the_process() -> None:
    """It ends without it, with the exit code of what it served."""
    done = subprocess.run(
        [sys.executable, "-c", _ENDED_WITH_A_STUCK_THREAD], cwd=ROOT, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (4, b"")


def test_a_signal_after_the_end_changes_nothing() -> None:
    """It has stopped as asked: the exit code is 0, and nobody waits until all that was imported is taken apart."""
    done = subprocess.run(
        [sys.executable, "-c", _STOPPED_AGAIN_AT_ITS_END], cwd=ROOT, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"words\n", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("arguments", "code"), [(["-c", _STOPPED_WITH_WORDS_LEFT], 143), (["-m", "app", "--help"], 120)]
)
def test_a_full_disk_hides_no_signal_and_is_told_by_who_has_but_words_to_give(
    arguments: list[str], code: int
) -> None:
    """Python's own exit code, 120, is for words that are lost: of a help, and not of a start that was stopped."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=120,
        )
    assert done.returncode == code
