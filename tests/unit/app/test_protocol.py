"""The door in the protocol, with connections that are not there."""

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.protocol import DoorProtocol

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"


class Transport(asyncio.Transport):
    """Remembers what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        """Keep it."""
        self.written += data

    def is_closing(self) -> bool:
        """Never."""
        return False

    def pause_reading(self) -> None:
        """Nothing."""

    def resume_reading(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Connection:
    """A protocol whose door refuses everything, and an application behind it."""

    def __init__(self) -> None:
        self.asked = 0
        self.reached = 0
        config = uvicorn.Config(self._application, interface="asgi3", ws="none", log_config=None, access_log=False)
        config.load()
        self.transport = Transport()
        self.protocol = DoorProtocol(door=self._refuse, config=config, server_state=ServerState(), app_state={})
        self.protocol.connection_made(self.transport)

    def _refuse(self, method: bytes, target: bytes, headers: object, state: dict[str, Any]) -> bytes:
        assert (method, target) == (b"POST", b"/predict")
        assert headers
        assert state == {}
        self.asked += 1
        return REFUSAL

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope
        assert receive
        self.reached += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def has_timer(connection: Connection) -> bool:
    """Whether the connection ends when nothing more comes."""
    return connection.protocol.timeout_keep_alive_task is not None


def with_loop(test: Any) -> None:
    """Run a test's coroutine; timers that are left are cancelled with the loop."""

    async def run() -> None:
        connection = Connection()
        await test(connection)
        if connection.protocol.timeout_keep_alive_task:
            connection.protocol.timeout_keep_alive_task.cancel()

    asyncio.run(run())


def test_a_refused_body_goes_by_and_the_next_request_is_heard() -> None:
    """Answered at the header; the body, in pieces, is nobody's; then the timer runs for the next."""

    async def check(connection: Connection) -> None:
        transport: Any = connection.transport
        connection.protocol.data_received(HEAD + b"\r\n")
        assert transport.written == REFUSAL
        connection.protocol.data_received(b"ab")
        assert not has_timer(connection)
        connection.protocol.data_received(b"cde")
        assert has_timer(connection)
        connection.protocol.data_received(HEAD + b"\r\nabcde" + HEAD + b"\r\nabcde")
        assert transport.written == REFUSAL * 3
        assert (connection.asked, connection.reached) == (3, 0)
        connection.protocol.shutdown()
        connection.protocol.connection_lost(None)

    with_loop(check)


@pytest.mark.parametrize(
    "header",
    [b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"],
)
def test_what_is_not_plain_is_left_to_uvicorn(header: bytes) -> None:
    """A closing connection, a caller who asks before sending, an upgrade: the door is not even asked."""

    async def check(connection: Connection) -> None:
        connection.protocol.data_received(HEAD + header + b"\r\nabcde")
        async with asyncio.timeout(5):
            while not connection.reached:
                await asyncio.sleep(0)
        assert connection.asked == 0

    with_loop(check)


def test_who_does_not_read_is_not_written_to() -> None:
    """The answers to a flood of requests must not pile up in memory."""

    async def check(connection: Connection) -> None:
        connection.protocol.pause_writing()
        connection.protocol.data_received(HEAD + b"\r\nabcde")
        assert (connection.asked, connection.transport.written) == (0, b"")
        connection.protocol.resume_writing()
        async with asyncio.timeout(5):
            while not connection.reached:
                await asyncio.sleep(0)

    with_loop(check)
