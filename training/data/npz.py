"""Arrays of an .npz file, which is a zip of NumPy's: some of them whole, or one in pieces."""

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from training.errors import DataError

_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,  # a damaged stream
    RuntimeError,  # encrypted; NotImplementedError, a kind of it: packed in a way that zipfile does not know
    lzma.LZMAError,
    SyntaxError,  # a damaged header of an array, and so is the next
    tokenize.TokenError,
    MemoryError,  # a header that announces an array without end
)
"""What numpy's reader raises over files that are no archive of plain arrays."""
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Of the versions of NumPy's format in which it writes arrays of numbers."""
_PIECE_BYTES = 2**22
"""Of an array that is read in pieces. Source: choice."""


def read_arrays(path: Path, names: Sequence[str]) -> tuple[list[str], dict[str, npt.NDArray[np.generic]]]:
    """Read those of some arrays that a file has, and tell all that it has.

    Raises:
        DataError: it is no .npz file, or one of them cannot be read.
    """
    with _told_of_damage(path):
        _refuse_other_files(path)
        with np.load(path, allow_pickle=False) as archive:
            held = list(archive.files)
            arrays = {name: archive[name] for name in names if name in held}
    return held, {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}


def read_pieces(path: Path, name: str) -> Iterator[npt.NDArray[np.generic]]:
    """Read an array some rows at a time, in order, so that it is never in memory whole.

    One that numpy does not store row by row comes as a single piece.

    Args:
        path: of the file.
        name: of an array in it.

    Raises:
        DataError: it is no .npz file, or the array is not there or cannot be read.
    """
    with _told_of_damage(path):
        _refuse_other_files(path)
        with zipfile.ZipFile(path) as archive:
            if f"{name}.npy" in archive.namelist():
                with archive.open(f"{name}.npy") as member:
                    header = _read_header(member)
                    if header is not None:
                        yield from _read_rows(member, *header)
                        return
    _, arrays = read_arrays(path, (name,))
    if name not in arrays:
        raise DataError(f"{path} holds no array {name}.")
    yield arrays[name]


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]] | None:
    """Read shape and dtype of an array, up to its first row; None for one that has no rows of bytes."""
    read = _HEADERS.get(npy.read_magic(member))
    if read is None:
        return None
    shape, is_fortran_order, dtype = read(member)
    is_plain = not is_fortran_order and not dtype.hasobject and shape and min(*shape, dtype.itemsize) > 0
    return (shape, dtype) if is_plain else None


def _read_rows(
    member: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> Iterator[npt.NDArray[np.generic]]:
    row_bytes = dtype.itemsize * math.prod(shape[1:])
    at_once = max(1, _PIECE_BYTES // row_bytes)
    for start in range(0, shape[0], at_once):
        rows = min(at_once, shape[0] - start)
        read = bytearray(member.read(rows * row_bytes))
        yield np.frombuffer(read, dtype).reshape(rows, *shape[1:])  # a ValueError where the file is cut off


def _refuse_other_files(path: Path) -> None:
    with path.open("rb") as file:
        is_archive = zipfile.is_zipfile(file)
    if not is_archive:
        raise DataError(f"{path} is no .npz archive, or one that was cut off. Write it with numpy.savez.")


@contextmanager
def _told_of_damage(path: Path) -> Iterator[None]:
    """Turn whatever numpy's reader raises into a sentence."""
    try:
        yield
    except _DAMAGE as error:
        reason = str(error).rstrip(".")
        if "allow_pickle" in reason:
            reason = "it holds Python objects. Store arrays of numbers, and labels as text"
        raise DataError(f"{path} cannot be read as an .npz archive of plain arrays: {reason}.") from error
