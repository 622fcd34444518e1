"""Where a run comes from: which code, which moment."""

import datetime
import subprocess
from pathlib import Path


def current_commit(folder: Path = Path(__file__).parent) -> str:
    """Name the commit of this code by 12 digits or more, with "-dirty" if files differ from it.

    Args:
        folder: in the clone.

    Returns:
        "unknown" outside of a git clone, before its first commit, or without git; also where the clone around it
        is somebody else's, as that of a project whose environment this is installed in.
    """
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")
        return _git(folder, "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*").strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - arguments of ours
        ["git", *arguments],  # noqa: S607 - PATH decides
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def now_utc() -> str:
    """ISO 8601 to the second, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
