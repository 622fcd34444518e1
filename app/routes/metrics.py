"""GET /metrics: the numbers, for Prometheus."""

from fastapi import APIRouter, Response

from app.metrics import CONTENT_TYPE
from app.routes.dependencies import RunningService
from app.routes.openapi import problems

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response, responses=problems(503))
async def metrics(service: RunningService) -> Response:
    """Return all counters, histograms and gauges; docs/operations.md explains each."""
    return Response(service.metrics.exposition(), media_type=CONTENT_TYPE)
