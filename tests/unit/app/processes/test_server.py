"""What the start decides before it serves; starts themselves are in tests/e2e."""

import asyncio
import contextlib
import errno
import multiprocessing
import os
import signal
import socket
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from app.errors import ListenError
from app.processes.accepting import _LOOK_AWAY_S, Server
from app.processes.server import _listen, _prepare, main, open_to_choose, settings_of_workers, settings_to_check
from app.processes.verdicts import Verdicts
from app.settings import Settings
from tests.unit.app.loops import stopped_clock, turns, with_loop


def test_an_address_that_cannot_be_had_is_told_in_the_systems_words() -> None:
    """Once, and without what Python adds to it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ListenError, match=rf"^Cannot listen on 127\.0\.0\.1 port {port}: Address already in use\. Stop"
        ):
            _listen(Settings.model_validate({"port": port}))
    with pytest.raises(
        ListenError, match=r"^Cannot listen on no\.such\.invalid port 0: (?!Unknown)[A-Z][a-z ]+\. Choose"
    ):
        _listen(Settings.model_validate({"host": "no.such.invalid", "port": 0}))
    with pytest.raises(ListenError, match=r"^Cannot listen on 192\.0\.2\.1 .*\. No interface of this machine has"):
        _listen(Settings.model_validate({"host": "192.0.2.1", "port": 0}))  # of the examples of RFC 5737
    with pytest.raises(ListenError, match=r"^Cannot listen on ä\.\.b: no host can have that name\."):
        _listen(Settings.model_validate({"host": "ä..b", "port": 0}))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_all_addresses_are_those_of_both_kinds() -> None:
    """The image's own health check asks 127.0.0.1, whatever else is listened to."""
    with _listen(Settings.model_validate({"host": "::", "port": 0})) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=10).close()


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize(
    ("device", "engine", "goes_to_cuda"),
    [
        ("auto", "auto", True),
        ("auto", "torch", True),
        ("cuda", "torch", True),
        ("cuda", "openvino", False),
        ("auto", "openvino", False),
        ("cpu", "auto", False),
    ],
)
def test_the_parent_of_workers_opens_no_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, engine: str, goes_to_cuda: bool, is_there: bool
) -> None:
    """It checks on the CPU what they will run on CUDA; what they would refuse it refuses."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    settings = Settings.model_validate({"device": device, "engine": engine})
    checked = settings_to_check(settings)
    expected = ("cpu", "torch") if goes_to_cuda and is_there else (device, engine)
    assert (checked.device, checked.engine) == expected
    assert checked.checkpoint == settings.checkpoint


@pytest.mark.parametrize(("gpus", "device"), [(["0", "1"], "cuda"), (["1"], "cuda"), ([], "auto")])
def test_workers_that_share_out_gpus_serve_on_nothing_else(gpus: list[str], device: str) -> None:
    """One whose GPU is gone does not start, instead of answering from the CPU beside the others."""
    settings = settings_of_workers(Settings(workers=2), checkpoint=Path("copy.safetensors"), gpus=gpus)
    assert (settings.device, settings.checkpoint, settings.workers) == (device, Path("copy.safetensors"), 2)


@pytest.mark.parametrize(
    ("gpus", "workers", "device", "idle"),
    [
        (4, 1, "auto", True),
        (4, 2, "cuda", True),
        (2, 2, "auto", False),
        (1, 1, "auto", False),
        (4, 1, "cpu", False),
    ],
)
def test_gpus_that_nobody_would_use_are_told(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    gpus: int,
    workers: int,
    device: str,
    idle: bool,
) -> None:
    """In silence seven of eight would be paid for and do nothing."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    opened = SimpleNamespace(digest="sha256:x"), SimpleNamespace()
    monkeypatch.setattr("app.processes.server.open_checked", lambda *_, **__: opened)
    monkeypatch.setattr("app.processes.server.Service", lambda *_, **__: None)
    _prepare(Settings.model_validate({"workers": workers, "device": device}))
    lines = [vars(line)["fields"] for line in caplog.records if line.getMessage().startswith("GPUs are left idle")]
    assert lines == ([{"gpus": gpus, "workers": workers}] if idle else [])


@pytest.mark.parametrize(
    ("picture_s", "admin_key", "workers"),
    [(0.0001, None, 2), (0.001, None, 1), (None, None, 1), (0.0001, "0123456789abcdef", 1)],
)
def test_the_models_speed_chooses_the_workers(
    monkeypatch: pytest.MonkeyPatch, picture_s: float | None, admin_key: str | None, workers: int
) -> None:
    """One process is enough for a slow network, and always for reloads, which reach no other."""
    opened: Any = (SimpleNamespace(), SimpleNamespace())
    threads_given: list[int] = []

    def open_checked(settings: Settings, *, threads: int) -> Any:
        threads_given.append(threads)
        return opened

    monkeypatch.setattr("app.processes.server.open_checked", open_checked)
    monkeypatch.setattr("app.processes.server.picture_seconds", lambda *_: picture_s)
    monkeypatch.setattr("app.processes.server.usable_cores", lambda: 2)
    chosen, kept = open_to_choose(Settings.model_validate({"admin_key": admin_key, "checkpoint": Path("x")}))
    assert (chosen.workers, chosen.checkpoint) == (workers, Path("x"))
    assert kept is opened
    assert threads_given == [1]


class Taking(Server):
    """Counts the connections that it takes in, and answers nobody."""

    def __init__(self, *, workers: int, ready: Any = None, verdicts: Verdicts | None = None) -> None:
        async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
            """Nobody calls it."""

        super().__init__(
            uvicorn.Config(nothing, workers=workers, lifespan="off", log_config=None), ready, verdicts=verdicts
        )
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        self.taken = 0

    def _protocol(self) -> asyncio.Protocol:
        self.taken += 1
        return asyncio.Protocol()


@pytest.mark.parametrize(
    ("by", "code", "name"), [("SIGTERM", 143, "SIGTERM"), ("SIGHUP", 143, "SIGHUP"), ("SIGINT", 130, "Ctrl-C")]
)
@pytest.mark.parametrize(("workers", "is_started"), [(2, False), (2, True), (1, False), (1, True)])
def test_a_process_that_still_warms_up_ends_when_it_is_told(
    monkeypatch: pytest.MonkeyPatch, workers: int, is_started: bool, by: str, code: int, name: str
) -> None:
    """It would go on to serve nobody; one that serves ends in good order. One of several says nothing."""
    codes: list[int] = []
    told: list[str] = []
    monkeypatch.setattr("app.processes.accepting.os", SimpleNamespace(_exit=codes.append))
    stderr = SimpleNamespace(write=lambda _, words: told.append(words.decode()))
    monkeypatch.setattr("app.ending.os", stderr)
    server = Taking(workers=workers)
    server.started = is_started
    server.handle_exit(signal.Signals[by], sys._getframe())
    assert codes == ([] if is_started else [code])
    assert told == ([f"Stopped by {name} before it served.\n"] if workers == 1 and not is_started else [])
    assert server.should_exit


@pytest.mark.parametrize(
    ("is_started", "is_lost", "codes", "raised"),
    [(True, True, [4], []), (True, False, [], [signal.SIGTERM]), (False, True, [], [signal.SIGTERM])],
)
def test_one_of_several_whose_engine_is_lost_ends_with_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, is_started: bool, is_lost: bool, codes: list[int], raised: list[int]
) -> None:
    """The log of the first process would tell of a SIGTERM that nobody sent; any other stop is one, as ever."""
    left: list[int] = []
    again: list[int] = []

    def leave(code: int) -> None:
        left.append(code)
        raise SystemExit

    monkeypatch.setattr("app.processes.accepting.os._exit", leave)
    monkeypatch.setattr("app.processes.accepting.signal.raise_signal", again.append)
    server = Taking(workers=2)
    server.started = is_started
    server.lifespan.state["desk"] = SimpleNamespace(is_lost=is_lost)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.suppress(SystemExit):
            server._end_one_of_several(signal.SIGTERM, None)
        assert (left, again) == (codes, raised)
        assert (signal.getsignal(signal.SIGTERM) == signal.SIG_DFL) or codes
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_start_that_fails_is_an_exit_code_and_no_exception(
    monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    """What has to be done at the end of a process is done then, too: nothing is freed on a lost device."""

    class Failing:
        """Uvicorn's, whose application does not start."""

        def __init__(self, _config: object) -> None:
            """Nothing."""

        def run(self, sockets: list[socket.socket]) -> None:
            assert sockets
            sys.exit(STARTUP_FAILURE)

    left: list[int] = []
    monkeypatch.setattr("app.processes.server.Server", Failing)
    monkeypatch.setattr("app.processes.server.configure", lambda *_: None)
    monkeypatch.setattr("app.processes.server.create_app", lambda *_, **__: None)
    monkeypatch.setattr(
        "app.processes.server.Service",
        lambda settings, **_: SimpleNamespace(settings=settings, is_lost=is_lost),
    )
    monkeypatch.setattr("app.processes.server.os._exit", left.append)
    assert main(["--port", "0", "--workers", "1"]) == STARTUP_FAILURE
    assert left == ([STARTUP_FAILURE] if is_lost else [])


@pytest.mark.parametrize(("workers", "at_once", "later"), [(1, 8, 8), (2, 1, 8)])
def test_one_of_several_processes_leaves_connections_to_the_others(workers: int, at_once: int, later: int) -> None:
    """One at a time while it is idle; when it comes back from some work it takes what has gathered."""

    async def check() -> None:
        server = Taking(workers=workers)
        with ExitStack() as callers, socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            for _ in range(8):
                callers.enter_context(socket.create_connection(listener.getsockname()))
            with stopped_clock() as put_forward:
                await server.startup([listener])
                await turns()
                assert server.taken == at_once
                put_forward(0.9)  # the event loop was busy: none of its turns came
                await turns()
                assert server.taken == later
            server.should_exit = True
            await server.shutdown([listener])

    with_loop(check())


def test_an_idle_process_has_no_claim_on_a_burst() -> None:
    """However long ago its last connection came."""

    async def check() -> None:
        server = Taking(workers=2)
        with ExitStack() as callers, socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            with stopped_clock() as put_forward:
                await server.startup([listener])
                callers.enter_context(socket.create_connection(listener.getsockname()))
                await turns()
                assert server.taken == 1
                put_forward(0.5)
                await turns()
                for _ in range(20):
                    callers.enter_context(socket.create_connection(listener.getsockname()))
                await turns()
                assert server.taken == 2
            server.should_exit = True
            await server.shutdown([listener])

    with_loop(check())


def test_processes_begin_together() -> None:
    """A connection waits until all are ready; who is started again later finds that they were."""

    async def check() -> None:
        ready: Any = multiprocessing.get_context("spawn").Value("i", 0)
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()),
        ):
            first, second, again = (Taking(workers=2, ready=ready) for _ in range(3))
            starting = asyncio.create_task(first.startup([listener]))
            await asyncio.sleep(0.2)
            assert (starting.done(), first.taken) == (False, 0)
            await second.startup([])
            await starting
            await turns()
            assert first.taken == 1
            await again.startup([])
            first.should_exit = True
            await first.shutdown([listener])

    with_loop(check())


def test_a_stop_does_not_wait_for_processes_that_never_came() -> None:
    """SIGTERM while the others still start."""

    async def check() -> None:
        server = Taking(workers=2, ready=multiprocessing.get_context("spawn").Value("i", 0))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            starting = asyncio.create_task(server.startup([listener]))
            await asyncio.sleep(0.01)
            server.should_exit = True
            await starting
            await server.shutdown([listener])

    with_loop(check())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_during_the_start_ends_it(workers: int) -> None:
    """Though the listener was never listened to: taking in who waits must not wait for somebody."""

    async def check() -> None:
        server = Taking(workers=workers)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server.should_exit = True
            await server.startup([listener])
            await server.shutdown([listener])

    with_loop(check())


def test_processes_do_not_wait_for_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while those that are ready begin without it."""
    monkeypatch.setattr("app.processes.accepting._TOGETHER_S", 0.1)

    async def check() -> None:
        ready: Any = multiprocessing.get_context("spawn").Value("i", 0)
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()),
        ):
            server = Taking(workers=2, ready=ready)
            async with asyncio.timeout(10):
                await server.startup([listener])
                while not server.taken:
                    await asyncio.sleep(0.01)
            server.should_exit = True
            await server.shutdown([listener])

    with_loop(check())


@pytest.mark.parametrize(("workers", "is_lost", "taken"), [(1, True, 3), (2, False, 3), (2, True, 0)])
def test_a_process_that_can_answer_nothing_leaves_those_who_wait_to_the_others(
    workers: int, is_lost: bool, taken: int
) -> None:
    """A single one has nobody who would answer them; and when all stop, those who wait would be reset."""

    async def check() -> None:
        server = Taking(workers=workers)
        server.lifespan.state["desk"] = SimpleNamespace(is_lost=is_lost)
        server.should_exit = True
        with ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            await server.startup([listener])
            for _ in range(3):
                stack.enter_context(socket.create_connection(listener.getsockname()))
            await server.shutdown([listener])
        assert server.taken == taken

    with_loop(check())


def test_a_process_that_answers_wrongly_leaves_new_connections_to_those_that_do_not() -> None:
    """While another one is right; where none is, each says so to whoever comes, and so does one that is mended."""

    async def check() -> None:
        verdicts = Verdicts(clock=partial(float, 5.0))  # it stands: what was said is fresh, however slow this is
        server = Taking(workers=2, verdicts=verdicts)
        desk = server.lifespan.state["desk"] = SimpleNamespace(is_lost=False, is_right=False)
        with ExitStack() as callers, socket.create_server(("127.0.0.1", 0)) as listener:
            with stopped_clock() as put_forward:
                await server.startup([listener])
                for is_right, is_another_right, taken in (
                    (True, True, 2),
                    (False, True, 2),
                    (False, False, 6),
                    (False, True, 6),
                    (True, True, 10),
                ):
                    desk.is_right = is_right
                    for _ in range(2):
                        callers.enter_context(socket.create_connection(listener.getsockname()))
                    for _ in range(3):  # it takes one, and later the rest
                        verdicts.tell(1, is_right=is_another_right)
                        await turns()
                        put_forward(_LOOK_AWAY_S)
                    await turns()
                    assert server.taken == taken
            server.should_exit = True
            await server.shutdown([listener])

    with_loop(check())


def test_a_process_says_again_and_again_whether_it_is_right() -> None:
    """At every tick of the server, once it has a desk; and one that is wrong hears of the others."""

    async def check() -> None:
        verdicts = Verdicts(clock=partial(float, 5.0))  # it stands: what was said is fresh, however slow this is
        server = Taking(workers=2, verdicts=verdicts)
        await server.on_tick(1)
        assert not verdicts.is_another_right(1)
        heard: list[dict[str, bool]] = []
        for is_right, is_another_right in ((True, True), (False, True), (False, False)):
            server.lifespan.state["desk"] = SimpleNamespace(
                is_right=is_right, hear_of_others=lambda **told: heard.append(told)
            )
            verdicts.tell(1, is_right=is_another_right)
            await server.on_tick(1)
            assert verdicts.is_another_right(1) == is_right
        assert [told["is_another_right"] for told in heard] == [False, True, False]

    with_loop(check())


@pytest.mark.parametrize("workers", [1, 2])
def test_without_a_file_descriptor_it_looks_away_for_a_while(
    caplog: pytest.LogCaptureFixture, workers: int
) -> None:
    """One line in the log, no turns of the loop that do nothing else, and who waits is taken in later."""

    class Listener(socket.socket):
        """Of a process that has no descriptor left, the first time."""

        asked = 0

        def accept(self) -> tuple[socket.socket, Any]:
            """Fail once."""
            self.asked += 1
            if self.asked == 1:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    async def check() -> None:
        server = Taking(workers=workers)
        with Listener() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            with socket.create_connection(listener.getsockname()), stopped_clock() as put_forward:
                await server.startup([listener])
                await turns()
                assert (server.taken, listener.asked) == (0, 1)
                put_forward(_LOOK_AWAY_S)
                await turns()
                assert server.taken == 1
            server.should_exit = True
            await server.shutdown([listener])

    with_loop(check())
    assert [record.getMessage() for record in caplog.records] == ["cannot take a connection"]
