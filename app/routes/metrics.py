"""GET /metrics: the numbers, for Prometheus."""

from typing import Any

from fastapi import APIRouter, Response

from app.metrics import CONTENT_TYPE
from app.routes.dependencies import RunningService
from app.routes.openapi import problems

router = APIRouter(tags=["metrics"])


_NUMBERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {CONTENT_TYPE.partition(";")[0]: {"schema": {"type": "string"}}}}
}


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=Response, responses=_NUMBERS | problems(503))
async def metrics(service: RunningService) -> Response:
    """Return all counters, histograms and gauges; docs/operations.md explains each."""
    return Response(service.metrics.exposition(), media_type=CONTENT_TYPE)
