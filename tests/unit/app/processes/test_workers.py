"""The first process asks the others whether they answer."""

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from app.processes.verdicts import Verdicts
from app.processes.workers import Worker


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Put something in, and a signal has come."""
    come: list[bool] = []
    monkeypatch.setattr("app.processes.workers._GLANCE_S", 0.01)
    monkeypatch.setattr(Worker, "ready", multiprocessing.get_context("spawn").Value("i", 0), raising=False)
    monkeypatch.setattr(Worker, "has_signal", lambda: bool(come), raising=False)
    monkeypatch.setattr(Worker, "verdicts", Verdicts(), raising=False)
    monkeypatch.setattr(Worker, "taken", set())
    return come


@pytest.fixture
def process() -> tuple[Connection, Connection]:
    """Close the second, and the process is dead: the first becomes readable, as its sentinel does."""
    return multiprocessing.Pipe(duplex=False)


@pytest.fixture
def worker(signals: list[bool], process: tuple[Connection, Connection]) -> Worker:
    """One whose pings nobody answers but a test."""
    worker = _made()
    worker.process = SimpleNamespace(sentinel=process[0], is_alive=lambda: False)  # type: ignore[assignment]  # for a process
    return worker


def _made() -> Worker:
    async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
        """Nobody calls it."""

    return Worker(uvicorn.Config(nothing, log_config=None), [])


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("ends", ["kill", "terminate"])
def test_who_takes_the_place_of_another_takes_its_gpu(monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    """Whichever has died: else one GPU would get two processes, and another none."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(Worker, "gpus", ["5", "7"])
    monkeypatch.setattr("os.kill", lambda *_: None)
    seen: list[str | None] = []

    def started() -> Worker:
        worker = _made()
        worker.process = SimpleNamespace(  # type: ignore[assignment]  # for a process
            start=lambda: seen.append(os.environ.get("CUDA_VISIBLE_DEVICES")),
            pid=7,
            exitcode=None,
            join=lambda _: None,
            kill=lambda: None,
        )
        worker.start()
        return worker

    workers = [started() for _ in range(4)]
    getattr(workers[2], ends)()
    getattr(workers[1], ends)()
    started()
    started()
    assert seen == ["5", "7", "5", "7", "7", "5"]
    assert [worker._slot for worker in workers] == [0, 1, 2, 3]


def test_each_ping_waits_for_its_own_answer(worker: Worker) -> None:
    """One that comes late does not speak for the next."""
    assert not worker.ping(timeout=0.05)
    worker.pong()
    assert not worker.ping(timeout=0.05)
    worker.pong()
    worker.child_conn.send(True)
    assert worker.ping(timeout=60)


def test_a_signal_is_not_kept_waiting(worker: Worker, signals: list[bool]) -> None:
    """And what a worker answers later, to a ping that was left, does not speak for the next one."""
    signals.append(True)
    assert worker.ping(timeout=60)
    signals.clear()
    worker.pong()
    assert not worker.ping(timeout=0.05)


def test_nobody_waits_for_the_answer_of_a_dead_worker(
    worker: Worker, process: tuple[Connection, Connection]
) -> None:
    """It was killed after the ping: another takes its place at once, and not after a minute."""
    process[1].close()
    began_s = time.monotonic()
    assert not worker.ping(timeout=60)
    assert time.monotonic() - began_s < 30


@pytest.mark.parametrize(
    ("exit_code", "told"), [(None, "a worker hangs, and is killed"), (-signal.SIGSEGV, "a worker died")]
)
def test_the_log_says_why_a_worker_is_replaced(
    worker: Worker, caplog: pytest.LogCaptureFixture, exit_code: int | None, told: str
) -> None:
    """Whether it was dead or did not answer; it is killed in any case, and its pipe closed."""
    killed: list[int] = []
    worker.process = SimpleNamespace(  # type: ignore[assignment]  # for a process
        pid=7, exitcode=exit_code, join=lambda _: None, kill=lambda: killed.append(7)
    )
    worker.kill()
    (line,) = caplog.records
    assert (line.getMessage(), line.levelname) == (told, "ERROR")
    assert vars(line)["fields"] == {"pid": 7, "exit_code": exit_code}
    assert killed == [7]
    assert worker.parent_conn.closed


def test_nobody_is_replaced_after_a_signal(worker: Worker, signals: list[bool]) -> None:
    """All have heard it, where a terminal or systemd told them: they end, and are not to be started again."""
    assert not worker.is_alive(timeout=0.05)
    signals.append(True)
    assert worker.is_alive(timeout=0.05)
