"""Several processes on one socket: they share the cores, and their numbers add up."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from models.cores import usable_cores
from tests.drawing import encode, gradient
from tests.e2e.conftest import ROOT, Server
from tests.e2e.test_serving import run_app

PNG = encode(gradient())


def _total(text: str, route: str) -> float:
    found = re.findall(rf'^glimpse_requests_total{{route="{route}",status="200"}} (\S+)$', text, re.MULTILINE)
    return sum(float(number) for number in found)


def test_the_numbers_of_all_workers_add_up(start_server: Callable[..., Server]) -> None:
    """Whichever process is asked, /metrics counts every picture of every process; SIGTERM ends them all with 0."""
    server = start_server("--workers", "2", "--drain-delay-s", "0")
    asked = 60

    def ask(count: int) -> None:
        for _ in range(count):
            with httpx.Client(base_url=server.url) as client:  # a connection each, so that both are asked
                assert client.post("/predict", files={"file": PNG}).status_code == 200

    threads = [threading.Thread(target=ask, args=(asked // 6,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(6):
        text = httpx.get(f"{server.url}/metrics").text
        assert _total(text, "/predict") == asked
    memory = re.search(r"^glimpse_resident_memory_bytes (\S+)$", text, re.MULTILINE)
    assert memory
    assert float(memory[1]) > 100e6
    assert server.stop(signal.SIGTERM) == 0
    assert not [line for line in server.lines if "Traceback" in line]
    assert sum('"ready"' in line for line in server.lines) == 2


def _readies(server: Server) -> int:
    return sum('"ready"' in line for line in server.lines)


@pytest.mark.skipif(usable_cores() < 2, reason="a single core has one event loop")
@pytest.mark.parametrize(("more", "workers"), [((), 2), (("--admin-key", "0123456789abcdef"), 1)])
def test_a_quick_network_is_served_by_several_processes(
    start_server: Callable[..., Server], more: tuple[str, ...], workers: int
) -> None:
    """Unasked, as far as there are cores; a reload would reach one of them, so then there is one."""
    server = start_server("--engine", "openvino", *more)
    expected = min(4, usable_cores()) if workers > 1 else 1
    ends_s = time.monotonic() + 30
    while _readies(server) < expected and time.monotonic() < ends_s:
        time.sleep(0.1)
    assert httpx.post(f"{server.url}/predict", files={"file": PNG}).status_code == 200
    assert server.stop(signal.SIGTERM) == 0
    assert _readies(server) == expected
    assert sum('"stopped"' in line for line in server.lines) == expected


def test_a_stop_leaves_nobody_at_the_door(start_server: Callable[..., Server]) -> None:
    """Callers who come again after `Connection: close` are answered or refused, but not cut off."""
    server = start_server("--workers", "2", "--drain-delay-s", "1")
    faults: list[Exception] = []
    warm = threading.Barrier(9)

    def ask() -> None:
        with httpx.Client(base_url=server.url) as client:
            asked = 0
            try:
                while client.post("/predict", files={"file": PNG}).status_code == 200:
                    asked += 1
                    if asked == 3:
                        warm.wait(timeout=60)
            except httpx.ConnectError:
                return
            except httpx.HTTPError as fault:
                faults.append(fault)

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    warm.wait(timeout=60)
    assert server.stop(signal.SIGTERM) == 0
    for caller in callers:
        caller.join(timeout=60)
    assert faults == []


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_of_all_processes_during_the_start(checkpoint_path: Path, told: int) -> None:
    """As systemd and a terminal tell it; none of them hangs, or waits for one that is gone."""
    command = [
        sys.executable,
        "-m",
        "app",
        "--port",
        "0",
        "--checkpoint",
        str(checkpoint_path),
        "--engine",
        "torch",
    ]
    with subprocess.Popen(
        [*command, "--workers", "2"], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            _wait_for_line(process, "serving on ")
            time.sleep(1)  # both workers are importing then, and no line says so
            os.killpg(process.pid, told)
            process.wait(timeout=30)
            ends_s = time.monotonic() + 10
            while (left := _living(process.pid)) and time.monotonic() < ends_s:
                time.sleep(0.05)
            assert left == []
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


_SLOW_TO_START = """
import asyncio, runpy, sys
from app.service import Service

async def start(self):
    sys.stderr.write("warms up\\n")
    await asyncio.sleep(600)

Service.start = start
sys.argv[0] = "app"
runpy.run_module("app", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("workers", "begins", "program"), [(2, "serving on ", ("-m", "app")), (1, "warms up", ("-c", _SLOW_TO_START))]
)
@pytest.mark.parametrize("by", ["SIGTERM", "SIGHUP"])
def test_what_still_loads_does_not_keep_a_stop_waiting(
    workers: int, begins: str, program: tuple[str, str], by: str, checkpoint_path: Path
) -> None:
    """No process is waited for until it would be ready, and 143 says that nothing was served."""
    more = ["--checkpoint", str(checkpoint_path), "--workers", str(workers)]
    command = [sys.executable, *program, "--port", "0", *more]
    nohups = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what is ignored here is ignored there
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_for_line(process, begins)
            process.send_signal(signal.Signals[by])
            _, told = process.communicate(timeout=30)
            assert process.returncode == 143
        finally:
            process.kill()
            signal.signal(signal.SIGHUP, nohups)
    assert told.splitlines()[-1] == f"Stopped by {by} before it served."
    assert "golden answers" not in told


def _wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    """Read what a process tells until it says so."""
    assert process.stderr
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"it ended, and never said {words!r}")


def _living(group: int) -> list[int]:
    """Process ids of a group; who has ended, and was not asked how, is left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = entry.read_text().rpartition(") ")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(entry.parent.name))
    return found


def _workers(server: Server) -> list[int]:
    """Process ids; multiprocessing has a child of its own beside them."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def _wait_for(is_so: Callable[[], bool], *, timeout_s: float) -> None:
    ends_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < ends_s
        time.sleep(0.1)


def test_whoever_takes_a_workers_place_serves_the_same_model(
    start_server: Callable[..., Server], checkpoint_path: Path
) -> None:
    """At once, and though the file was written over since: callers would get answers of one or the other."""
    server = start_server("--workers", "2")
    digest = httpx.get(f"{server.url}/model").json()["digest"]
    checkpoint_path.write_bytes(b"half of another")
    killed = _workers(server)[0]
    os.kill(killed, signal.SIGSTOP)
    time.sleep(1)  # until it is being waited for
    os.kill(killed, signal.SIGKILL)
    _wait_for(lambda: _readies(server) == 3, timeout_s=60)
    for _ in range(6):
        assert httpx.get(f"{server.url}/model").json()["digest"] == digest
    assert httpx.post(f"{server.url}/predict", files={"file": PNG}).status_code == 200
    assert server.stop(signal.SIGTERM) == 0
    died = [json.loads(line) for line in server.lines if "a worker died" in line]
    assert [(line["pid"], line["exit_code"]) for line in died] == [(killed, -signal.SIGKILL)]


def test_a_worker_that_hangs_does_not_keep_a_stop_from_the_others(start_server: Callable[..., Server]) -> None:
    """The first process waits for the answer of the one that hangs, and must hear the signal meanwhile."""
    server = start_server("--workers", "2")
    hanging = _workers(server)[0]
    os.kill(hanging, signal.SIGSTOP)
    time.sleep(2)  # until it is being waited for
    server.process.send_signal(signal.SIGTERM)
    _wait_for(lambda: sum('"stopped"' in line for line in server.lines) == 1, timeout_s=20)
    os.kill(hanging, signal.SIGCONT)
    assert server.stop(signal.SIGTERM) == 0


def test_workers_stop_when_the_first_process_was_killed(start_server: Callable[..., Server]) -> None:
    """Nobody else would tell them, and the port is free for the next start."""
    server = start_server("--workers", "2")
    address = urlsplit(server.url)
    server.process.kill()
    server.process.wait()
    ends_s = time.monotonic() + 30
    while time.monotonic() < ends_s:
        try:
            socket.create_server((address.hostname or "", address.port or 0)).close()
            break
        except OSError:
            time.sleep(0.1)
    else:
        raise AssertionError("the port is still taken")
    server.end()
    assert sum('"stopped"' in line for line in server.lines) == 2


def test_workers_too_end_a_request_that_does_not_arrive(start_server: Callable[..., Server]) -> None:
    """408, and the connection is closed; a plain request is answered as one process answers it."""
    server = start_server("--workers", "2", "--upload-timeout-s", "1")
    plain = httpx.post(f"{server.url}/predict", files={"file": PNG})
    assert (plain.status_code, "server-timing" in plain.headers) == (200, True)
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + PNG[:100])
        answer = b"".join(iter(lambda: slow.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"upload_timeout" in answer
    assert server.stop(signal.SIGTERM) == 0


def test_a_broken_checkpoint_is_told_before_any_worker_starts(checkpoint_path: Path) -> None:
    """Exit code 3 and one sentence, as with one process."""
    checkpoint_path.write_bytes(checkpoint_path.read_bytes()[:-1])
    done = run_app("--port", "0", "--checkpoint", str(checkpoint_path), "--workers", "2")
    assert done.returncode == 3
    assert done.stderr.startswith(f"Error: {checkpoint_path}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--workers", "2", "--admin-key", "0123456789abcdef"), "a reload reaches one process"),
        (("--deadline-ms", "70000"), "deadline_ms is 70000, over max_deadline_ms, 60000"),
        (("--max-queue", "10"), "max_batch_files is 256, over max_queue, 10"),
        (("--admin-key", "short"), "--admin-key is a secret: "),
    ],
)
def test_settings_that_contradict_each_other_are_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    """Exit code 2, what does not agree, and never the key itself."""
    done = run_app(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "short" not in done.stderr.replace("too short", "")
