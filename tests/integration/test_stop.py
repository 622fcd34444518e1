"""How the application is told to stop, and what it does until it has stopped."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TypeVar

import httpx
import pytest
import torch

import app
from app.__main__ import LAST_THREADS_S
from app.engines import Engine
from app.errors import EngineLostError
from app.main import create_app
from app.processes import server
from app.processes.accepting import LAST_REQUESTS_S, Server
from app.processes.server import configure, serve
from app.served_model import ServedModel
from app.service import Service
from app.settings import Settings
from app.threads import LAST_WORK_S
from models.checkpoint import Checkpoint, load
from tests.drawing import encode, gradient
from tests.integration.test_service import ScriptedEngine
from tests.unit.app.lanes import FAR, Log
from tests.unit.app.loops import turns

PNG = encode(gradient())
T = TypeVar("T")


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The signals that reached the server's own handler, in whose place the test stands."""
    signals: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        signals.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield signals
    for number, handler in before.items():
        signal.signal(number, handler)


def scripted(settings: Settings) -> tuple[Service, ScriptedEngine]:
    """A service that has not started, and the engine that it runs."""
    checkpoint = load(settings.checkpoint)
    engine = ScriptedEngine(checkpoint)

    def open_model(settings: Settings, *, threads: int) -> tuple[Checkpoint, ScriptedEngine]:
        return checkpoint, engine

    return Service(settings, open_model), engine


def test_a_sigterm_that_is_repeated_at_once_is_an_echo(
    settings: Settings, told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor tells every process, and the first one tells the others again; the delay is kept."""
    patient = settings.model_copy(update={"drain_delay_s": 600})

    async def run() -> None:
        service = Service(patient)
        app = create_app(patient, service=service)
        async with app.router.lifespan_context(app), asyncio.timeout(60):
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            for later_s, obeyed in ((0.0, []), (0.5, []), (2.0, [signal.SIGTERM])):
                monkeypatch.setattr(loop, "time", lambda moment_s=began_s + later_s: moment_s)
                signal.raise_signal(signal.SIGTERM)
                await turns()
                assert service.is_draining
                assert told == obeyed
            monkeypatch.undo()

    asyncio.run(run())


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_closed_terminal_means_what_sigterm_does(
    settings: Settings, told: list[int], handler: signal.Handlers
) -> None:
    """Requests are answered before the end; under nohup, which ignores it, nothing happens."""
    signal.signal(signal.SIGHUP, handler)
    settings = settings.model_copy(update={"drain_delay_s": 0})

    async def run() -> None:
        service, _ = scripted(settings)
        app = create_app(settings, service=service)
        async with app.router.lifespan_context(app):
            signal.raise_signal(signal.SIGHUP)
            await turns()
            assert service.is_draining == (handler is signal.SIG_DFL)
            assert told == ([signal.SIGTERM] if handler is signal.SIG_DFL else [])
        assert signal.getsignal(signal.SIGHUP) is handler

    asyncio.run(run())


def test_who_is_cut_off_after_ctrl_c_hears_503(settings: Settings, told: list[int]) -> None:
    """Behind the framework as at the desk; the server obeys Ctrl-C at once, and cancels what is left of it."""

    async def run() -> None:
        servers_own = signal.getsignal(signal.SIGINT)
        service, engine = scripted(settings)
        app = create_app(settings, service=service)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://glimpse") as client,
            asyncio.timeout(60),
        ):
            engine.hang()
            cut_off = asyncio.create_task(client.post("/predict", content=PNG))
            while not service.admission.pictures:
                await asyncio.sleep(0)
            signal.raise_signal(signal.SIGINT)
            await turns()
            assert told == [signal.SIGINT]
            ready = await client.get("/health/ready")
            assert (ready.status_code, ready.headers["connection"]) == (503, "close")
            cut_off.cancel()
            await asyncio.wait([cut_off])
            engine.go_on()
        assert signal.getsignal(signal.SIGINT) == servers_own
        answer = cut_off.result()
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")

    asyncio.run(run())


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_ctrl_c_that_no_server_obeys_changes_nothing(settings: Settings, handler: signal.Handlers) -> None:
    """Whoever runs us has a reason to ignore it."""

    async def run() -> None:
        service, _ = scripted(settings)
        app = create_app(settings, service=service)
        async with app.router.lifespan_context(app):
            assert signal.getsignal(signal.SIGINT) == handler

    before = signal.signal(signal.SIGINT, handler)
    try:
        asyncio.run(run())
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_server_that_gave_up_has_taken_away_stays_away(settings: Settings) -> None:
    """uvicorn, told twice, leaves us without an end of our lifespan; its handlers must not come back after it."""

    async def run() -> None:
        service, _ = scripted(settings)
        app = create_app(settings, service=service)
        async with app.router.lifespan_context(app):
            for number in before:
                signal.signal(number, signal.SIG_DFL)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        asyncio.run(run())
        assert {signal.getsignal(number) for number in before} == {signal.SIG_DFL}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask_or_end(service: Service, ask: Callable[[int], T], port: int) -> T:
    """Ask a server that only its lost engine ends; where asking fails nobody else would end it."""
    try:
        return ask(port)
    except BaseException:
        loop = service.model.batcher._loop
        assert loop
        loop.call_soon_threadsafe(service.lost.set)
        raise


def test_a_lost_device_ends_the_process(
    settings: Settings, told: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asked hears that the engine failed; then a sentence, and an exit code for the supervisor."""
    service, engine = scripted(settings)

    def ask(port: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/health/ready")
        connection.getresponse().read()
        engine.script = [EngineLostError("gone")] * 1_000
        connection.request("POST", "/predict", PNG)
        status = connection.getresponse().status
        connection.close()
        return status

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(_ask_or_end, service, ask, listener.getsockname()[1])
        exit_code = serve(service, listener)
        assert asked.result() == 500
        assert exit_code == 4
    assert "the device, or a thread that runs it, is lost" in caplog.text
    assert told == []


def test_an_engine_that_hangs_ends_the_process(
    settings: Settings, told: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No answer of the device says that it is lost: a run that does not come back does."""
    monkeypatch.setattr("app.opening.longest_run_s", lambda **_: 0.2)
    service, engine = scripted(settings)

    def ask(port: int) -> tuple[int, int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/health/live")
        live = connection.getresponse()
        live.read()
        engine.hang()
        connection.request("POST", "/predict", PNG)
        answer = connection.getresponse()
        assert json.loads(answer.read())["code"] == "engine_failed"
        connection.close()
        return live.status, answer.status

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(_ask_or_end, service, ask, listener.getsockname()[1])
        exit_code = serve(service, listener)
        engine.go_on()
        assert asked.result() == (200, 500)
        assert exit_code == 4
    assert "a run of the engine does not come back" in caplog.text
    assert "is lost or hangs, and only a new process has it back" in caplog.text
    assert told == []


@pytest.mark.parametrize(
    ("exit_code", "is_lost", "at_once"), [(4, True, [4]), (3, True, [3]), (0, False, []), (3, False, [])]
)
@pytest.mark.usefixtures("_logging_as_before")
def test_what_is_on_a_lost_device_is_not_freed(
    exit_code: int, is_lost: bool, at_once: list[int], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA would abort the process for it, and its code be another: it ends while the engine still lives."""
    engines: list[weakref.ref[Engine]] = []
    codes: list[int] = []

    def serve(service: Service, _: socket.socket) -> int:
        engines.append(weakref.ref(service.model.engine))
        return exit_code

    def leave(code: int) -> None:
        assert engines[0]() is not None
        codes.append(code)

    monkeypatch.setattr(server, "serve", serve)
    monkeypatch.setattr(Service, "is_lost", is_lost)
    monkeypatch.setattr(os, "_exit", leave)
    options = ["--checkpoint", str(settings.checkpoint), "--port", "0", "--engine", "torch", "--device", "cpu"]
    assert server.main(options) == exit_code
    assert codes == at_once


_LOSE_THE_DEVICE = """
import sys, threading, time, urllib.error, urllib.request
import torch
from app.processes.server import main

def is_ready():
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[2]}/health/ready").status == 200
    except (urllib.error.URLError, ConnectionError):
        return False

def lose():
    while not is_ready():
        time.sleep(0.1)
    torch.zeros(1, device="cuda")[torch.tensor([5], device="cuda")]  # an assertion of the kernel

threading.Thread(target=lose, daemon=True).start()
checkpoint, port = sys.argv[1:]
sys.exit(main(["--checkpoint", checkpoint, "--port", port, "--device", "cuda", "--golden-interval-s", "1"]))
"""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_cuda_a_device_that_is_really_lost_ends_the_process(checkpoint_path: Path) -> None:
    """After a failed assertion on it every call fails; the golden pictures find out, nobody need ask."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-c", _LOSE_THE_DEVICE, str(checkpoint_path), str(port)],
        cwd=Path(app.__file__).parents[1],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "the device, or a thread that runs it, is lost" in done.stderr


def test_who_has_just_connected_at_the_end_of_a_drain_is_answered(settings: Settings) -> None:
    """Nobody has taken the connection in when the address is closed; its request is there already."""

    async def run(listener: socket.socket) -> None:
        service, _ = scripted(settings)
        server = Server(configure(settings, create_app(settings, service=service)))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[listener])
        with socket.create_connection(listener.getsockname(), timeout=30) as caller:
            service.drain()
            caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            await server.shutdown(sockets=[listener])
            answer = b"".join(iter(lambda: caller.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(run(listener))


def test_whose_answer_does_not_come_before_the_end_of_a_stop_hears_503(settings: Settings) -> None:
    """From the desk, over its connection: the engine hangs, and the server's time for what is in work is over."""
    settings = settings.model_copy(update={"drain_timeout_s": 1})

    async def run(listener: socket.socket) -> bytes:
        service, engine = scripted(settings)
        server = Server(configure(settings, create_app(settings, service=service)))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.lifespan.startup()
        await server.startup(sockets=[listener])
        engine.hang()
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PNG)}\r\n\r\n"
            writer.write(head.encode() + PNG)
            while not service.admission._pictures:
                await asyncio.sleep(0.001)
            service.drain()
            await server.shutdown(sockets=[listener])
            return await reader.read()
        finally:
            engine.go_on()
            writer.close()

    async def bounded(listener: socket.socket) -> bytes:
        async with asyncio.timeout(60):
            return await run(listener)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        head, _, body = asyncio.run(bounded(listener)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nconnection: close" in head
    assert json.loads(body)["code"] == "not_ready"


def test_what_hangs_does_not_keep_a_stop(settings: Settings) -> None:
    """The engine, a decoder, an explanation, the lab: all of them get a moment, and none gets more."""
    gate = threading.Event()

    async def run() -> None:
        service, engine = scripted(settings)
        app = create_app(settings, service=service)
        try:
            async with asyncio.timeout(20), app.router.lifespan_context(app):
                for pool in (service._decoders._threads, service.explainer._thread, app.state.lab.turns._thread):
                    pool.submit(gate.wait)
                engine.hang()
                service.model.batcher.submit(service.model.checkpoint.golden_images[0], deadline_s=FAR)
        finally:
            gate.set()
            engine.go_on()

    asyncio.run(run())


def test_a_model_that_is_in_use_and_hangs_is_retired_in_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for its requests and the wait for its engine are one wait, and not one after the other."""

    async def run() -> None:
        checkpoint = load(settings.checkpoint)
        engine = ScriptedEngine(checkpoint)
        model = ServedModel(checkpoint, engine, max_queue=1, retry_after_s=lambda: 1, cores=2, events=Log())
        await model.start()
        engine.hang()
        loop = asyncio.get_running_loop()
        with model.in_use():
            model.batcher.submit(checkpoint.golden_images[0], deadline_s=FAR)
            began_s = loop.time()
            for passed_s, is_over in ((0.0, False), (4.9, False), (5.1, True)):
                monkeypatch.setattr(loop, "time", lambda moment_s=began_s + passed_s: moment_s)
                if passed_s == 0:
                    retiring = asyncio.create_task(model.retire(timeout_s=5))
                await turns()
                assert retiring.done() == is_over
        monkeypatch.undo()
        engine.go_on()

    asyncio.run(run())


def test_a_stop_by_default_is_over_before_docker_kills() -> None:
    """Its parts have limits that are under 10 s together, whatever hangs; two of uvicorn's take 0.1 s each."""
    settings = Settings()
    parts_s = (
        settings.drain_delay_s,
        settings.drain_timeout_s,
        LAST_WORK_S,
        LAST_THREADS_S,
        LAST_REQUESTS_S,
        0.1,
        0.1,
    )
    assert sum(parts_s) < 10
