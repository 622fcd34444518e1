"""Where a run says that it comes from."""

import datetime
import re

import pytest

from training import provenance


def test_a_clone_has_a_commit() -> None:
    """Twelve digits, with -dirty when files differ; "unknown" where this is no clone."""
    assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?|unknown", provenance.current_commit())


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing git does not stop a training."""
    monkeypatch.setenv("PATH", "")
    assert provenance.current_commit() == "unknown"


def test_the_moment_is_utc_and_can_be_read_back() -> None:
    """ISO 8601 with its offset."""
    assert datetime.datetime.fromisoformat(provenance.now_utc()).utcoffset() == datetime.timedelta(0)
