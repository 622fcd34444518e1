"""What stands where uvicorn keeps its own things of a connection: the request in work, and what it writes to."""

import asyncio
from collections.abc import Callable
from enum import Enum, auto

from app.callers import Caller
from app.wire.exchange import Admitted


class _NobodyWaits:
    """An event of uvicorn's that nobody waits for."""

    def set(self) -> None:
        """Do nothing."""


class DeskCycle:
    """Stands where uvicorn keeps the request in work, while the desk has it.

    Args:
        admitted: header that was let in; None for a refusal, which is answered already and whose body is not kept.
        client: address of the caller, for the log.
        keep_alive: whether the next request on the connection is answered, too.
        cross_origin: lines of the answer for pages of other origins.
    """

    message_event = _NobodyWaits()

    def __init__(
        self, admitted: Admitted | None, *, client: str = "", keep_alive: bool = True, cross_origin: bytes = b""
    ) -> None:
        self.admitted = admitted
        self.client = client
        self.response_started = self.response_complete = admitted is None
        self.keep_alive = keep_alive
        self.cross_origin = cross_origin
        self.disconnected = False
        self.body: list[bytes] = []
        self.caller: Caller | None = None

    @property
    def received_bytes(self) -> int:
        """Bytes of the body that have come so far."""
        return sum(map(len, self.body))


class ClosedLate:
    """What uvicorn writes an answer to: it closes as soon as that is written, whatever the caller still sends.

    Args:
        transport: of the connection.
        close: in place of the transport's own.
    """

    def __init__(self, transport: asyncio.Transport, *, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class Arrival(Enum):
    """How much of a request has come."""

    NOTHING = auto()
    HEADER = auto()
    BODY = auto()
    WHOLE = auto()
