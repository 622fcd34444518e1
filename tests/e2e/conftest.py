"""Real processes, on ports that the system chose, that end with the test."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Server:
    """`python -m app` in a process of its own.

    Args:
        arguments: of the command line, without --port.
    """

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "--port", "0", *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.lines: list[str] = []
        self.url = self._wait_for("serving on ").split("serving on ")[1]
        self._wait_for("ready")

    def _wait_for(self, beginning: str) -> str:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            message: str = json.loads(line)["message"] if line.startswith("{") else ""
            if message.startswith(beginning):
                return message
        raise AssertionError(f"the server ended with {self.process.wait()}: {''.join(self.lines)}")

    def stop(self, signal: int) -> int:
        """Send a signal, and return the exit code; what it still said is in `lines`."""
        self.process.send_signal(signal)
        _, rest = self.process.communicate(timeout=30)
        self.lines += rest.splitlines()
        return self.process.returncode


@pytest.fixture
def start_server(checkpoint_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of the tiny checkpoint; whatever still runs at the end is killed."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        servers.append(
            Server("--checkpoint", str(checkpoint_path), "--engine", "torch", "--drain-delay-s", "0", *arguments)
        )
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        if server.process.stderr:
            server.process.stderr.close()
