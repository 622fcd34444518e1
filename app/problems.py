"""Every failure leaves the process in one shape: application/problem+json (RFC 9457).

The table below is the only place that knows which error has which status and which stable code.
"""

import json
from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from app.errors import (
    AdminKeyError,
    BodyTooLargeError,
    DeadlineError,
    EngineError,
    ExplanationUnavailableError,
    HeaderTooLargeError,
    MalformedFormError,
    MalformedRequestError,
    MissingFileError,
    NotReadyError,
    OverloadedError,
    ParameterError,
    ReloadError,
    RequestError,
    TooManyFilesError,
    UnavailableError,
    UnknownDemoError,
    UnsupportedMediaTypeError,
    UploadTimeoutError,
)
from app.logs import SERVICE
from app.wire.exchange import REQUEST_ID, Reply
from app.wire.headers import shortened
from models.errors import (
    BrokenPictureError,
    EmptyBatchError,
    EmptyPictureError,
    GlimpseError,
    InputError,
    PictureError,
    TooManyPixelsError,
    UnsupportedFormatError,
)

MEDIA_TYPE = "application/problem+json"


class Kind(NamedTuple):
    """How an error is told: HTTP status and stable code."""

    status: int
    code: str


CLIENT_CLOSED = 499
"""HTTP status of a request whose caller went away: nginx's, and in log and metrics alone, for nobody reads it."""

KINDS: Mapping[type[Exception], Kind] = {
    EmptyPictureError: Kind(422, "empty_picture"),
    BrokenPictureError: Kind(422, "broken_picture"),
    UnsupportedFormatError: Kind(415, "unsupported_format"),
    TooManyPixelsError: Kind(413, "too_many_pixels"),
    PictureError: Kind(422, "bad_picture"),
    EmptyBatchError: Kind(422, "empty_batch"),
    BodyTooLargeError: Kind(413, "body_too_large"),
    UploadTimeoutError: Kind(408, "upload_timeout"),
    HeaderTooLargeError: Kind(431, "header_too_large"),
    MalformedRequestError: Kind(400, "malformed_request"),
    UnsupportedMediaTypeError: Kind(415, "unsupported_media_type"),
    MalformedFormError: Kind(422, "malformed_form"),
    MissingFileError: Kind(422, "missing_file"),
    TooManyFilesError: Kind(413, "too_many_files"),
    ParameterError: Kind(422, "invalid_parameter"),
    UnknownDemoError: Kind(404, "unknown_demo"),
    InputError: Kind(422, "bad_input"),
    RequestError: Kind(422, "bad_request"),
    ClientDisconnect: Kind(CLIENT_CLOSED, "client_disconnected"),
    NotReadyError: Kind(503, "not_ready"),
    OverloadedError: Kind(503, "overloaded"),
    UnavailableError: Kind(503, "unavailable"),
    DeadlineError: Kind(504, "deadline_exceeded"),
    AdminKeyError: Kind(401, "admin_key_needed"),
    ReloadError: Kind(409, "reload_refused"),
    ExplanationUnavailableError: Kind(501, "explanation_unavailable"),
    EngineError: Kind(500, "engine_failed"),
    Exception: Kind(500, "internal_error"),
}
_ROWS: dict[type[Exception], Kind] = dict(KINDS)
"""`KINDS`, and the subclasses that came: under overload the same few come thousands of times."""
HTTP_CODES: Mapping[int, str] = {404: "not_found", 405: "method_not_allowed"}
"""Codes of what the router itself refuses; any other status is `http_error`."""

_SECRETIVE = "Something went wrong inside the service. The operator finds the cause in the log by the request id."
_TITLES: Mapping[int, str] = {CLIENT_CLOSED: "Client Closed Request"}
"""Titles of statuses that http.HTTPStatus does not know."""


def kind_of(error: Exception) -> Kind:
    """Find an error's row: its own, or that of the nearest class above it."""
    error_class = type(error)
    kind = _ROWS.get(error_class)
    if kind is None:
        kind = _ROWS[error_class] = next(KINDS[ancestor] for ancestor in error_class.__mro__ if ancestor in KINDS)
    return kind


def to_body(error: Exception, request_id: str) -> dict[str, object]:
    """Tell an error as a problem; of a fault of our own only that it happened."""
    kind = kind_of(error)
    detail = _SECRETIVE if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR else str(error)
    return problem_body(kind.status, kind.code, detail, request_id=request_id)


def ends_connection(error: Exception) -> bool:
    """Tell whether nothing more is answered on the connection of a request with this error."""
    if isinstance(error, BodyTooLargeError):
        return not error.is_let_by  # else the rest of the body is not read
    return isinstance(error, NotReadyError) and error.is_another_ready  # the next one may be to that process


def to_reply(error: Exception, request_id: str) -> Reply:
    """Answer a request with an error, and with the headers that belong to it."""
    headers = {}
    if isinstance(error, UnavailableError):
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, AdminKeyError):
        headers["www-authenticate"] = "Bearer"
    if ends_connection(error):
        headers["connection"] = "close"
    body = json.dumps(to_body(error, request_id)).encode()
    return Reply(kind_of(error).status, MEDIA_TYPE, headers, body)


def to_response(error: Exception, request_id: str) -> Response:
    """Answer as `to_reply` does, for the framework."""
    status, media_type, headers, body = to_reply(error, request_id)
    return Response(body, status, headers, media_type)


def problem_body(status: int, code: str, detail: str, *, request_id: str) -> dict[str, object]:
    """Build the one error body: type, title, status, detail, code, request_id."""
    return {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail.encode("utf-8", "replace").decode(),  # half a character came in, and must not fail here
        "code": code,
        "request_id": request_id,
    }


def install(app: FastAPI) -> None:
    """Make an application answer every failure with a problem, FastAPI's and Starlette's own included."""
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameter)
    app.add_exception_handler(GlimpseError, _on_error)
    app.add_exception_handler(ClientDisconnect, _on_error)


def log_fault(error: Exception, request_id: str) -> None:
    """Write down the cause of a fault of ours, of which the caller is only told that it happened."""
    if kind_of(error).status == HTTPStatus.INTERNAL_SERVER_ERROR:
        SERVICE.error("failed", exc_info=error, extra={"fields": {"request_id": request_id}})


async def _on_error(request: Request, error: Exception) -> Response:
    request_id = _request_id(request)
    log_fault(error, request_id)
    return to_response(error, request_id)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    path = shortened(request.scope["path"])
    hint = " curl -T adds the file's name to a URL that ends in a slash." if request.method == "PUT" else ""
    methods = ", ".join(_methods_of(request)) if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else ""
    details = {
        404: f"There is nothing at {path}. POST /predict takes pictures; GET /docs lists the rest." + hint,
        405: f"{path} does not answer {request.method}; it answers {methods}.",
    }
    headers = dict(error.headers or {})
    if methods:
        headers["Allow"] = methods  # the router knows those of one route of the path alone
    body = problem_body(
        error.status_code,
        HTTP_CODES.get(error.status_code, "http_error"),
        details.get(error.status_code, str(error.detail)),
        request_id=_request_id(request),
    )
    return JSONResponse(body, error.status_code, headers, media_type=MEDIA_TYPE)


async def _on_invalid_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    sentences = ParameterError(" ".join(_parameter_sentence(fault) for fault in error.errors()))
    return to_response(sentences, _request_id(request))


def _methods_of(request: Request) -> list[str]:
    """List the methods that the path of a request answers; a mounted application would claim all of them."""
    routes = request.app.routes
    return [
        method
        for method in HTTPMethod
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


def _request_id(request: Request) -> str:
    request_id: str = request.scope["state"][REQUEST_ID]
    return request_id


def _parameter_sentence(fault: Mapping[str, Any]) -> str:
    place, *names = (str(part) for part in fault["loc"])
    return f"The {place} parameter {'.'.join(names)} is {fault['input']!r}: {fault['msg']}."
