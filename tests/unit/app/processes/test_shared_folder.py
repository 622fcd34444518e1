"""What several processes share is there as long as they are, and no longer."""

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from app.errors import StartError
from app.processes.shared_folder import copy_checked, shared_folder
from models.checkpoint import CHECKPOINTS, load

TUTORIAL = CHECKPOINTS / "tutorial.safetensors"


@pytest.fixture(autouse=True)
def parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The temporary folder of these tests."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _age(folder: Path) -> None:
    an_hour_ago = time.time() - 3_600
    os.utime(folder, (an_hour_ago, an_hour_ago))


def test_the_folder_is_locked_while_it_is_shared_and_gone_afterwards() -> None:
    """Programs that clean temporary folders leave locked ones alone."""
    with shared_folder() as folder:
        (folder / "numbers").write_text("1")
        opened = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(opened)
    assert not folder.exists()


def test_a_start_removes_what_a_killed_process_left(parent: Path) -> None:
    """But neither what is in use, nor what is not ours, nor what another start is about to lock."""
    killed = (
        "import os, app.processes.shared_folder as s; f = s.shared_folder(); print(f.__enter__()); os._exit(1)"
    )
    environment = {**os.environ, "TMPDIR": str(parent)}
    run = subprocess.run(
        [sys.executable, "-c", killed], env=environment, capture_output=True, text=True, check=False
    )
    left = Path(run.stdout.strip())
    young, other, file = (
        parent / name for name in ("glimpse-workers-young", "glimpse-other", "glimpse-workers-file")
    )
    young.mkdir()
    other.mkdir()
    file.write_text("no folder")
    (parent / "glimpse-workers-link").symlink_to(other)
    with shared_folder() as used:
        assert left.is_dir()
        for folder in (left, other, used, file):
            _age(folder)
        with shared_folder():
            assert not left.exists()
            assert all(path.exists() for path in (used, young, other, file))


def test_a_copy_is_what_was_checked(parent: Path) -> None:
    """Under its name, by which workers speak of it."""
    copy = copy_checked(TUTORIAL, parent, digest=load(TUTORIAL).digest)
    assert (copy.name, copy.read_bytes()) == (TUTORIAL.name, TUTORIAL.read_bytes())


def test_another_file_than_was_checked_is_not_served(parent: Path) -> None:
    """Somebody wrote over it in between."""
    with pytest.raises(StartError, match=r"tutorial\.safetensors was changed while it was being checked\. Start"):
        copy_checked(TUTORIAL, parent, digest=f"sha256:{'0' * 64}")


def test_no_temporary_folder_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose file system cannot be written."""

    def refuse(**_given: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/var/tmp']")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with (
        pytest.raises(
            StartError, match=r"temporary folder, and none can be made \(No usable temp.*--workers 1\.$"
        ),
        shared_folder(),
    ):
        pass


def test_no_room_for_the_copy_is_a_sentence(parent: Path) -> None:
    """The file is named, and where its copy should have gone."""
    with pytest.raises(StartError, match=r"tutorial\.safetensors, which cannot be made in .*gone"):
        copy_checked(TUTORIAL, parent / "gone" / "below", digest="")
