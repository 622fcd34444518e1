"""When a connection is read, where uvicorn would read on too early."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class Reading(FlowControl):
    """Goes on reading only while that may be: uvicorn does behind each answer, and whenever a body is asked for.

    Args:
        transport: of the connection.
        may_go_on: asked each time.
    """

    def __init__(self, transport: asyncio.Transport, *, may_go_on: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._may_go_on = may_go_on

    def resume_reading(self) -> None:
        """Read on, if it may be."""
        if self._may_go_on():
            super().resume_reading()
