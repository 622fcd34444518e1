"""`python -m training`: the command line, or a sentence about what it needs."""

import signal
import sys
from importlib.util import find_spec
from types import FrameType
from typing import NoReturn

_EXTRA = ("typer", "rich", "matplotlib", "torchvision")
"""What the commands import, some of it only after minutes of training."""


def main() -> int:
    """Run the command line; the exit code is 0 done, 1 refused, 2 usage, 130 stopped by Ctrl-C, 143 by SIGTERM.

    A command hears SIGTERM itself while it works; before and after that, importing torch say, it is heard here.
    """
    signal.signal(signal.SIGTERM, _stop)
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"Training needs what is not installed: {', '.join(missing)}. In a clone `make install` puts it into "
            f".venv, for .venv/bin/python; elsewhere: pip install {' '.join(missing)}\n"
        )
        return 1
    try:
        from training.cli import run  # noqa: PLC0415 - the lines above come first

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped by Ctrl-C.\n")
        return 130


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # supervisors may send it twice, and once is enough
    sys.stderr.write("Stopped by SIGTERM.\n")
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
