"""The first lines of `python -m training`, before anything of it is imported."""

import pytest

from tests.unit.stopped_start import start_and_stop


@pytest.mark.parametrize(("name", "by", "code"), [("SIGTERM", "SIGTERM", 143), ("SIGINT", "Ctrl-C", 130)])
def test_a_command_can_be_stopped_before_it_begins(name: str, by: str, code: int) -> None:
    """While torch is imported: a sentence, an exit code, no traceback."""
    assert start_and_stop("training", name) == (code, f"Stopped by {by}.\n")
