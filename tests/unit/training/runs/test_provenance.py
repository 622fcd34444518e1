"""Where a run says that it comes from."""

import datetime
import re
import subprocess
from pathlib import Path

import pytest

from training.runs import provenance


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, and a git that knows no other repository and no settings; a hook's variables are taken away."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def _git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=A test", "-c", "user.email=test@example.com")
    done = subprocess.run(["git", *names, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_clone_has_a_commit(folder: Path) -> None:
    """Its first twelve digits, with -dirty when files differ; a tag in front of it does not name it."""
    _git(folder, "init", "--quiet")
    assert provenance.current_commit(folder) == "unknown"
    (folder / "code.py").write_text("one")
    _git(folder, "add", "code.py")
    _git(folder, "commit", "--quiet", "--message", "First")
    _git(folder, "tag", "--annotate", "v1", "--message", "One")
    commit = _git(folder, "rev-parse", "HEAD")[:12]
    assert provenance.current_commit(folder) == commit
    (folder / "code.py").write_text("two")
    assert provenance.current_commit(folder) == f"{commit}-dirty"


def test_outside_of_a_clone_the_commit_is_unknown(folder: Path) -> None:
    """As where Glimpse was installed from a wheel."""
    assert provenance.current_commit(folder) == "unknown"


def test_it_is_the_commit_of_this_code_unless_told_otherwise() -> None:
    """At least twelve digits where this is a clone; "unknown" where it is not."""
    is_clone = (Path(__file__).parents[4] / ".git").exists()
    expected = r"[0-9a-f]{12,40}(-dirty)?" if is_clone else "unknown"
    assert re.fullmatch(expected, provenance.current_commit())


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing git does not stop a training."""
    monkeypatch.setenv("PATH", "")
    assert provenance.current_commit() == "unknown"


def test_the_moment_is_utc_and_can_be_read_back() -> None:
    """ISO 8601 with its offset."""
    assert datetime.datetime.fromisoformat(provenance.now_utc()).utcoffset() == datetime.timedelta(0)


def test_somebody_elses_clone_has_no_commit_of_this_code(folder: Path) -> None:
    """It is installed in the environment of another project, which git does not follow."""
    _git(folder, "init", "--quiet")
    (folder / ".gitignore").write_text(".venv\n")
    _git(folder, "add", ".gitignore")
    _git(folder, "commit", "--quiet", "--message", "Theirs")
    installed = folder / ".venv" / "training"
    installed.mkdir(parents=True)
    (installed / "code.py").write_text("ours")
    assert provenance.current_commit(installed) == "unknown"
