"""An array comes out of an .npz file the same whole and in pieces."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.drawing import write_archive
from training.data.npz import read_arrays, read_pieces
from training.errors import DataError


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "compressed"])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.uint8).reshape(4, 3, 2),
        np.arange(3 * (2**20 + 1), dtype=np.uint16).reshape(3, -1),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.zeros((0, 4), np.uint8),
        np.array(7),
        np.array(["cat", "dog"]),
        np.zeros(10, "V0"),
    ],
    ids=["small", "large", "columns", "empty", "number", "words", "nothing"],
)
def test_pieces_make_the_array(tmp_path: Path, save: object, array: np.ndarray) -> None:
    """However it is packed and ordered; a large one comes in several, of as many rows as 4 MiB hold."""
    assert callable(save)
    save(tmp_path / "a.npz", x=array, y=array)
    pieces = list(read_pieces(tmp_path / "a.npz", "x"))
    joined = np.concatenate(pieces) if array.ndim else pieces[0]
    assert joined.dtype == array.dtype
    assert np.array_equal(joined, array)
    assert [len(piece) for piece in pieces if array.ndim] == {"(3, 1048577)": [1, 1, 1]}.get(
        str(array.shape), [len(array)] if array.ndim else []
    )


def test_pieces_of_what_is_not_there_are_refused(tmp_path: Path) -> None:
    """An array that is missing, one of Python objects, and a file that is none."""
    write_archive(tmp_path / "a.npz", {"x": np.array([{}], dtype=object)})
    (tmp_path / "text.npz").write_text("x")
    for file, name, sentence in (
        ("a.npz", "y", r"a\.npz holds no array y\."),
        ("a.npz", "x", r"a\.npz cannot be read .*it holds Python objects"),
        ("text.npz", "x", r"text\.npz is no \.npz archive"),
    ):
        with pytest.raises(DataError, match=sentence):
            list(read_pieces(tmp_path / file, name))


@pytest.mark.parametrize("shape", ["(-1, 2, 2, 3)", "(2, -1, 2, 3)"])
def test_an_array_of_less_than_nothing_is_refused(tmp_path: Path, shape: str) -> None:
    """NumPy refuses it whole, and so it is not read in pieces."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.zeros((2, 2, 2, 3), np.uint8))
    damaged = stream.getvalue().replace(b"(2, 2, 2, 3), } ", f"{shape}, }}".encode())
    assert len(damaged) == len(stream.getvalue())
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", damaged)
    with pytest.raises(DataError, match="cannot be read"):
        list(read_pieces(tmp_path / "a.npz", "x"))


def test_an_array_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """Its header announces more rows than there are: whole and in pieces it is the same sentence."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.zeros((6, 4), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue()[:-4])
    sentence = r"a\.npz cannot be read as an \.npz archive of plain arrays"
    with pytest.raises(DataError, match=sentence):
        list(read_pieces(tmp_path / "a.npz", "x"))
    with pytest.raises(DataError, match=sentence):
        read_arrays(tmp_path / "a.npz", ("x",))
