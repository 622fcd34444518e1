"""What every request passes: an id and a log line, the door, then a limit on its body.

Pure ASGI: Starlette's BaseHTTPMiddleware hides that a client went away.
"""

import random
import re
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLargeError, ParameterError
from app.lifespan import running_service
from app.logs import REQUESTS
from app.problems import to_response
from app.service import Service
from models.errors import GlimpseError

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
        request_id = _request_id(scope)
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
            REQUESTS.log(
                40 if fault else 20,
                "request",
                exc_info=fault,
                extra={
                    "fields": {
                        "request_id": request_id,
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "duration_ms": round(seconds * 1000, 2),
                        "client": (scope.get("client") or ("unknown",))[0],
                        **scope["state"].get("log_fields", {}),
                    }
                },
            )


class Admit:
    """Turns away at the door, before the body is read, whoever could not be answered in time.

    A refusal costs a tenth of an answer, so that a service which is asked three times too much still answers as
    much as it can.

    Args:
        app: behind the door.
        paths: that cost something; the rest pass.
        deadline_ms: for callers who do not say how long they wait.
        max_deadline_ms: that callers may ask for.
    """

    def __init__(self, app: ASGIApp, *, paths: frozenset[str], deadline_ms: int, max_deadline_ms: int) -> None:
        self._app = app
        self._paths = paths
        self._deadline_ms = deadline_ms
        self._max_deadline_ms = max_deadline_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in self._paths and scope["method"] == "POST":
            try:
                timeout_s = self._timeout_ms(scope) / 1000
                running_service(scope).admit(timeout_s)
            except GlimpseError as error:
                await to_response(error, scope["state"]["request_id"])(scope, receive, send)
                return
            scope["state"]["timeout_s"] = timeout_s
        await self._app(scope, receive, send)

    def _timeout_ms(self, scope: Scope) -> int:
        asked = _header(scope, b"x-request-timeout-ms")
        if asked is None:
            return self._deadline_ms
        if not (
            asked.isascii() and asked.isdecimal() and len(asked) < 10 and 1 <= int(asked) <= self._max_deadline_ms
        ):
            raise ParameterError(
                f"The header X-Request-Timeout-Ms is {asked!r}; whole milliseconds from 1 to "
                f"{self._max_deadline_ms} are understood. Leave it out for {self._deadline_ms}."
            )
        return int(asked)


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
        limit_bytes, setting = self._larger.get(scope["path"], self._usual)

        def too_large(received: str) -> BodyTooLargeError:
            return BodyTooLargeError(
                f"The request body is {received}; the limit is {limit_bytes:,} bytes. "
                f"Send less at a time, or raise {setting}."
            )

        announced = _header(scope, b"content-length") or ""
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


def _request_id(scope: Scope) -> str:
    offered = _header(scope, b"x-request-id")
    return offered if offered and _SANE_ID.fullmatch(offered) else f"{_IDS.getrandbits(128):032x}"


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def _route(scope: Scope) -> str:
    """The path as it is declared; all that are not declared are one, or a scanner could fill the memory."""
    route = scope.get("route")
    return getattr(route, "path", None) or ("/predict" if scope["path"] == "/predict" else "other")
