"""Several processes on one socket: they share the cores, and their numbers add up."""

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from models.cores import usable_cores
from tests.drawing import encode, gradient
from tests.e2e.conftest import Server
from tests.e2e.processes import program, wait_for_line
from tests.e2e.test_serving import run_app

PNG = encode(gradient())


def _total(text: str, counter: str) -> float:
    found = re.findall(rf"^{re.escape(counter)}.* (\S+)$", text, re.MULTILINE)
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
        assert _total(text, 'glimpse_requests_total{route="/predict",status="200"}') == asked
    _wait_for(  # each process tells its own at its next beat
        lambda: _total(httpx.get(f"{server.url}/metrics").text, "glimpse_predictions_total{label=") == asked,
        timeout_s=10,
    )
    memory = re.search(r"^glimpse_resident_memory_bytes (\S+)$", text, re.MULTILINE)
    assert memory
    assert float(memory[1]) > 100e6
    assert server.stop(signal.SIGTERM) == 0
    assert not [line for line in server.lines if "Traceback" in line]
    assert sum('"ready"' in line for line in server.lines) == 2


def _readies(server: Server) -> int:
    return sum('"ready"' in line for line in server.lines)


_QUICK = """
import runpy, sys
import app.served_model

app.served_model.picture_seconds = lambda *_: 0.00001
sys.argv[0] = "app"
runpy.run_module("app", run_name="__main__")
"""
"""A program that finds every network quick: how quick one is cannot be measured on a machine that is busy."""


@pytest.mark.skipif(usable_cores() < 2, reason="a single core has one event loop")
@pytest.mark.parametrize(("more", "workers"), [((), 2), (("--admin-key", "0123456789abcdef"), 1)])
def test_a_quick_network_is_served_by_several_processes(
    checkpoint_path: Path, more: tuple[str, ...], workers: int
) -> None:
    """Unasked, as far as there are cores; a reload would reach one of them, so then there is one."""
    expected = min(4, usable_cores()) if workers > 1 else 1
    options = ["--port", "0", "--checkpoint", str(checkpoint_path), "--engine", "openvino", "--drain-delay-s", "0"]
    with program("-c", _QUICK, *options, *more) as process:
        url = json.loads(wait_for_line(process, '"listening on '))["message"].removeprefix("listening on ")
        for _ in range(expected):
            wait_for_line(process, '"ready"')
        assert httpx.post(f"{url}/predict", files={"file": PNG}).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0
    assert told.count('"stopped"') == expected


_TWO_GPUS = """
import runpy, sys
import torch

torch.cuda.is_available, torch.cuda.device_count = lambda: True, lambda: 2
sys.argv[0] = "app"
runpy.run_module("app", run_name="__main__")
"""
"""A first process that finds two GPUs; its workers, fresh processes, find none."""
_TWO_GPUS_BUT_ON_THE_CPU = (
    """
import app.processes.server as server

server.settings_of_workers = lambda given, *, checkpoint, gpus: given.model_copy(update={"checkpoint": checkpoint})
"""
    + _TWO_GPUS
)
"""The same, whose workers take the CPU."""


def test_each_worker_is_shown_a_gpu_of_its_own(checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that the operator chose; and who takes the place of another is shown the same."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,4")
    options = ["--port", "0", "--checkpoint", str(checkpoint_path), "--engine", "torch", "--drain-delay-s", "0"]
    with program("-c", _TWO_GPUS_BUT_ON_THE_CPU, *options, "--workers", "2") as process:
        for _ in range(2):
            wait_for_line(process, '"ready"')
        before = {_gpu_shown_to(worker): worker for worker in _workers(process.pid)}
        os.kill(before["4"], signal.SIGKILL)
        wait_for_line(process, '"ready"')
        after = {_gpu_shown_to(worker): worker for worker in _workers(process.pid)}
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert set(before) == set(after) == {"4", "6"}
    assert (after["6"] == before["6"], after["4"] == before["4"]) == (True, False)


def test_workers_do_not_answer_from_the_cpu_where_gpus_are_gone(checkpoint_path: Path) -> None:
    """The service ends as one that cannot start, so that whoever watches over it hears of it."""
    options = ["--port", "0", "--checkpoint", str(checkpoint_path), "--engine", "torch", "--workers", "2"]
    with program("-c", _TWO_GPUS, *options) as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "there is no CUDA device here" in told


def _gpu_shown_to(worker: int) -> str:
    variables = Path(f"/proc/{worker}/environ").read_text().split("\0")
    return dict(variable.split("=", 1) for variable in variables if variable)["CUDA_VISIBLE_DEVICES"]


def test_a_stop_leaves_nobody_at_the_door(start_server: Callable[..., Server]) -> None:
    """Callers who come again after `Connection: close` are answered or refused, but not cut off."""
    server = start_server("--workers", "2", "--drain-delay-s", "1")
    faults: list[Exception | int] = []
    warm = threading.Barrier(9)

    def ask() -> None:
        with httpx.Client(base_url=server.url) as client:
            asked = 0
            try:
                while True:
                    status = client.post("/predict", files={"file": PNG}).status_code
                    if status != 200:
                        faults.append(status)
                        return
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
def test_a_stop_of_all_processes_during_the_start(checkpoint_path: Path, told: signal.Signals) -> None:
    """While both workers import, as systemd and a terminal tell it: none hangs, or waits for one that is gone."""
    options = ["--port", "0", "--checkpoint", str(checkpoint_path), "--engine", "torch", "--workers", "2"]
    with program("-m", "app", *options) as process:
        wait_for_line(process, "listening on ")
        _wait_for(lambda: sum(map(_hears_sigterm, _workers(process.pid))) == 2, timeout_s=60)
        os.killpg(process.pid, told)
        _, said = process.communicate(timeout=30)
        assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[told]
        _wait_for(lambda: _living(process.pid) == [], timeout_s=10)
    assert "Traceback" not in said


@contextlib.contextmanager
def _hang_up_means(handler: signal.Handlers) -> Iterator[None]:
    """Start programs with that answer to SIGHUP: what is ignored here is ignored there."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


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
    ("workers", "begins", "start"), [(2, "listening on ", ("-m", "app")), (1, "warms up", ("-c", _SLOW_TO_START))]
)
@pytest.mark.parametrize("by", ["SIGTERM", "SIGHUP"])
def test_what_still_loads_does_not_keep_a_stop_waiting(
    workers: int, begins: str, start: tuple[str, str], by: str, checkpoint_path: Path
) -> None:
    """No process is waited for until it would be ready, and 143 says that nothing was served."""
    options = ["--port", "0", "--checkpoint", str(checkpoint_path), "--workers", str(workers)]
    with _hang_up_means(signal.SIG_DFL), program(*start, *options) as process:
        wait_for_line(process, begins)
        process.send_signal(signal.Signals[by])
        _, told = process.communicate(timeout=30)
        assert process.returncode == 143
    assert told.splitlines()[-1] == f"Stopped by {by} before it served."
    assert "golden answers" not in told


def _living(group: int) -> list[int]:
    """Process ids of a group; who has ended, and was not asked how, is left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = entry.read_text().rpartition(") ")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(entry.parent.name))
    return found


def _workers(first: int) -> list[int]:
    """Process ids, by that of the first process; multiprocessing has a child of its own beside them."""
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def _hears_sigterm(worker: int) -> bool:
    """Whether a worker has come so far that it would end in good order; what it imports comes after that."""
    caught = re.search(r"^SigCgt:\s*(\S+)$", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)
    assert caught
    return bool(int(caught[1], 16) >> signal.SIGTERM - 1 & 1)


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
    killed = _workers(server.process.pid)[0]
    os.kill(killed, signal.SIGSTOP)
    time.sleep(1)  # until it is being waited for
    os.kill(killed, signal.SIGKILL)
    _wait_for(lambda: _readies(server) == 3, timeout_s=60)
    for _ in range(6):
        assert httpx.get(f"{server.url}/model").json()["digest"] == digest
    assert httpx.post(f"{server.url}/predict", files={"file": PNG}).status_code == 200
    assert server.stop(signal.SIGTERM) == 0
    assert [json.loads(line)["digest"] for line in server.lines if '"ready"' in line] == [digest] * 3
    died = [json.loads(line) for line in server.lines if "a worker died" in line]
    assert [(line["pid"], line["exit_code"]) for line in died] == [(killed, -signal.SIGKILL)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_closed_terminal_ends_what_serves(start_server: Callable[..., Server], workers: int) -> None:
    """SIGHUP means what SIGTERM does: every process stops in good order, and the exit code is 0."""
    with _hang_up_means(signal.SIG_DFL):
        server = start_server("--workers", str(workers))
    assert server.stop(signal.SIGHUP) == 0
    assert sum('"stopped"' in line for line in server.lines) == workers
    assert not [line for line in server.lines if "Traceback" in line]


@pytest.mark.parametrize("workers", [1, 2])
def test_under_nohup_a_closed_terminal_changes_nothing(start_server: Callable[..., Server], workers: int) -> None:
    """All processes go on though all of them are told; SIGTERM ends them as ever."""
    with _hang_up_means(signal.SIG_IGN):
        server = start_server("--workers", str(workers))
    os.killpg(server.process.pid, signal.SIGHUP)
    for _ in range(6):
        assert httpx.post(f"{server.url}/predict", files={"file": PNG}).status_code == 200
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert server.stop(signal.SIGTERM) == 0
    assert _readies(server) == sum('"stopped"' in line for line in server.lines) == workers


def test_a_worker_that_hangs_does_not_keep_a_stop_from_the_others(start_server: Callable[..., Server]) -> None:
    """The first process waits for the answer of the one that hangs, and must hear the signal meanwhile."""
    server = start_server("--workers", "2")
    hanging = _workers(server.process.pid)[0]
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

    def is_free() -> bool:
        with contextlib.suppress(OSError), socket.create_server((address.hostname or "", address.port or 0)):
            return True
        return False

    _wait_for(is_free, timeout_s=30)
    _wait_for(lambda: sum('"stopped"' in line for line in server.lines) == 2, timeout_s=30)


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
        (("--deadline-ms", "70000"), "--deadline-ms is 70000, over GLIMPSE_MAX_DEADLINE_MS, 60000"),
        (("--max-queue", "10"), "GLIMPSE_MAX_BATCH_FILES is 256, over --max-queue, 10"),
        (("--admin-key", "short"), "--admin-key is a secret: "),
    ],
)
def test_settings_that_contradict_each_other_are_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    """Exit code 2, what does not agree, and never the key itself."""
    done = run_app(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "short" not in done.stderr.replace("too short", "")
