"""The protocol with a desk in front: who is answered from there, in which order, and who is not."""

import asyncio

import pytest

from app.errors import NotReadyError, OverloadedError
from app.wire import connection_end, protocol
from tests.unit.app.loops import turns
from tests.unit.app.wire.connection import (
    HEAD,
    REFUSAL,
    TOO_LATE,
    WHOLE,
    Connection,
    Unjoinable,
    has_timer,
    is_watched,
    waits_for_reader,
    with_connection,
)


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

    with_connection(check)


def test_the_task_of_an_answer_is_among_the_servers() -> None:
    """It cancels those that are left when the time of a stop is over; one that has ended is held by nobody."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE)
        await turns()
        (task,) = connection.protocol.tasks
        assert not task.done()
        connection.desk.gate.set()
        await turns()
        assert (task.done(), connection.protocol.tasks) == (True, set())

    with_connection(check)


@pytest.mark.parametrize(
    ("peer", "proxies", "shown"),
    [
        (None, "*", "192.0.2.7"),
        (None, "10.0.0.1", "unknown"),
        ("10.0.0.1", "10.0.0.1", "192.0.2.7"),
        ("::ffff:10.0.0.1", "10.0.0.1", "192.0.2.7"),
        ("::ffff:10.0.0.2", "10.0.0.1", "10.0.0.2"),
        ("2001:db8::ffff:1", "10.0.0.1", "2001:db8::ffff:1"),
    ],
)
def test_the_caller_behind_a_trusted_proxy_is_named(peer: str | None, proxies: str, shown: str) -> None:
    """In the log, by the proxy's header; of anybody else the header is not believed."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive(HEAD + b"X-Forwarded-For: 192.0.2.7\r\n\r\nabcde")
        await turns()
        assert connection.desk.clients == [shown]

    with_connection(check, proxies=proxies, peer=peer)


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

    with_connection(check)


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

    with_connection(check)


@pytest.mark.parametrize("is_draining", [False, True])
def test_a_body_for_which_there_is_no_room_goes_by(is_draining: bool) -> None:
    """Answered in the middle of it, for senders who listen last; what had come is let go, the rest is nobody's."""

    async def check(connection: Connection) -> None:
        connection.desk.room_bytes = 2
        connection.receive(HEAD + b"\r\nab")
        assert connection.transport.written == b""
        connection.desk.is_closing = is_draining
        connection.receive(b"c")
        connection.receive(b"d")
        assert (connection.transport.pieces, connection.transport.is_over) == ([REFUSAL], False)
        assert connection.desk.dropped == [2]
        assert is_watched(connection)
        connection.receive(b"e")
        assert connection.transport.is_over == is_draining
        assert has_timer(connection) != is_draining
        if not is_draining:
            connection.desk.room_bytes = 100
            connection.desk.gate.set()
            connection.receive(WHOLE)
            await turns()
            assert connection.transport.pieces[1].endswith(b'"abcde"')
        connection.protocol.connection_lost(None)
        await turns()
        assert (connection.desk.dropped, connection.reached) == ([2], 0)

    with_connection(check)


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
        assert not connection.transport.is_over
        connection.desk.gate.set()
        await turns()
        assert b"\r\nconnection: close\r\n\r\n" in connection.transport.written
        assert connection.transport.is_over

    with_connection(check)


@pytest.mark.parametrize("comes", [True, False])
def test_who_has_just_connected_before_a_stop_is_answered(comes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request may lie in the kernel already; whoever sends nothing is let go soon."""
    monkeypatch.setattr(protocol, "_FIRST_REQUEST_S", 0.01)

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.protocol.shutdown()
        assert not connection.transport.is_over
        if comes:
            connection.receive(WHOLE)
        await connection.transport.closed.wait()
        assert connection.transport.written.startswith(b"HTTP/1.1 200 OK" if comes else b"")
        assert bool(connection.transport.written) == comes

    with_connection(check)


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

    with_connection(check, refuses=True)


@pytest.mark.parametrize("pieces", [(b"abcde", WHOLE), (b"abcde" + WHOLE,)], ids=["apart", "together"])
def test_nothing_is_answered_behind_a_refusal_that_ends_the_connection(pieces: tuple[bytes, ...]) -> None:
    """It says `connection: close`; its own body is read, and whatever comes then: else all would be reset."""

    async def check(connection: Connection) -> None:
        connection.desk.ends_connection = True
        connection.receive(HEAD + b"\r\n")
        assert (connection.transport.written, connection.transport.is_over) == (REFUSAL, False)
        for piece in pieces:
            connection.receive(piece)
            assert connection.transport.is_over
        assert (connection.transport.written, connection.transport.is_closed) == (REFUSAL, False)
        assert (connection.desk.asked, has_timer(connection)) == (1, False)
        connection.protocol.connection_lost(None)

    with_connection(check, refuses=True)


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

    with_connection(check)


def test_who_does_not_read_is_not_written_to() -> None:
    """The answers to a flood of requests must not pile up in memory."""

    async def check(connection: Connection) -> None:
        connection.protocol.pause_writing()
        connection.receive(WHOLE)
        assert (connection.desk.asked, connection.transport.written) == (0, b"")
        connection.protocol.resume_writing()
        while not connection.reached:
            await asyncio.sleep(0)

    with_connection(check)


@pytest.mark.parametrize("reads_half", [False, True])
@pytest.mark.parametrize(
    "ends",
    [
        *("keep-alive is over", "the server stops", "nothing came", "the last answer"),
        *("the framework's last answer", "broken off"),
    ],
)
def test_who_never_reads_is_cut_off_after_the_last_answer_too(
    ends: str, reads_half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection closes when all is read; less than what would pause the writing was waited for without end."""
    monkeypatch.setattr(connection_end, "_LINGER_S", 0.01)
    last_request = {
        "the framework's last answer": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "broken off": b"hello\r\n\r\n",
    }

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.desk.is_closing = ends == "the last answer"
        connection.transport.unread = 1_000
        connection.receive(last_request.get(ends, WHOLE))
        while not connection.transport.written:
            await asyncio.sleep(0)
        protocol = connection.protocol
        for end, act in {
            "keep-alive is over": protocol.timeout_keep_alive_handler,
            "the server stops": protocol.shutdown,
            "nothing came": protocol._on_too_late,
        }.items():
            if ends == end:
                act()
        async with asyncio.timeout(10):
            while not connection.transport.is_closed:
                await asyncio.sleep(0.001)
        if reads_half:
            protocol.pause_writing()
            protocol.resume_writing()
        async with asyncio.timeout(10):
            while connection.transport.unread:
                await asyncio.sleep(0.01)
        protocol.connection_lost(None)
        assert not waits_for_reader(connection)

    with_connection(check, upload_timeout_s=0.05)


def test_who_has_read_all_is_not_waited_for() -> None:
    """The usual end of a connection costs no timer."""

    async def check(connection: Connection) -> None:
        connection.protocol.timeout_keep_alive_handler()
        assert connection.transport.is_closed
        assert not waits_for_reader(connection)

    with_connection(check)


def test_a_body_that_cannot_be_put_together_is_answered_and_let_go() -> None:
    """It lies there in pieces, and there is no memory for the whole: 503, and its bytes are counted no more."""

    async def check(connection: Connection) -> None:
        connection.receive(HEAD + b"\r\nab")
        cycle = connection.protocol._desk_cycle
        assert cycle is not None
        cycle.body = Unjoinable(cycle.body)
        connection.receive(b"cde")
        while not connection.transport.written:
            await asyncio.sleep(0)
        assert connection.desk.broken_off == [OverloadedError]
        assert connection.desk.dropped == [5]
        assert connection.transport.is_ended

    with_connection(check)


@pytest.mark.parametrize("comes", [True, False])
def test_half_a_header_before_a_stop_has_a_moment_too(comes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is on its way, and answered; where it does not come the caller hears 503, not nothing."""
    monkeypatch.setattr(protocol, "_FIRST_REQUEST_S", 0.01)

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive(WHOLE)
        await turns()
        connection.receive(WHOLE[:30])
        connection.protocol.shutdown()
        assert not connection.transport.is_over
        if comes:
            connection.desk.is_closing = True
            connection.receive(WHOLE[30:])
        await connection.transport.closed.wait()
        assert connection.transport.pieces[1].startswith(b"HTTP/1.1 200 OK" if comes else TOO_LATE)
        assert connection.desk.broken_off == ([] if comes else [NotReadyError])

    with_connection(check)


def test_a_stop_does_not_close_over_a_body_that_goes_by() -> None:
    """Its refusal is written; closing over what is still sent would reset the connection, and that with it."""

    async def check(connection: Connection) -> None:
        connection.receive(HEAD + b"\r\nab")
        connection.protocol.shutdown()
        assert connection.transport.is_ended
        assert not connection.transport.is_closed
        connection.protocol.connection_lost(None)

    with_connection(check, refuses=True)


@pytest.mark.parametrize("rest", [HEAD + b"\r\nab", WHOLE])
def test_the_last_answer_does_not_close_over_what_came_behind_it(rest: bytes) -> None:
    """A request that did not wait is not answered any more, and its caller may still be sending it."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE)
        await turns()
        connection.receive(rest)
        connection.desk.is_closing = True
        connection.desk.gate.set()
        await turns()
        assert connection.transport.is_ended
        assert not connection.transport.is_closed
        assert (len(connection.transport.pieces), connection.reached) == (1, 0)
        connection.protocol.connection_lost(None)

    with_connection(check)


def test_a_blank_line_does_not_end_a_request_in_work() -> None:
    """Behind a pipelined one it belongs to nothing; its timer waits for the answer that is due."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive(WHOLE + b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        while not connection.desk.clients:
            await asyncio.sleep(0)
        connection.receive(b"\r\n")
        connection.protocol._on_too_late()
        assert not connection.transport.is_closed
        while not connection.reached:
            await asyncio.sleep(0)
        await turns()
        assert len(connection.transport.pieces) > 1

    with_connection(check)


def test_a_trailer_that_closes_is_obeyed() -> None:
    """The parser hears nothing behind it: the next request would get no answer, and no end either."""

    async def check(connection: Connection) -> None:
        connection.receive(
            b"POST /other HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
            b"Connection: close\r\n\r\n"
        )
        while not connection.reached:
            await asyncio.sleep(0)
        await turns()
        assert b"connection: close" in connection.transport.written
        assert connection.transport.is_closed

    with_connection(check)


@pytest.mark.parametrize(
    ("version", "value", "is_told"),
    [(b"1.1", b"100-continue", True), (b"1.1", b"100-continue \t", True), (b"1.0", b"100-continue", False)],
)
def test_who_asks_before_sending_is_told_to_go_on(version: bytes, value: bytes, is_told: bool) -> None:
    """A blank behind the value is none of it; HTTP/1.0 knows no such answer."""

    async def check(connection: Connection) -> None:
        head = b"POST /other HTTP/%b\r\nHost: x\r\nContent-Length: 5\r\nExpect: %b\r\n\r\n" % (version, value)
        connection.receive(head)
        await turns()
        assert connection.transport.written == (b"HTTP/1.1 100 Continue\r\n\r\n" if is_told else b"")
        connection.protocol.connection_lost(None)

    with_connection(check)


def test_a_trailer_that_closes_ends_a_connection_that_was_answered_before() -> None:
    """Nothing more is heard on it, so it does not wait for another request."""

    async def check(connection: Connection) -> None:
        connection.answers_at_once = True
        connection.receive(b"POST /other HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        while not connection.transport.written:
            await asyncio.sleep(0)
        assert not connection.transport.is_over
        connection.receive(b"0\r\nConnection: close\r\n\r\n")
        assert connection.transport.is_closed
        assert not has_timer(connection)

    with_connection(check)


def test_a_stop_waits_for_no_one_who_only_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose request was broken off, and who does not leave, is let go soon when a stop waits for it."""
    monkeypatch.setattr(connection_end, "_LINGER_S", 1_000)
    monkeypatch.setattr(connection_end, "_LAST_LINGER_S", 0.01)

    async def check(connection: Connection) -> None:
        connection.receive(b"hello\r\n\r\n")
        assert connection.transport.is_ended
        connection.protocol.shutdown()
        async with asyncio.timeout(10):
            while not connection.transport.is_closed:
                await asyncio.sleep(0.01)

    with_connection(check)


def test_nothing_is_done_behind_the_last_answer() -> None:
    """A second request in the piece that ends a refused body: its caller was told that the connection closes."""

    async def check(connection: Connection) -> None:
        connection.desk.room_bytes = 0
        connection.receive(HEAD + b"\r\n")
        connection.desk.is_closing = True
        connection.receive(b"abcde" + b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        await turns()
        assert connection.transport.pieces == [REFUSAL]
        assert connection.transport.is_ended
        assert connection.reached == 0
        connection.protocol.connection_lost(None)

    with_connection(check)
