"""`python -m training`: the command line, or a sentence about what it needs."""

import sys


def main() -> int:
    """Run the command line; the exit code is 0 done, 1 refused, 2 usage, 130 stopped by Ctrl-C."""
    try:
        from training.cli import run  # noqa: PLC0415 - the extra may be missing, and that deserves a sentence
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich", "matplotlib", "torchmetrics", "torchvision"}:
            raise
        sys.stderr.write(f"Training needs {error.name}, which is not installed: pip install 'glimpse[train]'\n")
        return 1
    return run()


if __name__ == "__main__":
    sys.exit(main())
