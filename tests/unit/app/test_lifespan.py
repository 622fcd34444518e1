"""What an application changes of its process while it runs, and gives back."""

import asyncio
import gc

import pytest
from fastapi import FastAPI

from app.errors import NotReadyError
from app.lifespan import lifespan
from app.service import Service
from app.settings import Settings


class Failing(Service):
    """A service that does not come up, and remembers how the garbage collection stood meanwhile."""

    def __init__(self) -> None:
        self.threshold = 0
        self.frozen = 0

    async def start(self) -> None:
        """Fail."""
        self.threshold, self.frozen = gc.get_threshold()[0], gc.get_freeze_count()
        raise NotReadyError("no answer")


def test_the_garbage_collection_comes_seldom_while_it_runs_and_as_before_after_it() -> None:
    """Also after a start that failed: an application may be part of a larger process."""
    service, usual = Failing(), gc.get_threshold()

    async def run() -> None:
        application = FastAPI()
        with pytest.raises(NotReadyError, match="no answer"):
            async with lifespan(Settings(), service)(application):
                pass

    asyncio.run(run())
    assert service.threshold > usual[0]
    assert service.frozen > 0
    assert gc.get_threshold() == usual
    assert gc.get_freeze_count() == 0
