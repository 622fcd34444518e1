"""Places for results: room is asked for before the work, and another one is found after it."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.targets import check_room, refuse_among_pictures, write_or_rescue


def _full(path: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _write(path: Path) -> str:
    path.write_text("weights")
    return "sha256:1"


def test_a_disk_without_room_is_refused(tmp_path: Path) -> None:
    """An exabyte fits on none, a megabyte on any that tests run on; two files on one disk need twice as much."""
    two = [tmp_path / "m.safetensors", tmp_path / "n.safetensors"]
    check_room(dict.fromkeys(two, 1_000_000))
    with pytest.raises(TrainingError, match=r"m.safetensors needs 1,000,000,000,000.0 MB.*Make room"):
        check_room(dict.fromkeys(two, 10**18))
    free_bytes = shutil.disk_usage(tmp_path).free
    with pytest.raises(TrainingError, match=r"n.safetensors needs"):
        check_room(dict.fromkeys(two, free_bytes * 2 // 3))


def test_what_its_place_takes_is_written_there(tmp_path: Path) -> None:
    """Nothing is rescued, and the digest is handed on."""
    assert write_or_rescue(tmp_path / "m.safetensors", _write) == "sha256:1"
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_what_its_place_does_not_take_is_rescued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into the temporary folder; the sentence says where, under the name that it should have had."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    wanted = Path("/full/m.safetensors")

    def write(path: Path) -> str:
        if path == wanted:
            raise _full(path)
        return _write(path)

    with pytest.raises(TrainingError, match=r"/full/m.safetensors cannot be written \(No space left") as refused:
        write_or_rescue(wanted, write)
    (rescued,) = tmp_path.glob("glimpse-*/m.safetensors")
    assert rescued.read_text() == "weights"
    assert f"The checkpoint is {rescued};" in str(refused.value)


def test_what_no_place_takes_is_said_to_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both reasons, and with what would have kept it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def write(path: Path) -> str:
        raise _full(path)

    with pytest.raises(TrainingError, match=r"Neither /full/m.safetensors \(No space.*it is lost.*with --run"):
        write_or_rescue(Path("/full/m.safetensors"), write)


@pytest.mark.parametrize(
    ("folder", "is_refused"), [("pets", True), ("pets/cat/run", True), ("runs", False), ("pets/.run", False)]
)
def test_a_run_is_not_kept_among_its_pictures(folder: str, is_refused: bool, tmp_path: Path) -> None:
    """Its files would be taken for broken pictures from then on; what is hidden is not read."""
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    if is_refused:
        with pytest.raises(TrainingError, match=r"^--run .*/pets.* lies in .*Name another place\.$"):
            refuse_among_pictures(str(tmp_path / "pets"), tmp_path / folder, option="--run", is_folder=True)
    else:
        refuse_among_pictures(str(tmp_path / "pets"), tmp_path / folder, option="--run", is_folder=True)
    refuse_among_pictures("cifar10", tmp_path / folder, option="--run", is_folder=True)


@pytest.mark.parametrize(
    ("file", "is_refused"),
    [("pets/m.png", False), ("pets/grid/m.png", True), ("pets/cat/m.png", True), ("pets/.out/m.png", False)],
)
def test_a_file_is_not_written_among_the_pictures(file: str, is_refused: bool, tmp_path: Path) -> None:
    """Its folder would be a class from then on, and a grid one of its pictures; beside the classes it is none."""
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    if is_refused:
        with pytest.raises(TrainingError, match=r"^--out .* lies in .*, and would be read as some of a class\."):
            refuse_among_pictures(str(tmp_path / "pets"), tmp_path / file, option="--out")
    else:
        refuse_among_pictures(str(tmp_path / "pets"), tmp_path / file, option="--out")
    assert [path.name for path in (tmp_path / "pets").iterdir()] == ["cat"]


def test_a_run_may_lie_beside_the_parts(tmp_path: Path) -> None:
    """What lies beside `train` and `test` is no class; a link that leads to another place is read as one."""
    for part in ("train", "test", "val"):
        (tmp_path / "pets" / part / "cat").mkdir(parents=True)
    data = str(tmp_path / "pets")
    refuse_among_pictures(data, tmp_path / "pets" / "runs" / "a", option="--run", is_folder=True)
    with pytest.raises(TrainingError, match=r"lies in .*val, and would be read as some of a class"):
        refuse_among_pictures(data, tmp_path / "pets" / "val" / "runs", option="--run", is_folder=True)
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "pets" / "train" / "dog"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrainingError, match="would be read as some of a class"):
        refuse_among_pictures(data, link, option="--run", is_folder=True)


def test_a_run_that_a_link_leads_among_the_pictures_is_refused(tmp_path: Path) -> None:
    """Whichever of the two goes by another name: its files would lie there all the same."""
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "pets")
    for data, folder in (("pets", "link/cat/run"), ("link", "pets/cat/run")):
        with pytest.raises(TrainingError, match="would be read as some of a class"):
            refuse_among_pictures(str(tmp_path / data), tmp_path / folder, option="--run", is_folder=True)
