"""The routes, one concept per file."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import request_response

from app.lifespan import running_service
from app.schemas import ProblemBody
from app.service import Service


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
    409: "the new checkpoint was refused; the old one goes on",
    413: "too many bytes, pixels or files",
    415: "not a picture that is read here",
    422: "a broken picture or a bad parameter",
    500: "a fault of the service; the log has the cause",
    503: "not ready or overloaded; Retry-After says when to ask again",
    504: "the deadline passed",
}
