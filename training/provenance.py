"""Where a run comes from: which code, which moment."""

import datetime
import subprocess
from pathlib import Path


def current_commit() -> str:
    """Name the commit of this code, with "-dirty" if files differ from it; "unknown" outside a git clone."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],  # noqa: S607 - PATH decides
            cwd=Path(__file__).parent,
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
