"""`python -m app`: the service, or `tensors` for its lab; nothing is imported before a stop is understood."""

import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> int:
    """Run the service, or the tensor lab; the exit codes are those of their own `main`.

    SIGTERM has a handler from the start on: the first process of a container does not die of it otherwise.
    """
    signal.signal(signal.SIGTERM, _stop)
    try:
        if sys.argv[1:2] == ["tensors"]:
            from app.tensors.terminal import main as show  # noqa: PLC0415 - importing torch takes seconds

            return show(sys.argv[2:])
        from app.server import main as serve  # noqa: PLC0415 - importing torch takes seconds

        return serve()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped by Ctrl-C before it served.\n")
        return 130


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.stderr.write("Stopped by SIGTERM before it served.\n")
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
