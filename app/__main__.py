"""`python -m app`: the service, or `tensors` for its lab; nothing is imported before Ctrl-C is understood."""

import sys


def main() -> int:
    """Run the service, or the tensor lab; the exit codes are those of their own `main`."""
    try:
        if sys.argv[1:2] == ["tensors"]:
            from app.tensors.terminal import main as show  # noqa: PLC0415 - importing torch takes seconds

            return show(sys.argv[2:])
        from app.server import main as serve  # noqa: PLC0415 - importing torch takes seconds

        return serve()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped by Ctrl-C before it served.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
