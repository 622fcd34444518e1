"""Files that are there whole, or not at all."""

import os
from pathlib import Path

import pytest

from models.files import write_atomically


def test_the_folder_is_made_and_holds_one_readable_file(tmp_path: Path) -> None:
    """No temporary file is left beside it, and other users may read it."""
    path = tmp_path / "one" / "two" / "file"
    write_atomically(path, b"all of it")
    assert path.read_bytes() == b"all of it"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o444 == 0o444


def test_the_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    """Who keeps all files to themselves keeps these, too."""
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "file", b"mine")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Also a shorter one; whoever has opened the old one reads it to its end."""
    path = tmp_path / "file"
    write_atomically(path, b"the old one")
    with path.open("rb") as opened:
        write_atomically(path, b"new")
        assert opened.read() == b"the old one"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt("No more")])
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    """Whichever step fails or is interrupted, the old file is whole and no temporary one is left."""
    path = tmp_path / "file"
    write_atomically(path, b"the old one")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error), match="No "):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    """The file that is written first, beside it, has a short name of its own."""
    path = tmp_path / ("x" * 255)
    write_atomically(path, b"all of it")
    assert list(tmp_path.iterdir()) == [path]
