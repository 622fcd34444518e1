"""Is it alive, is it ready, and a page for people."""

import time

from fastapi import APIRouter

from app.routes import ReadyService, problems
from app.schemas import HealthBody, ModelReference, StatusBody

router = APIRouter(tags=["health"])


@router.head("/health", include_in_schema=False)
@router.get("/health", responses=problems(503))
async def health(service: ReadyService) -> HealthBody:
    """Say what is served, by what, on what, and for how long; 503 when not ready."""
    return HealthBody(
        status="ok",
        model=ModelReference(name=service.checkpoint.record.name, digest=service.checkpoint.digest),
        engine=service.engine.name,
        device=service.engine.device,
        dtype=service.engine.dtype,
        uptime_s=round(time.monotonic() - service.started_s, 3),
    )


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live")
async def live() -> StatusBody:
    """Answer 200 while the process can answer at all; restart it when this fails."""
    return StatusBody(status="live")


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", responses=problems(503))
async def ready(_service: ReadyService) -> StatusBody:
    """Answer 200 while pictures are answered rightly; send traffic elsewhere when this fails."""
    return StatusBody(status="ready")
