"""A program that is told to stop while it imports torch."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_STOPPED_AT_AN_IMPORT = """
import atexit, runpy, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and one under nohup that this one is

if sys.argv[-1] == "SIGTERM":
    atexit.register(signal.raise_signal, signal.SIGTERM)  # supervisors may send it twice

class Stop:
    def find_spec(self, name, *_):
        if name == "torch":
            signal.raise_signal(getattr(signal, sys.argv[-1]))

sys.meta_path.insert(0, Stop())
runpy.run_module(sys.argv[1], run_name="__main__")
"""


def start_and_stop(module: str, signal_name: str) -> tuple[int, str]:
    """Run `python -m module`, and send it a signal when it is about to import torch.

    Args:
        module: with a `__main__`.
        signal_name: as in the module `signal`.

    Returns:
        The exit code, and what was told on stderr.
    """
    command = [sys.executable, "-c", _STOPPED_AT_AN_IMPORT, module, signal_name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stderr
