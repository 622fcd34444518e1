"""What FastAPI gives to the function of a route."""

from typing import Annotated

from fastapi import Depends, Request

from app.lifespan import running_service
from app.service import Service


async def _service(request: Request) -> Service:
    return running_service(request.scope)


RunningService = Annotated[Service, Depends(_service)]
"""The service; where it is not running the request is answered with 503."""
