"""Where a run comes from: which code, which moment."""

import datetime
import subprocess
from pathlib import Path


def current_commit(folder: Path = Path(__file__).parent) -> str:
    """Name the commit of this code by 12 digits or more, with "-dirty" if files differ from it.

    Args:
        folder: in the clone.

    Returns:
        "unknown" outside of a git clone, before its first commit, or without git.
    """
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],  # noqa: S607 - PATH decides
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def now_utc() -> str:
    """ISO 8601 to the second, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
