"""Where results will be written: refused before the work what could not be written after it."""

import tempfile
from pathlib import Path

from training.errors import TrainingError


def check_target(out: Path) -> None:
    """Refuse before minutes of training what could not be written after them."""
    if out.suffix != ".safetensors":
        raise TrainingError(f"--out {out} must end in .safetensors.")
    check_file(out)


def check_png(path: Path) -> None:
    """Refuse a grid that would not be a PNG, or could not be written."""
    if path.suffix.lower() != ".png":
        raise TrainingError(f"The grid is written as a PNG; name it so instead of {path}.")
    check_file(path)


def check_file(path: Path) -> None:
    """Refuse a file that could not be written; its folder is made.

    Raises:
        TrainingError: a folder has its name.
        OSError: its folder cannot be made, or nothing can be written into it.
    """
    if path.is_dir():
        raise TrainingError(f"{path} is a folder; name a file in it.")
    check_folder(path.parent)


def check_folder(path: Path) -> None:
    """Make a folder, and refuse one that nothing can be written into.

    Raises:
        TrainingError: a file has its name.
        OSError: it cannot be made or written into.
    """
    if path.is_file():
        raise TrainingError(f"{path} is a file; name a folder.")
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        pass
