"""The routes, one concept per file."""

from typing import Annotated, Any

from fastapi import Depends, Request

from app.lifespan import Service
from app.problems import NotReadyError
from app.schemas import ProblemBody


async def running_service(request: Request) -> Service:
    """Hand the service to a route.

    Raises:
        NotReadyError: the application has not started, or is stopping.
    """
    service: Service | None = getattr(request.app.state, "service", None)
    if service is None:
        raise NotReadyError("The service is starting or stopping. Try again soon.")
    return service


async def ready_service(service: Annotated[Service, Depends(running_service)]) -> Service:
    """Hand the service to a route, if it gives right answers.

    Raises:
        NotReadyError: it does not.
    """
    await service.require_ready()
    return service


RunningService = Annotated[Service, Depends(running_service)]
ReadyService = Annotated[Service, Depends(ready_service)]


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
    413: "too many bytes or pixels",
    415: "not a picture that is read here",
    422: "a broken picture or a bad parameter",
    503: "not ready; Retry-After says when to ask again",
}
