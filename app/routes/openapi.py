"""What the OpenAPI page says of requests that are read, and failures that are written, without the framework."""

import html
from typing import Any

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from app.problems import MEDIA_TYPE
from app.schemas import ProblemBody
from app.wire.multipart import FORM
from app.wire.uploads import RAW

_DESCRIPTIONS = {
    400: "what came is no HTTP request; the connection is closed",
    401: "the key is missing or wrong",
    404: "there is no such demo; the detail names those that there are",
    408: "the request did not arrive in time; the connection is closed",
    409: "the new checkpoint was refused, or another reload is running; the old one goes on",
    413: "too many bytes, pixels or files",
    415: "not a picture that is read here",
    422: "what was sent cannot be used: a broken picture or form, a missing file, a bad parameter",
    431: "the header is too long; the connection is closed",
    500: "a fault of the service; the log has the cause",
    501: "what this needs is not installed where the service runs",
    503: "not ready or overloaded; Retry-After says when to ask again",
    504: "the deadline passed",
}

_VIEWER = '<div id="swagger-ui">'
"""In FastAPI's page; what stands in it is shown until Swagger UI takes its place."""

OF_PICTURES = (400, 408, 413, 415, 422, 431, 503)
"""What any request that brings pictures may get."""


def _accepts(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _form(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": [field], "properties": {field: schema}}}


_BINARY = {"type": "string", "format": "binary"}
ONE_PICTURE = _accepts({FORM: _form("file", _BINARY), "image/*": {"schema": _BINARY}, RAW: {"schema": _BINARY}})
MANY_PICTURES = _accepts({FORM: _form("files", {"type": "array", "items": _BINARY})})
TIMEOUT = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "schema": {"type": "integer", "minimum": 1},
    "description": "time for the answer, once the body is there",
}
"""The header with the caller's time, for the OpenAPI page."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe failures of a route for the OpenAPI page."""
    schema = ProblemBody.model_json_schema()
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


async def docs(request: Request) -> HTMLResponse:
    """Show the description of the routes in Swagger UI, which comes from another address, or say where it is."""
    description = f"{request.scope.get('root_path', '').rstrip('/')}/openapi.json"
    page = get_swagger_ui_html(openapi_url=description, title="Glimpse: the routes")
    note = (
        "<p>The viewer of this page comes from cdn.jsdelivr.net. If nothing appears, that cannot be reached from "
        f'your browser; <a href="{html.escape(description)}">openapi.json</a> says the same.</p>'
    )
    return HTMLResponse(bytes(page.body).decode().replace(_VIEWER, _VIEWER + note, 1))
