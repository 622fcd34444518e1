"""What every request passes: an id and a log line, the door, then a limit on its body.

Pure ASGI: Starlette's BaseHTTPMiddleware hides that a client went away.
"""

import json
import logging
import random
import re
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLargeError, ParameterError, UnavailableError
from app.lifespan import running_service
from app.logs import REQUESTS
from app.problems import MEDIA_TYPE, kind_of, to_body, to_response
from app.service import Service
from app.settings import Settings
from models.errors import GlimpseError

RawHeaders = Sequence[tuple[bytes, bytes]]
"""As ASGI has them: names in lower case."""

_IDS = random.Random()  # noqa: S311 - told apart, not kept secret; and no system call for each
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestContext:
    """Gives each request an id, answers what nothing else caught, counts it, and writes one log line.

    A caller's X-Request-ID is kept if it is short and plain, so that one id follows a request through
    several services.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        request_id = _request_id(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        service: Service | None = getattr(scope["app"].state, "service", None)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id.encode()))
                if service and service.is_draining:
                    message["headers"].append((b"connection", b"close"))  # or the next request meets a closed door
            await send(message)

        fault: Exception | None = None
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the cause
            fault = error
            if not status:
                await to_response(error, request_id)(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started_s
            if service:
                service.metrics.answered(_route(scope), status, seconds)
            _log(scope, status, seconds, fault)


PATHS = frozenset({"/predict", "/predict/batch"})
"""What costs something; all other paths are open to everybody."""
_TARGETS = frozenset(path.encode() for path in PATHS)
_ENTERED = "entered"


class Doorkeeper:
    """Decides from the header of a request whether it could be answered in time.

    Args:
        service: that would answer.
        settings: with the deadlines.
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings

    def admit(self, headers: RawHeaders) -> float:
        """Let a request in.

        Returns:
            The seconds that are left for it.

        Raises:
            ParameterError: its header X-Request-Timeout-Ms cannot be understood.
            UnavailableError: it could not be answered rightly and in time.
        """
        return self._service.admit(_timeout_ms(headers, self._settings) / 1000)

    def __call__(
        self, method: bytes, target: bytes, headers: RawHeaders, state: dict[str, object]
    ) -> bytes | None:
        """Write the whole answer to a request that is refused; None if it is let in, or not ours to refuse."""
        path = target.partition(b"?")[0]
        if method != b"POST" or path not in _TARGETS or self._service.is_draining:
            return None
        try:
            self.admit(headers)
        except UnavailableError as error:
            return self._refusal(error, path.decode(), headers)
        except ParameterError:
            return None
        self._service.admission.enter()
        state[_ENTERED] = True
        return None

    def _refusal(self, error: UnavailableError, path: str, headers: RawHeaders) -> bytes:
        request_id = _request_id(headers)
        kind = kind_of(error)
        body = json.dumps(to_body(error, request_id))
        self._service.metrics.refuse(path, kind.status)
        return (
            f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nretry-after: {error.retry_after_s}\r\nx-request-id: {request_id}\r\n"
            f"\r\n{body}"
        ).encode("ascii")


class Admit:
    """Turns away at the door, before the body is read, whoever could not be answered in time.

    Args:
        app: behind the door.
        settings: with the deadlines.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _path(scope) in PATHS and scope["method"] == "POST":
            try:
                service = running_service(scope)
                if _ENTERED in scope["state"]:
                    service.admission.entered()
                scope["state"]["timeout_s"] = Doorkeeper(service, self._settings).admit(scope["headers"])
            except GlimpseError as error:
                await to_response(error, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses a body over the limit: by its announced length at once, else while counting what comes.

    Args:
        app: what it protects.
        max_body_bytes: of one request.
        larger: path → the limit there, and the setting that raises it.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, larger: Mapping[str, tuple[int, str]]) -> None:
        self._app = app
        self._larger = larger
        self._usual = (max_body_bytes, "GLIMPSE_MAX_BODY_BYTES")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit_bytes, setting = self._larger.get(_path(scope), self._usual)

        def too_large(received: str) -> BodyTooLargeError:
            return BodyTooLargeError(
                f"The request body is {received}; the limit is {limit_bytes:,} bytes. "
                f"Send less at a time, or raise {setting}."
            )

        announced = _header(scope["headers"], b"content-length") or ""
        if announced.isdecimal() and int(announced) > limit_bytes:
            refusal = to_response(too_large(f"{int(announced):,} bytes"), scope["state"]["request_id"])
            await refusal(scope, receive, send)
            return
        received_bytes = 0

        async def counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            if message["type"] == "http.request":
                received_bytes += len(message.get("body", b""))
                if received_bytes > limit_bytes:
                    raise too_large(f"more than {limit_bytes:,} bytes")
            return message

        await self._app(scope, counted, send)


def _timeout_ms(headers: RawHeaders, settings: Settings) -> int:
    asked = _header(headers, b"x-request-timeout-ms")
    if asked is None:
        return settings.deadline_ms
    most = settings.max_deadline_ms
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 10 and 1 <= int(asked) <= most):
        raise ParameterError(
            f"The header X-Request-Timeout-Ms is {asked!r}; whole milliseconds from 1 to {most} are understood. "
            f"Leave it out for {settings.deadline_ms}."
        )
    return int(asked)


def _request_id(headers: RawHeaders) -> str:
    offered = _header(headers, b"x-request-id")
    return offered if offered and _SANE_ID.fullmatch(offered) else f"{_IDS.getrandbits(128):032x}"


def _header(headers: RawHeaders, name: bytes) -> str | None:
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None


def _log(scope: Scope, status: int, seconds: float, fault: Exception | None) -> None:
    fields = {
        "request_id": scope["state"]["request_id"],
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
        "client": (scope.get("client") or ("unknown",))[0],
        **scope["state"].get("log_fields", {}),
    }
    level = logging.ERROR if fault else logging.INFO
    REQUESTS.log(level, "request", exc_info=fault, extra={"fields": fields})


def _path(scope: Scope) -> str:
    """The path as the router understands it: to its patterns a line break at the end is nothing."""
    path: str = scope["path"]
    return path.removesuffix("\n")


def _route(scope: Scope) -> str:
    """The path as it is declared; all that are not declared are one, or a scanner could fill the memory."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return path or (_path(scope) if _path(scope) in PATHS else "other")
