"""Processes of a measurement: a server in a session that ends with it, and other measurements' modules."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.photos import Upload

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 120
ANSWER_TIMEOUT_S = 60
STOP_TIMEOUT_S = 25


class StartError(Exception):
    """A server did not come up; carries the end of what it printed."""


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        port: on 127.0.0.1.
        session: the id of the session that all its processes belong to.
        start_s: from the start of the process to its first answer.
    """

    port: int
    session: int
    start_s: float

    def url(self, path: str) -> str:
        """Address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str) -> int | None:
        """Status of a GET, None while nothing listens."""
        return _exchange(self.port, "GET", path, None)[0]

    def post(self, path: str, upload: Upload) -> tuple[int | None, bytes]:
        """Post a body; the status is None while nothing listens."""
        return _exchange(self.port, "POST", path, upload)


@contextmanager
def serve(
    command: Sequence[str],
    *,
    port: int,
    environment: Mapping[str, str],
    is_ready: Callable[[Running], bool],
) -> Iterator[Running]:
    """Run a server for as long as the block lasts.

    Args:
        command: starts it; the project's root is its working directory.
        port: that it listens on.
        environment: added to this process's own.
        is_ready: asked every 50 ms until it says yes.

    Raises:
        StartError: it ended, or did not say yes within 120 s.
    """
    with tempfile.TemporaryFile("w+") as output:
        started_s = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait(Running(port, process.pid, 0.0), process, is_ready)
            yield Running(port, process.pid, round(time.monotonic() - started_s, 2))
        except StartError as error:
            output.seek(0)
            raise StartError(f"{error}: {output.read()[-1500:].strip()}") from error
        finally:
            _stop(process)


def run_module(name: str, *arguments: str, timeout_s: float) -> dict[str, Any]:
    """Run a module in a process of its own, so that its threads and memory are gone afterwards.

    Args:
        name: as `python -m` takes it; the project's root is its working directory.
        arguments: for its command line.
        timeout_s: it may take no longer.

    Returns:
        The JSON object that it printed last, on one line.

    Raises:
        RuntimeError: it failed; carries the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def free_port() -> int:
    """Let the system choose a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def predicted_label(body: bytes) -> str:
    """Read the first label of an answer; peers answer in Glimpse's form, BentoML in a list of one."""
    answer = json.loads(body)
    return str((answer[0] if isinstance(answer, list) else answer)["predictions"][0]["label"])


def session_members(session: int) -> list[int]:
    """Find the processes of a session, its daemons included: they cannot leave it without setsid."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_dead = (entry / "stat").read_text().rpartition(") ")[2][0] in "ZX"  # and was not asked how it ended
            if os.getsid(int(entry.name)) == session and not is_dead:
                members.append(int(entry.name))
    return members


def resident_bytes(session: int) -> int:
    """Sum VmRSS over the processes of a session."""
    total = 0
    for pid in session_members(session):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


def _wait(server: Running, process: subprocess.Popen[bytes], is_ready: Callable[[Running], bool]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise StartError(f"it ended with exit code {process.returncode}")
        if is_ready(server):
            return
        time.sleep(0.05)
    raise StartError(f"it did not answer within {START_TIMEOUT_S} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the leader to stop, then kill whatever is left of its session."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
    finally:  # a second Ctrl-C, say
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        while (left := session_members(process.pid)) and time.monotonic() < deadline_s:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.poll()
            time.sleep(0.05)


def _exchange(port: int, method: str, path: str, upload: Upload | None) -> tuple[int | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S)
    try:
        headers = {"Content-Type": upload.content_type} if upload else {}
        connection.request(method, path, upload.body if upload else None, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()
