"""`python -m app` as an operator meets it: start, answer, stop, and every failed start."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.drawing import bomb, encode, gradient
from tests.e2e.conftest import Server
from tests.e2e.processes import ROOT

PNG = encode(gradient())


def run_app(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, with these variables beside those of the test."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_answers_and_stops(start_server: Callable[..., Server], stop: int) -> None:
    """A picture is answered, a log line written in JSON, and SIGTERM or Ctrl-C ends it with 0."""
    server = start_server()
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/health").json()["status"] == "ok"
        answer = client.post("/predict", files={"file": PNG})
        assert answer.status_code == 200
    assert server.stop(stop) == 0
    requests = [json.loads(line) for line in server.lines if '"request"' in line]
    assert answer.headers["x-request-id"] in {line["request_id"] for line in requests}
    assert json.loads(server.lines[-1])["message"] == "stopped"
    assert not [line for line in server.lines if "Traceback" in line]


def test_a_body_over_the_limit_gets_its_answer_over_a_real_socket(start_server: Callable[..., Server]) -> None:
    """Announced or streamed, 413 arrives instead of a reset, and the server goes on."""
    server = start_server("--max-body-bytes", "100000")

    def stream() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 10_000

    with httpx.Client(base_url=server.url) as client:
        for body in (b"x" * 5_000_000, stream()):
            answer = client.post("/predict", content=body, headers={"content-type": "image/png"})
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert client.post("/predict", files={"file": PNG}).status_code == 200


def test_a_caller_who_hangs_up_disturbs_nobody(start_server: Callable[..., Server]) -> None:
    """Half a body and a closed socket: no traceback, and the next caller is answered."""
    server = start_server()
    port = int(server.url.rsplit(":", 1)[1])
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf"
            )
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/predict", files={"file": PNG}).status_code == 200
    assert server.stop(signal.SIGTERM) == 0
    assert not [line for line in server.lines if "traceback" in line.lower()]


def test_a_request_in_flight_is_finished_after_sigterm(start_server: Callable[..., Server]) -> None:
    """Half a picture is sent, the server told to stop, the rest sent: the answer comes, then exit 0."""
    server = start_server()
    port = int(server.url.rsplit(":", 1)[1])
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode() + PNG[:50])
        with httpx.Client(base_url=server.url) as client:
            client.get("/health")  # whoever is answered came after the half was read
        server.process.send_signal(signal.SIGTERM)
        connection.sendall(PNG[50:])
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert server.process.wait(timeout=20) == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc")
def test_a_bomb_leaves_the_memory_of_the_server_flat(start_server: Callable[..., Server]) -> None:
    """Ten times 100 megapixels in 290 kB of PNG: each is a 413, and the peak grows by less than 20 MB."""
    server = start_server()

    def peak_mb() -> float:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    with httpx.Client(base_url=server.url) as client:
        client.post("/predict", files={"file": PNG})
        before_mb = peak_mb()
        data = bomb(10_000, 10_000)
        answers = [client.post("/predict", files={"file": data}) for _ in range(10)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(413, "too_many_pixels")}
    assert peak_mb() - before_mb < 20


def test_a_taken_port_is_a_sentence(checkpoint_path: Path) -> None:
    """Exit code 3, no traceback, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_app("--port", port, "--checkpoint", str(checkpoint_path))
    assert done.returncode == 3
    assert f"Cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_checkpoint_is_a_sentence(checkpoint_path: Path) -> None:
    """Exit code 3 from the real process; the other faults are shown in-process beside this file."""
    data = bytearray(checkpoint_path.read_bytes())
    data[-1] ^= 1
    checkpoint_path.write_bytes(data)
    done = run_app("--port", "0", "--checkpoint", str(checkpoint_path))
    assert done.returncode == 3
    assert done.stderr.startswith(f"Error: {checkpoint_path}: the tensors do not match their digest")
    assert done.stderr.count("\n") == 1


def test_a_mistyped_variable_is_a_sentence() -> None:
    """Exit code 2 and the setting that was meant."""
    done = run_app(GLIMPSE_MAXPIXELS="5")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: The environment variable GLIMPSE_MAXPIXELS is not a setting; did you mean GLIMPSE_MAX_PIXELS?\n"
    )
