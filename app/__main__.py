"""`python -m app`: the service, with nothing imported before Ctrl-C is understood."""

import sys


def main() -> int:
    """Run the service; its exit codes are those of `app.server.main`."""
    try:
        from app.server import main as serve  # noqa: PLC0415 - importing torch takes seconds

        return serve()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped by Ctrl-C before it served.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
