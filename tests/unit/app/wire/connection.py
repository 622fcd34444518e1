"""A connection that is not there, with a desk that does as it is told."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from app.callers import Caller
from app.errors import OverloadedError, UploadTimeoutError
from app.wire.cross_origin import CrossOrigin
from app.wire.desk import Connection as DeskConnection
from app.wire.exchange import Admitted, Refused, Reply
from app.wire.headers import RawHeaders
from app.wire.protocol import DeskProtocol
from models.errors import GlimpseError
from tests.unit.app.loops import with_loop

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\n\r\n"
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
WHOLE = HEAD + b"\r\nabcde"


class Transport(asyncio.Transport):
    """Remembers what was written, and in how many pieces."""

    def __init__(self, *, peer: str | None = None) -> None:
        super().__init__(extra={"peername": peer and (peer, 50_000)})
        self.pieces: list[bytes] = []
        self.is_closed = False
        self.is_ended = False
        self.is_read = True
        self.closed = asyncio.Event()
        self.unread = 0

    @property
    def written(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is written."""
        return self.is_closed or self.is_ended

    def write(self, data: Any) -> None:
        """Keep it; whoever has said the end may not go on, as with a real one."""
        assert not self.is_ended
        self.pieces.append(bytes(data))

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.is_closed

    def pause_reading(self) -> None:
        """Remember it."""
        self.is_read = False

    def resume_reading(self) -> None:
        """Remember it."""
        self.is_read = True

    def write_eof(self) -> None:
        """Nothing more is written, and what comes is still read."""
        self.is_ended = True
        self.closed.set()

    def get_write_buffer_size(self) -> int:
        """Bytes that the caller has not read, and that no buffer of the system holds."""
        return self.unread

    def abort(self) -> None:
        """As `close`, without what still lies there."""
        self.unread = 0
        self.close()

    def close(self) -> None:
        """Nothing more is written."""
        self.is_closed = True
        self.closed.set()


class Unjoinable(list[bytes]):
    """Pieces of a body: who looks at them first, to join them, finds no memory."""

    looked_at = False

    def __iter__(self) -> Iterator[bytes]:
        if not self.looked_at:
            self.looked_at = True
            raise MemoryError
        return super().__iter__()


class FakeDesk:
    """Lets everything in, or refuses everything, and answers with the body when it is told to."""

    def __init__(self, *, refuses: bool, upload_timeout_s: float) -> None:
        self.refuses = refuses
        self.upload_timeout_s = upload_timeout_s
        self.asked = 0
        self.connections: set[DeskConnection] = set()
        self.gate = asyncio.Event()
        self.is_closing = False
        self.callers: list[Caller] = []
        self.clients: list[str] = []
        self.dropped: list[int] = []
        self.broken_off: list[type[GlimpseError]] = []
        self.ids_broken_off: list[str] = []
        self.room_bytes = 1_000
        self.ends_connection = False
        self.cross_origin: CrossOrigin | None = None

    def admit(self, method: bytes, target: bytes, headers: RawHeaders) -> Admitted | Refused | None:
        """Count it; only one path is its own."""
        if target != b"/predict":
            return None
        assert method == b"POST"
        assert headers
        self.asked += 1
        if self.refuses:
            return Refused(REFUSAL, self.ends_connection)
        return Admitted("/predict", b"", None, None, f"id-{self.asked}", 100.0)

    def receive(self, admitted: Admitted, size_bytes: int) -> bytes | None:
        """Take so many bytes of all bodies, and no more."""
        assert admitted.path == "/predict"
        self.room_bytes -= size_bytes
        return REFUSAL if self.room_bytes < 0 else None

    def too_late(self) -> UploadTimeoutError:
        """As the real one."""
        return UploadTimeoutError("too late")

    def no_memory(self, size_bytes: int) -> OverloadedError:
        """As the real one."""
        return OverloadedError(f"no memory for {size_bytes} bytes", retry_after_s=5, reason="no_memory")

    def break_off(
        self,
        error: GlimpseError,
        admitted: Admitted | None,
        *,
        request_id: str,
        client: str,
        default_headers: RawHeaders,
    ) -> bytes:
        """Say why, and whose request it was."""
        assert client
        self.ids_broken_off.append(request_id)
        assert default_headers == [(b"date", b"today")]
        self.broken_off.append(type(error))
        return TOO_LATE + (admitted.request_id.encode() if admitted else b"nobody")

    def hang_up(self, admitted: Admitted, received_bytes: int, *, client: str) -> None:
        """Remember it as what was dropped."""
        assert admitted
        assert client
        self.dropped.append(received_bytes)

    def drop(self, received_bytes: int) -> None:
        """Remember it."""
        self.dropped.append(received_bytes)

    async def answer(self, admitted: Admitted, body: bytes, caller: Caller, *, client: str) -> Reply:
        """Give the body back."""
        assert admitted.path == "/predict"
        self.clients.append(client)
        self.callers.append(caller)
        await self.gate.wait()
        return Reply(200, "application/json", {"server-timing": "x"}, json.dumps(body.decode()).encode())


class Connection:
    """A protocol with a desk, and an application behind it."""

    def __init__(
        self,
        *,
        refuses: bool = False,
        proxies: str = "127.0.0.1",
        peer: str | None = None,
        upload_timeout_s: float = 100,
    ) -> None:
        self.reached = 0
        self.answers_at_once = False
        config = uvicorn.Config(
            self._application,
            interface="asgi3",
            ws="none",
            log_config=None,
            access_log=False,
            forwarded_allow_ips=proxies,
        )
        config.load()
        self.transport = Transport(peer=peer)
        self.desk = FakeDesk(refuses=refuses, upload_timeout_s=upload_timeout_s)
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        self.protocol = DeskProtocol(config=config, server_state=state, app_state={"desk": self.desk})
        self.protocol.connection_made(self.transport)

    def receive(self, data: bytes) -> None:
        """Something comes."""
        self.protocol.data_received(data)

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope
        while not self.answers_at_once and (await receive()).get("more_body"):
            pass
        self.reached += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def has_timer(connection: Connection) -> bool:
    """Whether the connection ends when nothing more comes."""
    return connection.protocol.timeout_keep_alive_task is not None


def is_watched(connection: Connection) -> bool:
    """Whether something has to arrive in time."""
    return connection.protocol._arrival_timer.is_running


def waits_for_reader(connection: Connection) -> bool:
    """Whether what was written has to be read in time."""
    return connection.protocol._end._reader_timer.is_running


def with_connection(
    test: Callable[[Connection], Awaitable[None]],
    **given: Any,
) -> None:
    """Run a test's coroutine over a connection; timers that are left are cancelled with the loop."""

    async def run() -> None:
        connection = Connection(**given)
        await test(connection)
        if connection.protocol.timeout_keep_alive_task:
            connection.protocol.timeout_keep_alive_task.cancel()

    with_loop(run())
