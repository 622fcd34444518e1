"""The way of a picture through the framework: as little of it as there can be."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import request_response

from app.answers import reply_to
from app.callers import Caller
from app.lifespan import running_service
from app.wire.exchange import LOG_FIELDS, REQUEST_ID, TIMEOUT_S, Admitted, Asked


class LeanRoute(APIRoute):
    """A route whose function takes the request and returns the response itself.

    On the OpenAPI page it stands like any other, by its `response_model` and `openapi_extra`; at run time it is a
    plain route of Starlette. It leaves out the resolving of dependencies and the validation of our own answers,
    which cost more than decoding a small picture.
    """

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], **given: Any) -> None:  # noqa: ANN401 - FastAPI's own arguments
        super().__init__(path, endpoint, **given)
        self.app = request_response(endpoint)


async def through_framework(request: Request) -> Response:
    """Answer a request that came through FastAPI, by the path that its route is declared with."""
    state, path = request.scope["state"], request.scope["route"].path
    content_type, content_encoding = (request.headers.get(name) for name in ("content-type", "content-encoding"))
    query = request.scope["query_string"]
    admitted = Admitted(path, query, content_type, content_encoding, state[REQUEST_ID], state[TIMEOUT_S])
    asked = Asked(admitted, await request.body())
    state[LOG_FIELDS] = asked.log_fields
    caller = Caller(request.receive, timeout_s=state[TIMEOUT_S])
    status, media_type, headers, body = await reply_to(running_service(request.scope), asked, caller)
    return Response(body, status, headers, media_type)
