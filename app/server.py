"""One process that serves a checkpoint until told to stop.

Exit codes: 0 stopped as asked, 2 a wrong option or setting, 3 the start failed, be it a worker's, 4 the device was
lost, 130 Ctrl-C and 143 SIGTERM before it served.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.sharedctypes import Synchronized

import torch
import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors import multiprocess as supervisor

from app import logs
from app.cores import choose_workers, share
from app.errors import ListenError, SettingsError
from app.main import create_app
from app.metrics import FOLDER_VARIABLE
from app.protocol import DeskProtocol
from app.served_model import open_checked, picture_seconds
from app.service import Opened, Service
from app.settings import Settings, read_settings, to_environment
from models.cores import usable_cores
from models.errors import GlimpseError

_DEVICE_LOST = 4
_TOGETHER_S = 60
"""Seconds that a process which is ready waits for the others: the first would get all connections of a burst."""
_GLANCE_S = 0.05
_LOOK_AWAY_S = 1.0
_WORKER_PATIENCE_S = 60
"""Seconds after which uvicorn kills a worker that does not answer it: importing torch alone takes some."""
_BACKLOG = 2048
"""Most connections that may wait to be taken in."""
BEAT_S = 0.05
"""Seconds that the last connections get to bring the request that they were made for."""
_MOST_A_TURN = 256
"""Most connections that are taken in before the event loop does something else."""
_OTHERS_TURN_S = 0.001
"""One of several processes takes in one connection and leaves the next to the others for so long; where it comes
back later, being busy, it takes as many as it would have taken: idle ones share a burst, and busy ones keep up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, serve, drain; every failed start is one sentence on stderr."""
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
    except SettingsError as error:
        return _refuse(error, 2)
    logs.configure(settings.log_level)
    try:
        with _listen(settings) as listener:
            opened = None
            if settings.workers == 0:
                settings, opened = open_to_choose(settings)
            elif settings.workers > 1:  # a wrong checkpoint is told before they start
                open_checked(settings_to_check(settings), threads=usable_cores())
            if settings.workers > 1:
                return _serve_with_workers(settings, listener)
            service = Service(settings, opened=opened)  # not to be freed before the end, see below
            exit_code = serve(service, listener)
    except GlimpseError as error:
        return _refuse(error, STARTUP_FAILURE)
    if exit_code == _DEVICE_LOST:
        # Freeing what is on a lost GPU aborts the process, with another code.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(exit_code)
    return exit_code


def serve(service: Service, listener: socket.socket) -> int:
    """Answer what comes to an address until told to stop, or until the device is lost.

    Args:
        service: that was opened and has not started.
        listener: of the address; it is closed at the end.

    Returns:
        The exit code.
    """
    _say_where(listener)
    config = configure(service.settings, create_app(service.settings, service=service))
    # uvicorn sends itself the signal again after a clean stop; without this the process would die of it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run(sockets=[listener])
    return _DEVICE_LOST if service.is_lost else 0


class Server(uvicorn.Server):
    """Takes in all connections that wait, at every turn of the event loop.

    uvloop takes one a turn, and under overload a turn is long: new callers then waited for six seconds behind old
    ones, and were answered after their deadline (docs/benchmarks.md).

    Args:
        config: how to serve.
        ready: counts the processes that are ready; all of them begin when all are.
    """

    def __init__(self, config: uvicorn.Config, ready: "Synchronized[int] | None" = None) -> None:
        super().__init__(config)
        self._ready = ready
        self._being_connected: set[asyncio.Task[object]] = set()
        self._is_alone = config.workers <= 1
        self._took_s: float | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets)
        # All is answered. Should a thread still run, another signal ends the process without it.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        if self.should_exit:
            return  # it failed
        if self._ready is not None:
            await self._begin_together(self._ready)
        for listener in sockets or []:
            listener.setblocking(False)
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
            self._accept(listener, most=_BACKLOG)  # who still waits when it is closed finds the connection reset
            listener.close()
        await asyncio.gather(*self._being_connected, return_exceptions=True)
        await asyncio.sleep(BEAT_S)
        await super().shutdown(sockets)

    async def _begin_together(self, ready: "Synchronized[int]") -> None:
        with ready.get_lock():
            ready.value += 1
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + _TOGETHER_S
        while ready.value < self.config.workers and not self.should_exit and loop.time() < ends_s:
            await asyncio.sleep(_GLANCE_S)

    def _accept(self, listener: socket.socket, most: int | None = None) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(most or self._share(loop.time())):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                self._took_s = None
                return
            except OSError as error:  # no file descriptor left: look away for a while, or this is all that is done
                logs.SERVICE.error("cannot take a connection", extra={"fields": {"reason": error.strerror}})
                loop.remove_reader(listener)
                loop.call_later(_LOOK_AWAY_S, self._accept_again, listener)
                return
            task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
            self._being_connected.add(task)
            task.add_done_callback(self._being_connected.discard)
        if not self._is_alone:
            self._took_s = loop.time()
            loop.remove_reader(listener)
            loop.call_later(_OTHERS_TURN_S, self._accept_again, listener)

    def _share(self, now_s: float) -> int:
        """Count the connections that this process takes in now."""
        if self._is_alone:
            return _MOST_A_TURN
        if self._took_s is None:
            return 1
        return max(1, min(int((now_s - self._took_s) / _OTHERS_TURN_S), _MOST_A_TURN))

    def _accept_again(self, listener: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _protocol(self) -> asyncio.Protocol:
        return DeskProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def open_to_choose(settings: Settings) -> tuple[Settings, Opened | None]:
    """Open the model as one process would, and choose from its speed how many should serve it.

    Returns:
        Settings with a number of workers, and what was opened for them; None where others will open it.

    Raises:
        GlimpseError: as `open_checked`.
    """
    cores = usable_cores()
    opened = open_checked(settings, threads=share(cores, workers=1).engine)
    seconds = None if settings.admin_key else picture_seconds(*opened)  # a reload reaches one process
    workers = 1 if seconds is None else choose_workers(cores, picture_s=seconds)
    return settings.model_copy(update={"workers": workers}), opened if workers == 1 else None


class Worker(supervisor.Process):
    """One of several processes; it takes connections in as a single one does.

    Attributes:
        ready: counts those that are ready; to be set before any is made.
    """

    ready: "Synchronized[int]"

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._ready = Worker.ready  # its own: what a class knows does not reach a fresh process

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = Server(self.config, self._ready)
        return self._server


class Workers(Multiprocess):
    """Watches over the processes; at a stop the last of them closes the listener, and nobody waits at it then."""

    def terminate_all(self) -> None:
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def _serve_with_workers(settings: Settings, listener: socket.socket) -> int:
    """Let uvicorn watch over several processes on one socket.

    Returns:
        The exit code: uvicorn stops all workers when one of them cannot start.
    """
    logs.SERVICE.info("starting workers", extra={"fields": {"workers": settings.workers}})
    with tempfile.TemporaryDirectory(prefix="glimpse-metrics-") as folder:
        # The workers are fresh processes, and read their settings as `uvicorn --factory` does.
        os.environ |= {FOLDER_VARIABLE: folder, **to_environment(settings)}
        _say_where(listener)
        config = configure(settings, "app.main:from_environment")
        Worker.ready = multiprocessing.get_context("spawn").Value("i", 0)
        supervisor.Process = Worker  # type: ignore[misc]  # what it starts, and starts again
        workers = Workers(config, sockets=[listener])
        with contextlib.suppress(KeyboardInterrupt):
            workers.run()
        has_failed = any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes)
        return STARTUP_FAILURE if has_failed else 0


def settings_to_check(settings: Settings) -> Settings:
    """Choose settings with which the first of several processes checks the checkpoint: never with CUDA.

    That process answers nothing, but would keep some hundred megabytes of the GPU as long as its workers live.
    Settings that are refused without a GPU stay as they are, and are refused.
    """
    if settings.device == "cpu" or settings.engine == "openvino" or not torch.cuda.is_available():
        return settings
    return settings.model_copy(update={"device": "cpu", "engine": "torch"})


def configure(settings: Settings, app: FastAPI | str) -> uvicorn.Config:
    """Say to uvicorn how to serve an application.

    Args:
        settings: of the process.
        app: the application; or the name of what makes it, for workers.
    """
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        http="app.protocol:DeskProtocol",  # its name: workers unpickle this before they answer their first ping
        timeout_worker_healthcheck=_WORKER_PATIENCE_S,
        timeout_keep_alive=settings.keep_alive_s,
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )


def _say_where(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    logs.SERVICE.info(f"serving on http://{f'[{host}]' if ':' in host else host}:{port}")


def _listen(settings: Settings) -> socket.socket:
    """Take the address before the checkpoint is read: a taken port is the commonest failed start."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ListenError(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. Stop what listens "
            "there, or choose another --host or --port."
        ) from error


def _refuse(error: GlimpseError, exit_code: int) -> int:
    sys.stderr.write(f"Error: {error}\n")
    return exit_code
