"""Pictures without labels become what the network is fed, from files and from arrays."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.preprocessing import InputSpec
from tests.drawing import encode, write_archive
from training.errors import DataError
from training.foreign import read_foreign

SPEC = InputSpec(height=16, width=16)


def _grain(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_files_and_arrays_are_read_alike(tmp_path: Path) -> None:
    """Brought to the network's size by the same rule; whatever is no picture is told of."""
    pictures, told = _grain(70, 40), list[str]()
    (tmp_path / "some" / "more").mkdir(parents=True)
    for place, each in enumerate(pictures):
        (tmp_path / "some" / "more" / f"{place:02}.png").write_bytes(encode(Image.fromarray(each)))
    (tmp_path / "some" / "a.txt").write_text("no picture")
    files = read_foreign(tmp_path / "some", SPEC, report=told.append)
    assert files.shape == (70, 16, 16, 3)
    assert told[0].startswith(f"{tmp_path / 'some' / 'a.txt'}: ")
    assert told[1:] == ["1 of 71 files are no readable pictures"]
    write_archive(tmp_path / "x.npz", {"x": pictures})
    assert torch.equal(read_foreign(tmp_path / "x.npz", SPEC, report=told.append), files)


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it is not left out without a word; the others are read."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "picture.png").write_bytes(encode(Image.fromarray(_grain(1, 16)[0])))
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == tmp_path / "mine":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # whoever runs the tests may open everything
    told = list[str]()
    assert len(read_foreign(tmp_path, SPEC, report=told.append)) == 1
    assert told == [
        f"{tmp_path / 'mine'}: It cannot be read: Permission denied.",
        "1 of 2 files are no readable pictures",
    ]


def test_of_an_archive_nothing_is_read_that_is_not_needed(tmp_path: Path) -> None:
    """What lies beside the test part may be large, or of a kind that is refused."""
    pictures = _grain(3, 16)
    np.savez(tmp_path / "x.npz", x_test=pictures, x_train=np.array([{}], dtype=object))
    assert torch.equal(read_foreign(tmp_path / "x.npz", SPEC, report=lambda _: None), torch.from_numpy(pictures))


def test_of_many_unreadable_files_ten_are_named(tmp_path: Path) -> None:
    """And all are counted."""
    told = list[str]()
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_text("no picture")
    (tmp_path / "picture.png").write_bytes(encode(Image.fromarray(_grain(1, 16)[0])))
    assert len(read_foreign(tmp_path, SPEC, report=told.append)) == 1
    assert [line.startswith(f"{tmp_path / f'{number:02}.txt'}: ") for number, line in enumerate(told[:-1])] == [
        True
    ] * 10
    assert told[-1] == "12 of 13 files are no readable pictures (2 more not named)"


def test_of_an_archive_the_test_part_is_taken_first(tmp_path: Path) -> None:
    """Then the training part; grey pictures become coloured ones, and labels are not asked for."""
    pictures = _grain(3, 16)
    write_archive(tmp_path / "both.npz", {"x_train": pictures[:1], "x_test": pictures[1:]})
    assert torch.equal(
        read_foreign(tmp_path / "both.npz", SPEC, report=lambda _: None), torch.from_numpy(pictures[1:])
    )
    write_archive(tmp_path / "grey.npz", {"x_train": pictures[..., 0], "x_test": pictures[:0]})
    grey = read_foreign(tmp_path / "grey.npz", SPEC, report=lambda _: None)
    assert torch.equal(grey, torch.from_numpy(pictures[..., :1]).expand(-1, -1, -1, 3))


def test_nothing_to_show_is_a_sentence(tmp_path: Path) -> None:
    """A folder without pictures, one that is not there, and arrays of another kind or name."""
    for source in (tmp_path, tmp_path / "gone", tmp_path / "gone.npz"):
        with pytest.raises(DataError, match="No picture can be read in "):
            read_foreign(source, SPEC, report=lambda _: None)
    write_archive(tmp_path / "y.npz", {"y": _grain(2, 16)})
    with pytest.raises(DataError, match="holds no pictures under x_test, x_train, x; it holds y"):
        read_foreign(tmp_path / "y.npz", SPEC, report=lambda _: None)
    write_archive(tmp_path / "float.npz", {"x": _grain(2, 16) / 255})
    with pytest.raises(DataError, match="x is float64"):
        read_foreign(tmp_path / "float.npz", SPEC, report=lambda _: None)
