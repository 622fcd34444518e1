"""The last words of a process, and its exit code, whatever became of the streams."""

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import pytest

from app import ending
from app.ending import exit_code_of, flush_streams, refuse, say_stopped_early
from tests.packages import imports_of
from tests.unit.stopped_start import ROOT

_LOSES_THE_DEVICE = """
import sys
from types import SimpleNamespace
from app.processes import server

server._prepare = lambda settings: (settings, "", SimpleNamespace(is_lost=True))
server.serve = lambda service, listener: 4
server.main(["--port", "0"])
"""


class Full(io.StringIO):
    """A stream to a disk that is full."""

    def write(self, _words: str) -> int:
        """Fail."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def closed() -> TextIO:
    """A stream that somebody has closed."""
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A stream that holds what the system does not take."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as stream:
        stream.write("words")
        yield stream
    assert stream.closed


@pytest.mark.parametrize("stream", [None, closed(), Full()], ids=["none", "closed", "full"])
def test_a_refusal_that_nobody_hears_has_its_exit_code(
    stream: TextIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what a supervisor goes by."""
    monkeypatch.setattr(sys, "stderr", stream)
    assert refuse("It is so.", 3) == 3


def test_a_refusal_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr."""
    assert refuse("It is so.", 2) == 2
    assert capsys.readouterr() == ("", "Error: It is so.\n")


@pytest.mark.parametrize("stream", [None, closed()], ids=["none", "closed"])
def test_streams_that_are_not_there_are_not_flushed(
    stream: TextIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the other one is."""
    raw = io.BytesIO()
    other = io.TextIOWrapper(raw)
    other.write("words")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", other)
    flush_streams()
    assert raw.getvalue() == b"words"


def test_what_cannot_be_written_is_not_tried_again(full: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter flushes at its end, and would exit with a code of its own."""
    monkeypatch.setattr(sys, "stderr", full)
    flush_streams()
    full.flush()


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143), (signal.SIGHUP, "SIGHUP", 143)],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_stopped_start_says_by_what(
    number: signal.Signals, name: str, code: int, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where stderr was closed nothing is written: the number 2 may be that of a socket by now."""
    told: list[tuple[int, bytes]] = []
    monkeypatch.setattr(ending, "os", SimpleNamespace(write=lambda *given: told.append(given)))
    if not is_there:
        monkeypatch.setattr(sys, "stderr", None)
    say_stopped_early(number)
    assert told == ([(2, f"Stopped by {name} before it served.\n".encode())] if is_there else [])
    assert exit_code_of(number) == code


def test_a_terminal_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in a handler would end the process with another code."""

    def write(_: int, _words: bytes) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(ending, "os", SimpleNamespace(write=write))
    say_stopped_early(signal.SIGHUP)


def test_it_is_imported_in_no_time() -> None:
    """Before a stop is understood nothing but Python's own is."""
    assert {name.partition(".")[0] for name in imports_of(Path(ending.__file__))} <= sys.stdlib_module_names


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_a_lost_device_is_told_without_streams(redirection: str) -> None:
    """By a process whose shell has closed them: freeing what is on the device would give it another exit code."""
    command = f'{sys.executable} -c "$0" {redirection}'
    done = subprocess.run(
        ["bash", "-c", command, _LOSES_THE_DEVICE], cwd=ROOT, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (4, b"")


@pytest.mark.parametrize(
    ("words", "redirection", "code"),
    [
        ("--port x", "2>&-", 2),
        ("--port 0 --workers 1 --checkpoint none", ">&- 2>&-", 3),
        ("--port x", "2>/dev/full", 2),
        ("tensors nothing", "2>&-", 2),
    ],
)
def test_a_start_that_fails_has_its_exit_code_without_streams(words: str, redirection: str, code: int) -> None:
    """Closed by a shell, or on a disk that is full; in the latter case Python's own code would be 120."""
    command = f"{sys.executable} -m app {words} {redirection}"
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=buffered, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")
