"""The protocol with a desk in front, over connections that are not there."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.callers import Caller
from app.desk import Admitted
from app.errors import HeaderTooLargeError, MalformedRequestError, NotReadyError, UploadTimeoutError
from app.exchange import Reply
from app.headers import RawHeaders
from app.protocol import DeskProtocol
from models.errors import GlimpseError

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\n\r\n"
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
WHOLE = HEAD + b"\r\nabcde"


class Transport(asyncio.Transport):
    """Remembers what was written, and in how many pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.is_closed = False
        self.closed = asyncio.Event()

    @property
    def written(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)

    def write(self, data: Any) -> None:
        """Keep it."""
        self.pieces.append(bytes(data))

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.is_closed

    def pause_reading(self) -> None:
        """Nothing."""

    def resume_reading(self) -> None:
        """Nothing."""

    def abort(self) -> None:
        """As `close`, without what still lies there."""
        self.close()

    def close(self) -> None:
        """Nothing more is written."""
        self.is_closed = True
        self.closed.set()


class FakeDesk:
    """Lets everything in, or refuses everything, and answers with the body when it is told to."""

    def __init__(self, *, refuses: bool, upload_timeout_s: float) -> None:
        self.refuses = refuses
        self.upload_timeout_s = upload_timeout_s
        self.asked = 0
        self.gate = asyncio.Event()
        self.is_closing = False
        self.callers: list[Caller] = []
        self.clients: list[str] = []
        self.dropped: list[int] = []
        self.turned_away: list[type[GlimpseError]] = []
        self.room_bytes = 1_000

    def admit(self, method: bytes, target: bytes, headers: RawHeaders) -> Admitted | bytes | None:
        """Count it; only one path is its own."""
        if target != b"/predict":
            return None
        assert method == b"POST"
        assert headers
        self.asked += 1
        return REFUSAL if self.refuses else Admitted("/predict", b"", None, f"id-{self.asked}", 100.0)

    def receive(self, admitted: Admitted, size_bytes: int) -> bytes | None:
        """Take so many bytes of all bodies, and no more."""
        assert admitted.path == "/predict"
        self.room_bytes -= size_bytes
        return REFUSAL if self.room_bytes < 0 else None

    def too_late(self) -> UploadTimeoutError:
        """As the real one."""
        return UploadTimeoutError("too late")

    def turn_away(self, error: GlimpseError, admitted: Admitted | None, *, client: str) -> bytes:
        """Say why, and whose request it was."""
        assert client
        self.turned_away.append(type(error))
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
        self, *, refuses: bool = False, proxies: str = "127.0.0.1", upload_timeout_s: float = 100
    ) -> None:
        self.reached = 0
        config = uvicorn.Config(
            self._application,
            interface="asgi3",
            ws="none",
            log_config=None,
            access_log=False,
            forwarded_allow_ips=proxies,
        )
        config.load()
        self.transport = Transport()
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
        while (await receive()).get("more_body"):
            pass
        self.reached += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def has_timer(connection: Connection) -> bool:
    """Whether the connection ends when nothing more comes."""
    return connection.protocol.timeout_keep_alive_task is not None


def is_watched(connection: Connection) -> bool:
    """Whether something has to arrive in time."""
    return connection.protocol._too_late is not None


def with_loop(
    test: Callable[[Connection], Awaitable[None]],
    **given: Any,
) -> None:
    """Run a test's coroutine over a connection; timers that are left are cancelled with the loop."""

    async def run() -> None:
        connection = Connection(**given)
        async with asyncio.timeout(10):
            await test(connection)
        if connection.protocol.timeout_keep_alive_task:
            connection.protocol.timeout_keep_alive_task.cancel()

    asyncio.run(run())


async def turns() -> None:
    """Let everybody else go on until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_an_answer_is_one_write_and_the_next_request_is_heard() -> None:
    """Whatever pieces the body comes in; the connection stays, and its timer runs between requests."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive(HEAD + b"\r\nab")
        connection.receive(b"cde")
        await turns()
        assert connection.transport.pieces == [
            b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 7\r\ncontent-type: application/json\r\n"
            b'x-request-id: id-1\r\nserver-timing: x\r\n\r\n"abcde"'
        ]
        assert has_timer(connection)
        connection.receive(WHOLE)
        await turns()
        assert (len(connection.transport.pieces), connection.desk.asked, connection.reached) == (2, 2, 0)
        assert not connection.protocol.tasks

    with_loop(check)


@pytest.mark.parametrize(("proxies", "shown"), [("*", "192.0.2.7"), ("10.0.0.1", "unknown")])
def test_the_caller_behind_a_trusted_proxy_is_named(proxies: str, shown: str) -> None:
    """In the log, by the proxy's header; of anybody else the header is not believed."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive(HEAD + b"X-Forwarded-For: 192.0.2.7\r\n\r\nabcde")
        await turns()
        assert connection.desk.clients == [shown]

    with_loop(check, proxies=proxies)


def test_a_second_request_that_did_not_wait_is_answered_second() -> None:
    """Pipelined: it goes through the framework, after the first answer is out."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE + WHOLE)
        await turns()
        assert (connection.transport.written, connection.reached) == (b"", 0)
        connection.desk.gate.set()
        await turns()
        assert connection.transport.pieces[0].endswith(b'"abcde"')
        assert (connection.desk.asked, connection.reached) == (1, 1)
        connection.receive(WHOLE)
        await turns()
        assert connection.desk.asked == 2

    with_loop(check)


@pytest.mark.parametrize("is_whole", [True, False])
def test_who_hangs_up_is_told_to_the_desk(is_whole: bool) -> None:
    """The caller is given up at once, and nothing is written to a connection that is gone."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE if is_whole else WHOLE[:-1])
        await turns()
        connection.protocol.connection_lost(None)
        assert [caller._verdict is not None for caller in connection.desk.callers] == [True] * is_whole
        assert connection.desk.dropped == ([] if is_whole else [4])
        connection.desk.gate.set()
        await turns()
        assert connection.transport.written == b""
        assert not connection.protocol.tasks

    with_loop(check)


def test_a_body_for_which_there_is_no_room_is_broken_off() -> None:
    """Answered in the middle of it; what had come is let go, the connection closed, the rest nobody's."""

    async def check(connection: Connection) -> None:
        connection.desk.room_bytes = 3
        connection.receive(HEAD + b"\r\nab")
        assert connection.transport.written == b""
        connection.receive(b"cde")
        assert (connection.transport.written, connection.transport.is_closed) == (REFUSAL, True)
        assert connection.desk.dropped == [2]
        connection.protocol.connection_lost(None)
        await turns()
        assert (connection.desk.dropped, connection.desk.callers, connection.reached) == ([2], [], 0)

    with_loop(check)


@pytest.mark.parametrize("by_the_server", [True, False])
def test_the_last_answer_before_a_stop_says_so(by_the_server: bool) -> None:
    """Whether uvicorn closes its connections or the service drains: `connection: close`, then closed."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE)
        await turns()
        if by_the_server:
            connection.protocol.shutdown()
        else:
            connection.desk.is_closing = True
        assert not connection.transport.is_closed
        connection.desk.gate.set()
        await turns()
        assert b"\r\nconnection: close\r\n\r\n" in connection.transport.written
        assert connection.transport.is_closed

    with_loop(check)


def test_a_refused_body_goes_by_and_the_next_request_is_heard() -> None:
    """Answered at the header; the body, in pieces, is nobody's; then the timer runs for the next."""

    async def check(connection: Connection) -> None:
        connection.receive(HEAD + b"\r\n")
        assert connection.transport.written == REFUSAL
        connection.receive(b"ab")
        assert not has_timer(connection)
        connection.receive(b"cde")
        assert has_timer(connection)
        connection.receive(WHOLE + WHOLE)
        assert connection.transport.written == REFUSAL * 3
        assert (connection.desk.asked, connection.reached) == (3, 0)
        connection.protocol.shutdown()
        connection.protocol.connection_lost(None)

    with_loop(check, refuses=True)


@pytest.mark.parametrize(
    "header",
    [b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\nUpgrade: h2c\r\n"],
)
def test_what_is_not_plain_is_left_to_uvicorn(header: bytes) -> None:
    """A closing connection, a caller who asks before sending: the desk is not even asked."""

    async def check(connection: Connection) -> None:
        connection.receive(HEAD + header + b"\r\nabcde")
        while not connection.reached:
            await asyncio.sleep(0)
        assert connection.desk.asked == 0

    with_loop(check)


def test_who_does_not_read_is_not_written_to() -> None:
    """The answers to a flood of requests must not pile up in memory."""

    async def check(connection: Connection) -> None:
        connection.protocol.pause_writing()
        connection.receive(WHOLE)
        assert (connection.desk.asked, connection.transport.written) == (0, b"")
        connection.protocol.resume_writing()
        while not connection.reached:
            await asyncio.sleep(0)

    with_loop(check)


@pytest.mark.parametrize(
    ("sent", "refuses", "written"),
    [
        (b"", False, b""),
        (HEAD, False, TOO_LATE + b"nobody"),
        (WHOLE[:-1], False, TOO_LATE + b"id-1"),
        (WHOLE[:-1], True, REFUSAL),
        (HEAD + b"Connection: close\r\n\r\nabc", False, b"HTTP/1.1 408 Request Timeout\r\n"),
    ],
    ids=["nothing", "half a header", "half a body", "half a refused body", "half a body for the framework"],
)
def test_what_does_not_arrive_is_not_waited_for(sent: bytes, refuses: bool, written: bytes) -> None:
    """408 unless there is an answer already, or no request; then it is closed, and all room let go."""

    async def check(connection: Connection) -> None:
        if sent:
            connection.receive(sent)
        await connection.transport.closed.wait()
        assert connection.transport.written.startswith(written)
        assert bool(connection.transport.written) == bool(written)
        assert connection.desk.dropped == ([4] if written.endswith(b"id-1") else [])
        connection.protocol.connection_lost(None)
        await turns()
        assert not connection.protocol.tasks

    with_loop(check, refuses=refuses, upload_timeout_s=0.01)


def test_what_has_arrived_is_not_watched() -> None:
    """Neither while it is answered, nor between requests: those waits have limits of their own."""

    async def check(connection: Connection) -> None:
        assert is_watched(connection)
        connection.receive(WHOLE[:-1])
        connection.receive(WHOLE[-1:])
        assert not is_watched(connection)
        connection.desk.gate.set()
        await turns()
        connection.receive(WHOLE)
        assert not is_watched(connection)
        connection.receive(HEAD)
        assert is_watched(connection)
        connection.protocol.connection_lost(None)
        assert not is_watched(connection)

    with_loop(check)


def test_a_sender_is_not_blamed_for_our_own_slowness() -> None:
    """While reading is paused, or an earlier answer is due, the time starts anew."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE + HEAD)
        first = connection.protocol._too_late
        while connection.protocol._too_late is first:
            await asyncio.sleep(0)
        assert not connection.transport.is_closed
        connection.desk.gate.set()
        await connection.transport.closed.wait()
        assert connection.transport.pieces[0].endswith(b'"abcde"')
        assert connection.transport.pieces[1] == TOO_LATE + b"nobody"

    with_loop(check, upload_timeout_s=0.01)


def test_a_blank_line_is_no_request() -> None:
    """Between requests it ends the wait of uvicorn; ours begins, and the connection is closed without a word."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive(WHOLE)
        await turns()
        assert has_timer(connection)
        assert not is_watched(connection)
        answered = connection.transport.written
        connection.receive(b"\r\n")
        assert is_watched(connection)
        await connection.transport.closed.wait()
        assert connection.transport.written == answered

    with_loop(check, upload_timeout_s=0.01)


def test_a_blank_line_behind_an_answer_through_the_framework_is_none_either() -> None:
    """The same where uvicorn has the request."""

    async def check(connection: Connection) -> None:
        connection.protocol.pause_writing()
        connection.receive(WHOLE)
        connection.protocol.resume_writing()
        while not has_timer(connection):
            await asyncio.sleep(0)
        connection.receive(b"\r\n")
        await connection.transport.closed.wait()

    with_loop(check, upload_timeout_s=0.01)


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"


@pytest.mark.parametrize("split", [0, len(HEAD), len(HEAD + UPGRADE) + 2, len(HEAD + UPGRADE) + 4])
def test_an_upgrade_is_passed_over(split: int) -> None:
    """The request is answered as HTTP/1.1, its body is its body in whatever pieces, and the next one is heard."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        whole = HEAD + UPGRADE + b"\r\nabcde"
        connection.receive(whole[:split] or whole)
        if split:
            connection.receive(whole[split:])
        await turns()
        assert connection.transport.written.endswith(b'"abcde"')
        connection.receive(WHOLE)
        await turns()
        assert (connection.desk.asked, len(connection.transport.pieces), connection.reached) == (2, 2, 0)

    with_loop(check)


def test_requests_with_upgrades_may_follow_one_another() -> None:
    """The second came with the first; both are answered, in order, the second by the framework."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive((HEAD + UPGRADE + b"\r\nabcde") * 2)
        await turns()
        assert connection.transport.pieces[0].endswith(b'"abcde"')
        assert (connection.desk.asked, connection.reached) == (1, 1)

    with_loop(check)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", MalformedRequestError),
        (b"hello\r\n\r\n", MalformedRequestError),
        (HEAD + b"X: " + b"a" * 65_536, HeaderTooLargeError),
    ],
)
def test_what_cannot_be_answered_is_turned_away(sent: bytes, error: type[GlimpseError]) -> None:
    """CONNECT, what is no HTTP, a header without end: one answer, and the connection is closed."""

    async def check(connection: Connection) -> None:
        for start in range(0, len(sent), 1_000):
            connection.receive(sent[start : start + 1_000])
        assert connection.desk.turned_away == [error]
        assert (connection.transport.written, connection.transport.is_closed) == (TOO_LATE + b"nobody", True)
        assert connection.desk.asked == connection.reached == 0

    with_loop(check)


def test_a_long_body_is_no_long_header() -> None:
    """What is counted begins anew with each request."""

    async def check(connection: Connection) -> None:
        connection.desk.room_bytes = 10**6
        head = HEAD.replace(b"Content-Length: 5", b"Content-Length: 200000")
        for _ in range(2):
            connection.receive(head + b"\r\n")
            for _ in range(20):
                connection.receive(b"a" * 10_000)
            await turns()
            connection.desk.gate.set()
            await turns()
        assert connection.desk.turned_away == []
        assert len(connection.transport.pieces) == 2

    with_loop(check)


def test_a_body_that_comes_after_its_answer_does_not_keep_the_connection() -> None:
    """The framework answered the header alone; then the wait for the next request begins."""

    async def check(connection: Connection) -> None:
        connection.protocol.app = answer_at_once
        connection.receive(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        while not has_timer(connection):
            await asyncio.sleep(0)
        connection.receive(b"a")
        assert is_watched(connection)
        connection.receive(b"b")
        assert has_timer(connection)
        assert not is_watched(connection)

    with_loop(check)


async def answer_at_once(_scope: Any, _receive: Any, send: Any) -> None:
    """An application that does not read."""
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def test_http_1_0_is_left_to_uvicorn() -> None:
    """It wants to be told that its connection stays, or sees it closed."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n"))
        while not connection.reached:
            await asyncio.sleep(0)
        assert connection.desk.asked == 0

    with_loop(check)


def test_who_never_reads_is_not_waited_for() -> None:
    """The connection is cut when the time of an upload is over; who reads on in time keeps it."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive(WHOLE)
        await turns()
        connection.protocol.pause_writing()
        connection.protocol.resume_writing()
        assert connection.protocol._unread is None
        connection.protocol.pause_writing()
        await connection.transport.closed.wait()

    with_loop(check, upload_timeout_s=0.01)


def test_a_stop_answers_what_has_not_arrived() -> None:
    """503 for half a body; nothing where nothing was asked."""

    async def check(connection: Connection) -> None:
        connection.protocol.give_up()
        assert connection.transport.written == b""
        connection.receive(WHOLE[:-1])
        connection.protocol.give_up()
        assert connection.desk.turned_away == [NotReadyError]
        assert connection.transport.is_closed
        assert connection.desk.dropped == [4]

    with_loop(check)
