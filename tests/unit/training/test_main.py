"""The first lines of `python -m training`, before anything of it is imported."""

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
runpy.run_module("training", run_name="__main__")
"""


@pytest.mark.parametrize(("name", "by", "code"), [("SIGTERM", "SIGTERM", 143), ("SIGINT", "Ctrl-C", 130)])
def test_a_command_can_be_stopped_before_it_begins(name: str, by: str, code: int) -> None:
    """While torch is imported: a sentence, an exit code, no traceback."""
    done = subprocess.run(
        [sys.executable, "-c", _STOPPED_AT_AN_IMPORT, name], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, f"Stopped by {by}.\n")
