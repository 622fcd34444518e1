"""Is it alive, is it ready, and a page for people."""

import time

from fastapi import APIRouter, Request

from app.errors import NotReadyError
from app.lifespan import service_of
from app.routes.dependencies import RunningService
from app.routes.openapi import problems
from app.schemas import HealthBody, ModelReference, StatusBody

router = APIRouter(tags=["health"])


@router.head("/health", include_in_schema=False)
@router.get("/health", responses=problems(503))
async def health(service: RunningService) -> HealthBody:
    """Say what is served, by what, on what, and for how long; 503 when not ready."""
    service.require_ready()
    checkpoint, engine = service.model.checkpoint, service.model.engine
    return HealthBody(
        status="ok",
        model=ModelReference.model_validate(checkpoint.reference),
        engine=engine.name,
        device=engine.device,
        dtype=engine.dtype,
        version=service.versions["version"],
        uptime_s=round(time.monotonic() - service.started_s, 3),
    )


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", responses=problems(503))
async def live(request: Request) -> StatusBody:
    """Answer 200 while the process can be helped by waiting; restart it when this fails."""
    service = service_of(request.scope)
    if service and service.is_lost:
        raise NotReadyError(
            "The device, or a thread that runs it, is lost or hangs, and only a new process has it back. Restart "
            "the service."
        )
    return StatusBody(status="live")


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", responses=problems(503))
async def ready(service: RunningService) -> StatusBody:
    """Answer 200 while pictures are answered rightly; send traffic elsewhere when this fails."""
    service.require_ready()
    return StatusBody(status="ready")
