"""What every request passes: an id and a log line, admission, then a limit on its body.

Pure ASGI: Starlette's BaseHTTPMiddleware hides that a client went away.
"""

import asyncio
import time
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.answers import PATHS, Limit, body_limits
from app.errors import BodyTooLargeError, stopped_too_soon
from app.lifespan import running_service, service_of
from app.logs import log_request
from app.problems import to_response
from app.settings import Settings
from app.wire.cross_origin import PREFLIGHT, CrossOrigin
from app.wire.exchange import ANSWERED_WITH, LOG_FIELDS, NO_TIME, REQUEST_ID, SERVER_TIMING, TIMEOUT_S
from app.wire.headers import announced_bytes, header, host_of, request_id_of, timeout_ms, trace_id_of
from models.errors import GlimpseError

_LET_BY = 4
"""A body of at most so many times the limit is read and forgotten. Source: choice; a film instead of a photo."""


class RequestContext:
    """Gives each request an id, answers what nothing else caught, counts it, and writes one log line.

    A caller's X-Request-ID is kept if it is short and plain, so that one id follows a request through
    several services.

    Args:
        app: the application behind.
        cross_origin: what every answer tells pages of other origins; None where none may call the service.
    """

    def __init__(self, app: ASGIApp, *, cross_origin: CrossOrigin | None) -> None:
        self._app = app
        self._cross_origin = cross_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        request_id = scope.setdefault("state", {}).setdefault(REQUEST_ID, request_id_of(scope["headers"]))
        service = service_of(scope)
        status = 0
        owes_body = header(scope["headers"], b"expect") is not None  # until it is asked for, if it is

        async def receive_noted() -> Message:
            nonlocal owes_body
            owes_body = False
            return await receive()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id.encode()))
                if self._cross_origin is not None:
                    message["headers"].extend(self._cross_origin.headers(scope["headers"]))
                if _path(scope) in PATHS and header(message["headers"], SERVER_TIMING.encode()) is None:
                    message["headers"].append((SERVER_TIMING.encode(), NO_TIME.encode()))
                is_draining = service is not None and service.is_draining
                is_told = header(message["headers"], b"connection") is not None
                # or the next request would find the connection closed, or be read as this one's body
                if (is_draining or owes_body) and not is_told:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        fault: Exception | None = None
        try:
            await self._app(scope, receive_noted, send_with_id)
        except asyncio.CancelledError:
            if status or not (service and service.is_draining):
                raise
            await to_response(stopped_too_soon(), request_id)(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the cause
            fault = error
            if not status:
                await to_response(error, request_id)(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started_s
            status = scope["state"].get(ANSWERED_WITH, status)  # by the protocol, in our place
            if service:
                service.metrics.answered(_route(scope), status, seconds)
            log_request(
                request_id=request_id,
                trace_id=trace_id_of(scope["headers"]),
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=seconds,
                client=host_of(scope.get("client")),
                fault=fault,
                more=scope["state"].get(LOG_FIELDS, {}),
            )
            fault = None  # its frames, this one too, hold the body and what was made of it


class Preflight:
    """Answers browsers that ask which requests a page of another origin may send, whatever the path.

    Args:
        app: the application behind, for all other requests.
        cross_origin: whose pages are allowed.
    """

    def __init__(self, app: ASGIApp, *, cross_origin: CrossOrigin) -> None:
        self._app = app
        self._cross_origin = cross_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._cross_origin.is_preflight(scope["method"], scope["headers"]):
            await Response(status_code=HTTPStatus.NO_CONTENT, headers=PREFLIGHT)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Admit:
    """Refuses, before the body is read, requests that could not be answered in time, as the desk does.

    Args:
        app: the application behind, for requests that are let in.
        settings: deadlines are read from them.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        row = PATHS.get(_path(scope)) if scope["type"] == "http" else None
        if row and scope["method"] in row.methods:
            try:
                service = running_service(scope)
                scope["state"][TIMEOUT_S] = service.admit(timeout_ms(scope["headers"], self._settings) / 1000)
            except GlimpseError as error:
                await to_response(error, scope["state"][REQUEST_ID])(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses a body over the limit: by its announced length at once, else while counting what comes.

    Counts it into the bodies of all requests, too, which may not fill the memory together.

    Args:
        app: the application behind.
        settings: limits are read from them.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._limits = body_limits(settings)
        self._usual = Limit(settings.max_body_bytes, "GLIMPSE_MAX_BODY_BYTES")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit_bytes, variable = self._limits.get(_path(scope), self._usual)

        def too_large(received: str, *, is_let_by: bool = False) -> BodyTooLargeError:
            return BodyTooLargeError(
                f"The request body is {received}; the limit is {limit_bytes:,} bytes. "
                f"Send less at a time, or raise {variable}.",
                is_let_by=is_let_by,
            )

        announced = announced_bytes(scope["headers"])
        if announced is not None and announced > limit_bytes:
            # Most clients send all they have before they listen, and would find the connection reset.
            is_let_by = announced <= _LET_BY * limit_bytes and header(scope["headers"], b"expect") is None
            error = too_large(f"{announced:,} bytes", is_let_by=is_let_by)
            await to_response(error, scope["state"][REQUEST_ID])(scope, receive, send)
            return
        received_bytes = held_bytes = 0
        service = service_of(scope)

        async def counted() -> Message:
            nonlocal received_bytes, held_bytes
            message = await receive()
            if message["type"] == "http.request":
                size_bytes = len(message.get("body", b""))
                received_bytes += size_bytes
                if received_bytes > limit_bytes:
                    raise too_large(f"more than {limit_bytes:,} bytes")
                if service:
                    service.hold(size_bytes)
                    held_bytes += size_bytes
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            if service:
                service.bodies.let_go(held_bytes)


def _path(scope: Scope) -> str:
    """Return the path as the router understands it: to its patterns a line break at the end is nothing."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    if path.startswith(f"{prefix}/"):
        path = path[len(prefix) :]
    return path.removesuffix("\n")


def _route(scope: Scope) -> str:
    """Return the path as it is declared, "other" for all that are not: a scanner could fill the memory."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return path or (_path(scope) if _path(scope) in PATHS else "other")
