"""One process that serves a checkpoint until told to stop.

Exit codes: 0 stopped as asked, 2 a wrong option or setting, 3 the start failed, be it a worker's, 4 the device or
a thread of the engine was lost, 130 Ctrl-C and 143 SIGTERM or SIGHUP before it served.
"""

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from app import logs
from app.ending import exit_code_of, flush_streams, refuse, say_stopped_early
from app.engines import takes_cuda
from app.errors import ListenError, SettingsError
from app.main import create_app
from app.metrics import FOLDER_VARIABLE
from app.opening import Opened
from app.processes.accepting import BACKLOG, DEVICE_LOST, Server
from app.processes.cores import choose_workers, share
from app.processes.gpus import names_of
from app.processes.shared_folder import copy_checked, shared_folder
from app.processes.workers import Workers
from app.served_model import open_checked, picture_seconds
from app.service import Service
from app.settings import Settings, read_settings, to_environment
from models.cores import usable_cores
from models.errors import GlimpseError

_ADVICE = {
    errno.EADDRINUSE: "Stop what listens there, or choose another --host or --port.",
    errno.EADDRNOTAVAIL: "No interface of this machine has that address. Choose another --host; 0.0.0.0 is all.",
}
_WORKER_PATIENCE_S = 60
"""Seconds after which uvicorn kills a worker that does not answer it: importing torch alone takes some."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, serve, drain; every failed start is one sentence on stderr."""
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
    except SettingsError as error:
        return refuse(str(error), 2)
    logs.configure(settings.log_level)
    try:
        with _listen(settings) as listener:
            settings, digest, service = _prepare(settings)
            if service is None:
                return _serve_with_workers(settings, listener, digest=digest)
            exit_code = serve(service, listener)
    except GlimpseError as error:
        return refuse(str(error), STARTUP_FAILURE)
    if service.is_lost:
        # Freeing what is on a lost GPU aborts the process, with another code.
        flush_streams()
        os._exit(exit_code)
    return exit_code


def _prepare(settings: Settings) -> tuple[Settings, str, Service | None]:
    """Check the checkpoint before anybody serves it, and choose by how many processes.

    What was opened for the check has no name any more then: a process that only watches keeps no model, and a
    service may replace the one that it has.

    Returns:
        Settings with a number of workers, the checkpoint's digest, and the service; None where there are several.
    """
    if settings.workers == 0:
        settings, opened = open_to_choose(settings)
    elif settings.workers == 1:
        opened = open_checked(settings, threads=share(usable_cores(), workers=1).engine)
    else:
        opened = open_checked(settings_to_check(settings), threads=usable_cores())
    digest = opened[0].digest
    gpus = len(_gpus(settings))
    if gpus > settings.workers:
        facts = {"gpus": gpus, "workers": settings.workers}
        logs.SERVICE.warning("GPUs are left idle: each worker uses one (GLIMPSE_WORKERS)", extra={"fields": facts})
    return settings, digest, None if settings.workers > 1 else Service(settings, opened=opened)


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
    server = Server(config)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        if not server.started:
            raise
    except SystemExit as end:
        if end.code != STARTUP_FAILURE:  # that one is uvicorn's, the others are those of a signal
            raise
        return STARTUP_FAILURE
    return DEVICE_LOST if service.is_lost else 0


def open_to_choose(settings: Settings) -> tuple[Settings, Opened]:
    """Open the model as one process would, and choose from its speed how many should serve it.

    Returns:
        Settings with a number of workers, and what was opened.

    Raises:
        GlimpseError: as `open_checked`.
    """
    cores = usable_cores()
    opened = open_checked(settings, threads=share(cores, workers=1).engine)
    seconds = None if settings.admin_key else picture_seconds(*opened)  # a reload reaches one process
    workers = 1 if seconds is None else choose_workers(cores, picture_s=seconds)
    return settings.model_copy(update={"workers": workers}), opened


def _serve_with_workers(settings: Settings, listener: socket.socket, *, digest: str) -> int:
    """Let uvicorn watch over several processes on one socket.

    Args:
        settings: with the number of them.
        listener: of the address.
        digest: of the checkpoint that was checked for them.

    Returns:
        The exit code: uvicorn stops all workers when one of them cannot start.
    """
    logs.SERVICE.info("starting workers", extra={"fields": {"workers": settings.workers}})
    with shared_folder() as folder:
        copy = copy_checked(settings.checkpoint, folder, digest=digest)
        gpus = _gpus(settings)
        settings = settings_of_workers(settings, checkpoint=copy, gpus=gpus)
        # The workers are fresh processes, and read their settings as `uvicorn --factory` does.
        os.environ |= {FOLDER_VARIABLE: str(folder), **to_environment(settings)}
        _say_where(listener)
        config = configure(settings, "app.main:from_environment")
        workers = Workers(config, sockets=[listener], gpus=gpus)
        with contextlib.suppress(KeyboardInterrupt):
            workers.run()
        if any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes):
            return STARTUP_FAILURE
        if workers.stopped_by and not workers.were_ready:
            say_stopped_early(workers.stopped_by)
            return exit_code_of(workers.stopped_by)
        return 0


def settings_of_workers(settings: Settings, *, checkpoint: Path, gpus: Sequence[str]) -> Settings:
    """Choose settings with which workers serve: where there are GPUs, on these alone.

    A worker whose GPU is gone would answer from the CPU beside the others, without a word.

    Args:
        settings: of the service.
        checkpoint: the copy that was checked for them.
        gpus: that they share out.
    """
    device = "cuda" if gpus else settings.device
    return settings.model_copy(update={"checkpoint": checkpoint, "device": device})


def settings_to_check(settings: Settings) -> Settings:
    """Choose settings with which the first of several processes checks the checkpoint: never with CUDA.

    That process answers nothing, but would keep some hundred megabytes of the GPU as long as its workers live.
    Settings that are refused without a GPU stay as they are, and are refused.
    """
    if takes_cuda(settings.engine, settings.device):
        return settings.model_copy(update={"device": "cpu", "engine": "torch"})
    return settings


def _gpus(settings: Settings) -> list[str]:
    """Name the GPUs that these settings may use; none where they ask for the CPU."""
    return names_of(torch.cuda.device_count()) if takes_cuda(settings.engine, settings.device) else []


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
        http="app.wire.protocol:DeskProtocol",  # its name: workers unpickle this before they answer a first ping
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
    logs.SERVICE.info(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}")


def _listen(settings: Settings) -> socket.socket:
    """Take the address before the checkpoint is read: a taken port is the commonest failed start."""
    try:
        settings.host.encode("idna")
    except UnicodeError as error:
        raise ListenError(f"Cannot listen on {settings.host}: no host can have that name. Mend --host.") from error
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server(
            (settings.host, settings.port),
            family=family,
            backlog=BACKLOG,
            dualstack_ipv6=settings.host == "::" and socket.has_dualstack_ipv6(),  # all addresses of both kinds
        )
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Choose another --host or --port.")
        raise ListenError(
            f"Cannot listen on {settings.host} port {settings.port}: {_reason(error)}. {advice}"
        ) from error


def _reason(error: OSError) -> str:
    """Say why in the system's words; Python adds the address to them."""
    return (error.strerror or str(error)).partition(" (while attempting")[0]
