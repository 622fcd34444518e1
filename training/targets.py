"""Where results are written: refused before the work what could not be written after it, and rescued what was."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from training.data import CIFAR10
from training.data.class_trees import class_roots
from training.errors import TrainingError


def check_target(out: Path) -> None:
    """Refuse before minutes of training a checkpoint that could not be written after them.

    Raises:
        TrainingError: its name does not end in .safetensors, or as `check_file`.
    """
    if out.suffix != ".safetensors":
        raise TrainingError(f"--out {out} must end in .safetensors.")
    check_file(out)


def check_png(path: Path) -> None:
    """Refuse a grid of pictures that would not be a PNG, or could not be written.

    Raises:
        TrainingError: its name does not end in .png, or as `check_file`.
    """
    if path.suffix.lower() != ".png":
        raise TrainingError(f"The grid is written as a PNG; name it so instead of {path}.")
    check_file(path)


def check_file(path: Path) -> None:
    """Refuse a file that could not be written; its folder is made.

    Raises:
        TrainingError: a folder has its name, or nothing can be written into its folder.
    """
    if path.is_dir():
        raise TrainingError(f"{path} is a folder; name a file in it.")
    check_folder(path.parent)


def check_folder(path: Path) -> None:
    """Make a folder, and refuse one that nothing can be written into.

    Raises:
        TrainingError: a file has its name, or it cannot be made or written into.
    """
    if path.is_file():
        raise TrainingError(f"{path} is a file; name a folder.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise TrainingError(
            f"Nothing can be written into {path} ({error.strerror or error}). Name another place."
        ) from error


def refuse_among_pictures(data: str, path: Path, *, option: str, is_folder: bool = False) -> None:
    """Refuse to write among the pictures of a folder: what is written there would be read as some of a class.

    Args:
        data: what `--data` names.
        path: to be written.
        option: that named it.
        is_folder: whether it is a folder of files and folders, and no file.

    Raises:
        TrainingError: it lies where classes are read, and is not hidden there.
    """
    if data == CIFAR10 or not Path(data).is_dir():
        return
    for root in class_roots(Path(data)):
        for written, top in ((path.absolute(), root.absolute()), (path.resolve(), root.resolve())):
            if not written.is_relative_to(top):
                continue
            below = written.relative_to(top)
            folders = below.parts if is_folder else below.parent.parts
            if (is_folder or folders) and not any(part.startswith(".") for part in folders):
                raise TrainingError(
                    f"{option} {path} lies in {root}, and would be read as some of a class. Name another place."
                )


def check_room(needed_bytes: Mapping[Path, int]) -> None:
    """Refuse a disk that is too full for what will be written.

    Args:
        needed_bytes: of each file, in a folder that exists; one of its name that is there stays until the new one
            is whole.

    Raises:
        TrainingError: less is free.
    """
    wanted: Counter[int] = Counter()
    for path, size_bytes in needed_bytes.items():
        disk = path.parent.stat().st_dev
        wanted[disk] += size_bytes
        free_bytes = shutil.disk_usage(path.parent).free
        if free_bytes < wanted[disk]:
            raise TrainingError(
                f"{path} needs {wanted[disk] / 1e6:,.1f} MB with all that goes to its disk, which has "
                f"{free_bytes / 1e6:,.1f} MB left. Make room, or name another place."
            )


def write_or_rescue(path: Path, write: Callable[[Path], str]) -> str:
    """Write what took hours to make, into the temporary folder if its own place does not take it.

    Args:
        path: where it should go.
        write: writes it to a path, and returns its digest.

    Raises:
        TrainingError: its place does not take it; the sentence says where it is, or that it is lost.
    """
    try:
        return write(path)
    except OSError as error:
        try:
            rescued = Path(tempfile.mkdtemp(prefix="glimpse-")) / path.name
            write(rescued)
        except OSError as another:
            raise TrainingError(
                f"Neither {path} ({error.strerror}) nor the temporary folder ({another.strerror}) takes the "
                "checkpoint: it is lost. Make room, and train again with --run, which keeps the weights."
            ) from another
        raise TrainingError(
            f"{path} cannot be written ({error.strerror}). The checkpoint is {rescued}; move it to where it stays."
        ) from error
