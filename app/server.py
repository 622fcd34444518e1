"""One process that serves a checkpoint until told to stop.

Exit codes: 0 stopped as asked, 2 a wrong option or setting, 3 the start failed, 130 Ctrl-C before it served.
"""

import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from app import logs
from app.cores import usable_cores
from app.main import create_app
from app.metrics import FOLDER_VARIABLE
from app.served_model import open_checked
from app.service import Service
from app.settings import Settings, SettingsError, read_settings, to_environment
from models.errors import GlimpseError


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, serve, drain; every failed start is one sentence on stderr."""
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
    except SettingsError as error:
        return _refuse(error, 2)
    logs.configure(settings.log_level)
    try:
        with _listen(settings) as listener:
            if settings.workers > 1:
                _serve_with_workers(settings, listener)
            else:
                _serve(settings, listener)
    except GlimpseError as error:
        return _refuse(error, 3)
    return 0


def _serve(settings: Settings, listener: socket.socket) -> None:
    service = Service(settings)
    _say_where(listener)
    config = _configure(settings, create_app(settings, service=service))
    # uvicorn sends itself the signal again after a clean stop; without this the process would die of it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _serve_with_workers(settings: Settings, listener: socket.socket) -> None:
    """Let uvicorn watch over several processes on one socket; a wrong checkpoint is told before they start."""
    open_checked(settings, threads=usable_cores())
    with tempfile.TemporaryDirectory(prefix="glimpse-metrics-") as folder:
        # The workers are fresh processes, and read their settings as `uvicorn --factory` does.
        os.environ |= {FOLDER_VARIABLE: folder, **to_environment(settings)}
        _say_where(listener)
        config = _configure(settings, "app.main:from_environment")
        with contextlib.suppress(KeyboardInterrupt):
            Multiprocess(config, sockets=[listener]).run()


def _configure(settings: Settings, app: FastAPI | str) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )


def _say_where(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    logs.SERVICE.info(f"serving on http://{f'[{host}]' if ':' in host else host}:{port}")


class ListenError(GlimpseError):
    """The address is taken or not ours."""


def _listen(settings: Settings) -> socket.socket:
    """Take the address before the checkpoint is read: a taken port is the commonest failed start."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise ListenError(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. Stop what listens "
            "there, or choose another --host or --port."
        ) from error


def _refuse(error: GlimpseError, exit_code: int) -> int:
    sys.stderr.write(f"Error: {error}\n")
    return exit_code
