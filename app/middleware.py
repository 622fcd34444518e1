"""What every request passes: an id and a log line, then a limit on its body.

Pure ASGI: Starlette's BaseHTTPMiddleware hides that a client went away.
"""

import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.logs import REQUESTS
from app.problems import BodyTooLargeError, to_response

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestContext:
    """Gives each request an id, answers what nothing else caught, and writes one log line.

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
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        fault: Exception | None = None
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the cause
            fault = error
            if not status:
                await to_response(error, request_id)(scope, receive, send_with_id)
        finally:
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
                        "duration_ms": round((time.perf_counter() - started_s) * 1000, 2),
                        "client": (scope.get("client") or ("unknown",))[0],
                        **scope["state"].get("log_fields", {}),
                    }
                },
            )


class BodyLimit:
    """Refuses a body over the limit: by its announced length at once, else while counting what comes.

    Args:
        app: what it protects.
        max_body_bytes: of one request.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_body_bytes:
            refusal = to_response(self._error(f"{int(announced):,} bytes"), scope["state"]["request_id"])
            await refusal(scope, receive, send)
            return
        received_bytes = 0

        async def counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            if message["type"] == "http.request":
                received_bytes += len(message.get("body", b""))
                if received_bytes > self._max_body_bytes:
                    raise self._error(f"more than {self._max_body_bytes:,} bytes")
            return message

        await self._app(scope, counted, send)

    def _error(self, received: str) -> BodyTooLargeError:
        return BodyTooLargeError(
            f"The request body is {received}; the limit is {self._max_body_bytes:,} bytes. "
            "Send a smaller picture, or raise GLIMPSE_MAX_BODY_BYTES."
        )


def _request_id(scope: Scope) -> str:
    offered = Headers(scope=scope).get("x-request-id", "")
    return offered if _SANE_ID.fullmatch(offered) else uuid.uuid4().hex
