"""SIGTERM under load: whoever was let in is answered, and the process ends with 0."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.drawing import encode, gradient
from tests.e2e.conftest import Server
from tests.e2e.processes import program, wait_for_line

SMALL = encode(gradient())
PHOTO = encode(gradient(1200, 900), "JPEG")
CALLERS = 12


class Caller(threading.Thread):
    """Sends pictures over one connection for as long as the server keeps it open.

    Attributes:
        statuses: of all answers.
        fault: what ended it, if not the server's `Connection: close`.
    """

    def __init__(self, port: int, picture: bytes, warm: threading.Semaphore) -> None:
        super().__init__()
        self.statuses: list[int] = []
        self.fault: Exception | None = None
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._picture = picture
        self._warm = warm

    def run(self) -> None:
        """Ask until told to go."""
        try:
            while True:
                self._connection.request("POST", "/predict", self._picture, {"Content-Type": "image/png"})
                answer = self._connection.getresponse()
                answer.read()
                self.statuses.append(answer.status)
                if len(self.statuses) == 3:
                    self._warm.release()
                if answer.getheader("connection") == "close":
                    return
        except Exception as fault:  # noqa: BLE001 - handed to the test
            self.fault = fault
        finally:
            self._connection.close()


def _stop_without_delay(server: Server) -> None:
    """Tell one that is not ready any more again; it ends with 0."""
    time.sleep(1.2)  # sooner, it would be an echo of the first time
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=30) == 0


def test_sigterm_under_load_loses_nobody(start_server: Callable[..., Server]) -> None:
    """Not one reset, not one answer but 200; not ready at once; exit 0."""
    server = start_server("--drain-delay-s", "600", "--drain-timeout-s", "20")
    port = int(server.url.rsplit(":", 1)[1])
    warm = threading.Semaphore(0)
    callers = [Caller(port, PHOTO if index % 4 == 0 else SMALL, warm) for index in range(CALLERS)]
    for caller in callers:
        caller.start()
    for _ in callers:
        assert warm.acquire(timeout=60)
    server.process.send_signal(signal.SIGTERM)
    with httpx.Client(base_url=server.url) as late:
        while (ready := late.get("/health/ready")).status_code == 200:
            pass
        assert ready.json()["code"] == "not_ready"
        assert ready.headers["connection"] == "close"
        assert late.get("/health/live").status_code == 200
        assert late.post("/predict", files={"file": SMALL}).status_code == 200
    _stop_without_delay(server)
    for caller in callers:
        caller.join(timeout=60)
    assert [caller.fault for caller in callers] == [None] * CALLERS
    assert {status for caller in callers for status in caller.statuses} == {200}


def test_a_full_queue_is_answered_before_the_end(start_server: Callable[..., Server]) -> None:
    """What had been sent when the signal came, photos first, is answered without a reset, and the exit code 0."""
    server = start_server("--drain-timeout-s", "20")
    address = urlsplit(server.url)
    pictures = [PHOTO] * 4 + [SMALL] * 60
    with contextlib.ExitStack() as stack:
        callers = [
            stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=60))
            for _ in pictures
        ]
        for caller, picture in zip(callers, pictures, strict=True):
            head = (
                f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(picture)}"
            )
            caller.sendall(head.encode() + b"\r\n\r\n" + picture)
        assert server.stop(signal.SIGTERM) == 0
        for caller in callers:
            answer = b""
            while piece := caller.recv(65_536):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]


_WITH_A_STUCK_THREAD = """
import sys, threading
from app.processes.server import main
threading.Thread(target=threading.Event().wait).start()
sys.exit(main(sys.argv[1:]))
"""


def test_a_thread_that_is_stuck_can_be_left(checkpoint_path: Path) -> None:
    """When all is stopped the process waits for it; another SIGTERM ends that, and the exit code is the same."""
    options = ["--checkpoint", str(checkpoint_path), "--engine", "torch", "--port", "0", "--drain-delay-s", "0"]
    with program("-c", _WITH_A_STUCK_THREAD, *options) as process:
        wait_for_line(process, '"ready"')
        process.send_signal(signal.SIGTERM)
        wait_for_line(process, '"stopped"')
        for _ in range(60):  # the first one may come before the end of the event loop
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
                break
        assert process.returncode == 0


def test_a_second_sigterm_does_not_wait(start_server: Callable[..., Server]) -> None:
    """Whoever means it twice gets it before the delay is over."""
    server = start_server("--drain-delay-s", "600")
    with httpx.Client(base_url=server.url) as client:
        server.process.send_signal(signal.SIGTERM)
        while client.get("/health/ready").status_code == 200:
            pass
    _stop_without_delay(server)
    server.end()
    assert json.loads(server.lines[-1])["message"] == "stopped"


@pytest.mark.parametrize(
    ("workers", "framing"),
    [
        ("1", b"Content-Length: 1000\r\n\r\nhalf"),
        ("1", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        ("2", b"Content-Length: 1000\r\n\r\nhalf"),
    ],
)
def test_an_upload_that_does_not_end_is_told_of_the_stop(
    start_server: Callable[..., Server], workers: str, framing: bytes
) -> None:
    """503 when the drain time is over, at any desk and behind the framework; no traceback, exit 0."""
    server = start_server("--drain-timeout-s", "1", "--workers", workers)
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + framing)
        while httpx.get(f"{server.url}/health/live").status_code != 200:
            pass
        server.process.send_signal(signal.SIGTERM)
        answer = b"".join(iter(lambda: slow.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"The service stopped before the request was answered" in answer
    assert server.process.wait(timeout=30) == 0
    server.end()
    assert not [line for line in server.lines if "Traceback" in line or '"Cancel 0' in line]
