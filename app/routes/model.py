"""GET /model: everything the checkpoint says about itself."""

import dataclasses

from fastapi import APIRouter

from app.routes import RunningService, problems
from app.schemas import ModelBody

router = APIRouter(tags=["model"])


@router.get("/model", responses=problems(503))
async def model(service: RunningService) -> ModelBody:
    """Return labels, network, input, calibration, metrics with per-class accuracy, training and digest."""
    return ModelBody.model_validate(
        {**dataclasses.asdict(service.checkpoint.record), "digest": service.checkpoint.digest}
    )
