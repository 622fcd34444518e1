"""From the start of an application to its end: the service is opened, told to drain, and stopped.

The server is handed the desk in the lifespan's state, so every process of a server has its own.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Lifespan, Scope

from app.errors import NotReadyError
from app.logs import SERVICE
from app.processes.stopping import drained_on_signals, stopped_with_first_process
from app.service import Service
from app.settings import Settings
from app.tensors.catalogue import devices_of
from app.tensors.lab import Lab
from app.tensors.turns import Turns
from app.wire.desk import Desk

_OBJECTS_A_COLLECTION = 10_000
"""New objects until those that have become unreachable in circles are looked for. Pictures leave none, and
hundreds that wait would be looked through again and again: 7 % of an overloaded event loop at Python's own 700."""


def lifespan(settings: Settings, opened: Service | None) -> Lifespan[FastAPI]:
    """Make the lifespan of an application: a service is there from its start to its end.

    Args:
        settings: those of this process.
        opened: an open service; None opens one when the application starts.
    """

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[dict[str, Desk]]:
        service = opened or Service(settings)
        with _seldom_collected():
            await service.start()
            app.state.service = service
            app.state.lab = lab = Lab(devices_of(settings), Turns())
            desk = Desk(service, settings)
            try:
                # A second Ctrl-C cancels what would else be told of the end.
                with (
                    contextlib.suppress(asyncio.CancelledError),
                    drained_on_signals(service, settings.drain_delay_s),
                    stopped_with_first_process(),
                ):
                    service.announce()
                    yield {"desk": desk}
            finally:
                desk.close()
                app.state.service = None
                await asyncio.gather(lab.turns.close(), service.stop())
                SERVICE.info("stopped")

    return run


def service_of(scope: Scope) -> Service | None:
    """Find the service of a request; None where the application has not started, or has stopped."""
    service: Service | None = getattr(scope["app"].state, "service", None)
    return service


def running_service(scope: Scope) -> Service:
    """Find the service of a request.

    Raises:
        NotReadyError: the application has not started, or has stopped.
    """
    service = service_of(scope)
    if service is None:
        raise NotReadyError("The service is starting or stopping. Try again soon.")
    return service


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let the garbage collection pass over what came with the start, and come seldom for the rest."""
    gc.collect()
    gc.freeze()  # 220,000 objects of the start stay; looking through them again stops requests for 0.1 s
    usual = gc.get_threshold()
    gc.set_threshold(_OBJECTS_A_COLLECTION, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
