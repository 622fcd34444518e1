"""One process that serves a checkpoint until told to stop.

Exit codes: 0 stopped as asked, 2 a wrong option or setting, 3 the start failed, 130 Ctrl-C before it served.
"""

import contextlib
import signal
import socket
import sys
from collections.abc import Sequence

import uvicorn

from app import logs
from app.lifespan import open_service
from app.main import create_app
from app.settings import Settings, SettingsError, read_settings
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
            _serve(settings, listener)
    except GlimpseError as error:
        return _refuse(error, 3)
    return 0


def _serve(settings: Settings, listener: socket.socket) -> None:
    service = open_service(settings)
    host, port = listener.getsockname()[:2]
    logs.SERVICE.info(f"serving on http://{f'[{host}]' if ':' in host else host}:{port}")
    config = uvicorn.Config(
        create_app(settings, service=service),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )
    # uvicorn sends itself the signal again after a clean stop; without this the process would die of it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


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
