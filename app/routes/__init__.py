"""The routes, one concept per file."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import request_response

from app.answers import reply_to
from app.callers import Caller
from app.exchange import Admitted, Asked
from app.lifespan import running_service
from app.multipart import FORM
from app.schemas import ProblemBody
from app.service import Service
from app.uploads import RAW


async def _service(request: Request) -> Service:
    return running_service(request.scope)


RunningService = Annotated[Service, Depends(_service)]


class LeanRoute(APIRoute):
    """A route whose function takes the request and returns the response itself.

    On the OpenAPI page it stands like any other, by its `response_model` and `openapi_extra`; at run time it is a
    plain route of Starlette. It leaves out the resolving of dependencies and the validation of our own answers,
    which cost more than decoding a small picture.
    """

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], **given: Any) -> None:  # noqa: ANN401 - FastAPI's own arguments
        super().__init__(path, endpoint, **given)
        self.app = request_response(endpoint)


async def through_framework(request: Request, path: str) -> Response:
    """Answer a request that came through FastAPI."""
    state = request.state
    query, content_type = request.scope["query_string"], request.headers.get("content-type")
    admitted = Admitted(path, query, content_type, state.request_id, state.timeout_s)
    asked = Asked(admitted, await request.body())
    state.log_fields = asked.log_fields
    caller = Caller(request.receive, timeout_s=state.timeout_s)
    status, media_type, headers, body = await reply_to(running_service(request.scope), asked, caller)
    return Response(body, status, headers, media_type)


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
"""How pictures are sent, for the OpenAPI page."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe failures of a route for the OpenAPI page."""
    schema = ProblemBody.model_json_schema()
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }


_DESCRIPTIONS = {
    401: "the key is missing or wrong",
    404: "there is no such demo; the detail names those that there are",
    409: "the new checkpoint was refused; the old one goes on",
    413: "too many bytes, pixels or files",
    415: "not a picture that is read here",
    422: "a broken picture or a bad parameter",
    500: "a fault of the service; the log has the cause",
    501: "what this needs is not installed where the service runs",
    503: "not ready or overloaded; Retry-After says when to ask again",
    504: "the deadline passed",
}
