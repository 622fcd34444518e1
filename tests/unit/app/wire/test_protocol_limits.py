"""What a connection may not do: send for ever, never read, upgrade, or speak no HTTP."""

import asyncio
from typing import Any

import httptools
import pytest

from app.errors import HeaderTooLargeError, MalformedRequestError, NotReadyError
from app.wire import connection_end
from app.wire.exchange import ANSWERED_WITH, REQUEST_ID
from models.errors import GlimpseError
from tests.unit.app.loops import turns
from tests.unit.app.wire.connection import (
    HEAD,
    REFUSAL,
    TOO_LATE,
    WHOLE,
    Connection,
    has_timer,
    is_watched,
    waits_for_reader,
    with_connection,
)


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

    with_connection(check, refuses=refuses, upload_timeout_s=0.01)


def test_the_rest_of_a_body_without_room_is_not_waited_for() -> None:
    """It has its answer; when the rest does not come in time the connection is closed, without another."""

    async def check(connection: Connection) -> None:
        connection.desk.room_bytes = 0
        connection.receive(WHOLE[:-1])
        await connection.transport.closed.wait()
        assert (connection.transport.written, connection.desk.broken_off) == (REFUSAL, [])
        connection.protocol.connection_lost(None)
        assert connection.desk.dropped == [0]

    with_connection(check, upload_timeout_s=0.01)


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

    with_connection(check)


def test_of_many_requests_that_did_not_wait_some_are_answered_and_the_last_one_says_so() -> None:
    """The others are not even parsed: a piece holds ten thousand, and each would wait in memory."""

    async def check(connection: Connection) -> None:
        connection.receive(10_000 * b"GET /q HTTP/1.1\r\nHost:\r\n\r\n")
        assert len(connection.protocol.pipeline) == 32
        assert connection.transport.is_read  # and thrown away: what is not read would reset the connection
        while not connection.transport.is_over:
            await asyncio.sleep(0)
        connection.receive(b"GET /q HTTP/1.1\r\nHost:\r\n\r\n")
        await turns()
        assert connection.reached == 33
        answers = connection.transport.written.split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert [b"connection: close" in answer for answer in answers] == [False] * 32 + [True]
        assert not connection.transport.is_closed
        connection.protocol.connection_lost(None)

    with_connection(check)


def test_nothing_is_read_while_requests_wait() -> None:
    """Neither behind an answer nor for the body of the one in work; with the last one it is read on, and stays."""

    async def check(connection: Connection) -> None:
        connection.receive(5 * b"GET /q HTTP/1.1\r\nHost:\r\n\r\n")
        while connection.reached < 5:
            assert connection.transport.is_read == (not connection.protocol.pipeline)
            await asyncio.sleep(0)
        await turns()
        assert not connection.transport.is_over
        assert b"connection: close" not in connection.transport.written

    with_connection(check)


def test_a_sender_is_not_blamed_for_our_own_slowness() -> None:
    """While reading is paused, or an earlier answer is due, the time starts anew."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE + HEAD)
        first = connection.protocol._arrival_timer._handle
        while connection.protocol._arrival_timer._handle is first:
            await asyncio.sleep(0)
        assert not connection.transport.is_over
        connection.desk.gate.set()
        await connection.transport.closed.wait()
        assert connection.transport.pieces[0].endswith(b'"abcde"')
        assert connection.transport.pieces[1] == TOO_LATE + b"nobody"

    with_connection(check, upload_timeout_s=0.01)


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

    with_connection(check, upload_timeout_s=0.01)


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

    with_connection(check, upload_timeout_s=0.01)


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

    with_connection(check)


def test_requests_with_upgrades_may_follow_one_another() -> None:
    """The second came with the first; both are answered, in order, the second by the framework."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive((HEAD + UPGRADE + b"\r\nabcde") * 2)
        await turns()
        assert connection.transport.pieces[0].endswith(b'"abcde"')
        assert (connection.desk.asked, connection.reached) == (1, 1)

    with_connection(check)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", MalformedRequestError),
        (b"hello\r\n\r\n", MalformedRequestError),
        (b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\n\r\n", MalformedRequestError),  # no host
        (HEAD + b"Host: y\r\n\r\n", MalformedRequestError),  # two of them
        (b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", MalformedRequestError),
        (HEAD.replace(b"HTTP/1.1", b"HTTP/2.0") + b"\r\n", MalformedRequestError),
        (b"GET /health\r\n\r\n", MalformedRequestError),  # HTTP/0.9
        (b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", MalformedRequestError),
        (
            b"POST /x HTTP/1.1\r\nHost: x\r\n" + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n",
            MalformedRequestError,
        ),
        (HEAD + b"X: " + b"a" * 65_536, HeaderTooLargeError),
        (HEAD + b"X: " + b"a" * 65_536 + b"\r\n\r\n", HeaderTooLargeError),
        (HEAD + b"X: y\r\n" * 12_000 + b"\r\n", HeaderTooLargeError),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1_000, 10**6], ids=["in pieces", "in one"])
def test_what_cannot_be_answered_is_broken_off(sent: bytes, error: type[GlimpseError], piece_bytes: int) -> None:
    """CONNECT, what is no HTTP or not ours, a header without end: one answer, and the connection is closed."""

    async def check(connection: Connection) -> None:
        for start in range(0, len(sent), piece_bytes):
            connection.receive(sent[start : start + piece_bytes])
        assert connection.desk.broken_off == [error]
        assert (connection.transport.written, connection.transport.is_over) == (TOO_LATE + b"nobody", True)
        assert connection.desk.asked == connection.reached == 0

    with_connection(check)


def test_whose_request_is_broken_off_may_finish_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing over what still comes would reset the connection, and the answer be lost; but not for ever."""
    monkeypatch.setattr(connection_end, "_LINGER_S", 0.01)

    async def check(connection: Connection) -> None:
        connection.receive(b"hello\r\n\r\n")
        assert (connection.transport.is_ended, connection.transport.is_closed) == (True, False)
        connection.receive(WHOLE)
        assert (connection.desk.asked, connection.transport.written) == (0, TOO_LATE + b"nobody")
        while not connection.transport.is_closed:
            await asyncio.sleep(0.001)

    with_connection(check)


def test_the_id_of_a_header_that_is_refused_is_kept() -> None:
    """Whoever asked for one finds his request in the log by it."""

    async def check(connection: Connection) -> None:
        connection.receive(HEAD + b"Host: y\r\nX-Request-ID: mine\r\n\r\n")
        assert connection.desk.ids_broken_off == ["mine"]

    with_connection(check)


def test_whoever_never_reads_is_cut_off_without_a_word() -> None:
    """Of several requests the framework answers the first, and that one is told that nobody is there any more."""

    async def check(connection: Connection) -> None:
        connection.protocol.pause_writing()
        connection.receive(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        await turns()
        first = connection.protocol._framework_cycle
        assert first is not None
        assert first is not connection.protocol.cycle
        first.message_event.clear()  # as `receive` does, while it waits for who hangs up
        connection.protocol.connection_lost(None)
        assert first.disconnected
        assert first.message_event.is_set()
        await turns()
        assert connection.transport.written == b""

    with_connection(check)


CHUNKED = (
    b"POST /chunks HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
)


@pytest.mark.parametrize("is_begun", [True, False])
def test_a_body_that_is_no_http_is_broken_off(is_begun: bool) -> None:
    """400 in the framework's place, under the id by which the framework logs it, whether that has begun or not."""

    async def check(connection: Connection) -> None:
        connection.receive(CHUNKED)
        if is_begun:
            await turns()
        connection.receive(b"no length\r\n")
        assert connection.transport.written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"\r\nx-request-id: mine\r\n" in connection.transport.written
        assert b"\r\ndate: today\r\n" in connection.transport.written
        assert connection.transport.is_over
        state = connection.protocol.cycle.scope["state"]
        assert (state[ANSWERED_WITH], state[REQUEST_ID]) == (400, "mine")
        connection.protocol.connection_lost(None)
        await turns()

    with_connection(check)


def test_nobody_is_told_to_continue_after_the_end() -> None:
    """The framework would, where it is asked for a body that was refused meanwhile."""

    async def check(connection: Connection) -> None:
        connection.receive(CHUNKED.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") + b"no length\r\n")
        await turns()
        assert connection.transport.written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"100 Continue" not in connection.transport.written
        connection.protocol.connection_lost(None)
        await turns()

    with_connection(check)


BIG_PIECE = b"%x\r\n%b\r\n" % (70_000, b"a" * 70_000)
"""More of a body than uvicorn takes before somebody reads it."""


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
def test_whoever_reads_a_body_that_is_no_http_hears_its_end(expects: bytes) -> None:
    """Though the connection stays until its caller closes it; and behind the answer nobody is told to go on."""
    heard: list[str] = []

    async def listen(_scope: Any, receive: Any, _send: Any) -> None:
        heard.append((await receive())["type"])
        heard.append((await receive())["type"])

    async def check(connection: Connection) -> None:
        connection.protocol.app = listen
        connection.receive(CHUNKED.replace(b"\r\n\r\n", b"\r\n" + expects + b"\r\n", 1))
        if not expects:
            await turns()
            assert heard == ["http.request"]
        connection.receive(b"no length\r\n")
        await turns()
        assert heard == ["http.disconnect" if expects else "http.request", "http.disconnect"]
        assert b"100 Continue" not in connection.transport.written

    with_connection(check)


def test_the_rest_of_what_was_broken_off_is_read() -> None:
    """Though reading was paused, for nobody had taken what came: what is left unread resets the connection."""

    async def check(connection: Connection) -> None:
        connection.receive(CHUNKED + BIG_PIECE + b"no length\r\n")
        assert connection.transport.is_ended
        assert not connection.protocol.flow.read_paused
        connection.protocol.connection_lost(None)

    with_connection(check)


def test_what_is_no_http_behind_two_requests_is_read() -> None:
    """Reading was paused because the second waits for the first, and would be until both are answered."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE + b"GET /x HTTP/1.1\r\nHost: x\r\n\r\nhello\r\n\r\n")
        assert not connection.protocol.flow.read_paused
        assert not connection.transport.is_over
        connection.desk.gate.set()
        await connection.transport.closed.wait()
        await turns()

    with_connection(check)


def test_a_body_that_we_do_not_read_is_not_too_late() -> None:
    """While reading is paused its time begins anew: the sender cannot go on."""
    gate = asyncio.Event()

    async def wait(_scope: Any, _receive: Any, _send: Any) -> None:
        await gate.wait()

    async def check(connection: Connection) -> None:
        connection.protocol.app = wait
        connection.receive(CHUNKED + BIG_PIECE)
        assert connection.protocol.flow.read_paused
        first = connection.protocol._arrival_timer._handle
        while connection.protocol._arrival_timer._handle is first:
            await asyncio.sleep(0)
        assert is_watched(connection)
        assert (connection.transport.written, connection.transport.is_over) == (b"", False)
        connection.protocol.connection_lost(None)
        gate.set()
        await turns()

    with_connection(check, upload_timeout_s=0.01)


@pytest.mark.parametrize("others", [0, 1])
def test_a_broken_body_is_not_answered_before_the_request_in_front_of_it(others: int) -> None:
    """Whoever reads the answers in order would take it for theirs: it has none, and the others have."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE * (1 + others) + CHUNKED)
        connection.receive(b"no length\r\n" * 10_000)
        assert (connection.transport.written, connection.transport.is_over) == (b"", False)
        connection.desk.gate.set()
        await connection.transport.closed.wait()
        await turns()
        assert connection.transport.written.count(b"HTTP/1.1 ") == 1 + others
        assert connection.transport.written.count(b"connection: close\r\n") == 1
        assert (connection.desk.asked, connection.reached, connection.desk.broken_off) == (1, others, [])
        connection.protocol.connection_lost(None)

    with_connection(check)


def test_the_answer_before_a_broken_request_says_that_it_is_the_last() -> None:
    """Else its caller would send the next request into a connection that is closed."""

    async def check(connection: Connection) -> None:
        connection.receive(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" + CHUNKED)
        connection.receive(b"no length\r\n" * 10_000)
        await connection.transport.closed.wait()
        assert connection.transport.written.count(b"HTTP/1.1 ") == 1
        assert b"connection: close\r\n" in connection.transport.written
        connection.protocol.connection_lost(None)

    with_connection(check)


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("whole", [WHOLE, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["desk", "framework"])
def test_what_is_no_http_behind_a_request_does_not_cost_its_answer(whole: bytes, is_split: bool) -> None:
    """A Content-Length that is too small does it: answered, then closed, whatever else comes."""

    async def check(connection: Connection) -> None:
        for piece in [whole, b"fgh"] if is_split else [whole + b"fgh"]:
            connection.receive(piece)
        connection.receive(WHOLE)
        assert (connection.transport.written, connection.transport.is_over) == (b"", False)
        assert not is_watched(connection)
        connection.desk.gate.set()
        await connection.transport.closed.wait()
        await turns()
        assert connection.transport.written.count(b"HTTP/1.1 200 OK\r\n") == 1
        assert b"connection: close\r\n" in connection.transport.written
        assert connection.desk.asked + connection.reached == 1
        assert connection.desk.broken_off == []

    with_connection(check)


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
        assert connection.desk.broken_off == []
        assert len(connection.transport.pieces) == 2

    with_connection(check)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [(b"0\r\n", b"a: b\r\n" * 200), (b"0\r\na: ", b"b" * 1_000), (b"1;", b"c" * 1_000)],
    ids=["lines behind the body", "one long line behind it", "words beside a length"],
)
def test_what_stands_beside_a_body_has_an_end(begin: bytes, piece: bytes) -> None:
    """431 when it is longer than a header may be, and nothing of it is kept: it could fill the memory."""

    async def check(connection: Connection) -> None:
        connection.receive(CHUNKED + begin)
        kept = len(connection.protocol.headers)
        pieces = 0
        while not connection.transport.is_over:
            connection.receive(piece)
            pieces += 1
        assert 65_000 < pieces * len(piece) < 68_000
        assert connection.transport.written.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert len(connection.protocol.headers) == kept
        connection.protocol.connection_lost(None)
        await turns()

    with_connection(check)


def test_a_line_behind_a_body_is_no_header() -> None:
    """The request is answered; neither it nor the next one has the line among its headers."""

    async def check(connection: Connection) -> None:
        connection.receive(CHUNKED + b"0\r\nExpect: 100-continue\r\nX: y\r\n\r\n")
        while not has_timer(connection):
            await asyncio.sleep(0)
        assert connection.transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
        assert {b"x", b"expect"}.isdisjoint(dict(connection.protocol.headers))
        connection.receive(CHUNKED + b"0\r\n\r\n")
        assert {b"x", b"expect"}.isdisjoint(dict(connection.protocol.headers))
        while connection.reached < 2:
            await asyncio.sleep(0)

    with_connection(check)


@pytest.mark.parametrize("size_bytes", [1, 10_000])
def test_a_body_in_many_pieces_is_no_long_header(size_bytes: int) -> None:
    """The count of what stands beside a body begins anew with each piece of it."""

    async def check(connection: Connection) -> None:
        connection.receive(CHUNKED)
        for _ in range(20):
            connection.receive(b"%x;%b\r\n%b\r\n" % (size_bytes, b"c" * 10_000, b"a" * size_bytes))
            await turns()
        connection.receive(b"0\r\n\r\n")
        while not has_timer(connection):
            await asyncio.sleep(0)
        assert connection.transport.written.startswith(b"HTTP/1.1 200 OK\r\n")

    with_connection(check)


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

    with_connection(check)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n",
        b"HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.0\r\nContent-Length: 2\r\n",
    ],
    ids=["length", "chunked", "1.0"],
)
def test_who_is_answered_too_soon_may_finish_sending(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the framework, for the last time: closing over what still comes would lose the answer."""
    monkeypatch.setattr(connection_end, "_LINGER_S", 0.01)

    async def check(connection: Connection) -> None:
        connection.protocol.app = answer_at_once
        connection.receive(b"POST /nothing " + head + b"Host: x\r\n\r\n")
        await connection.transport.closed.wait()
        assert (connection.transport.is_ended, connection.transport.is_closed) == (True, False)
        connection.receive(b"ab")
        while not connection.transport.is_closed:
            await asyncio.sleep(0.001)
        assert connection.transport.written.count(b"HTTP/1.1 404 ") == 1

    with_connection(check)


def test_nothing_is_answered_behind_the_last_answer() -> None:
    """Though a second request has begun to come: it is neither carried out nor written to."""
    asked = 0

    async def count(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def check(connection: Connection) -> None:
        connection.protocol.app = count
        first = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.receive(first + b"POST /y HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        await connection.transport.closed.wait()
        await turns()
        assert (asked, connection.transport.written.count(b"HTTP/1.1 ")) == (1, 1)
        connection.protocol.connection_lost(None)

    with_connection(check)


def test_who_has_sent_all_waits_for_no_end() -> None:
    """The framework's last answer closes the connection at once."""

    async def check(connection: Connection) -> None:
        connection.receive(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await connection.transport.closed.wait()
        assert (connection.transport.is_ended, connection.transport.is_closed) == (False, True)

    with_connection(check)


def test_an_early_answer_leaves_no_timer_in_the_next_request() -> None:
    """The rest of a body and the next request come in one piece: what waits for a request must not cut it off."""

    async def check(connection: Connection) -> None:
        connection.protocol.app = answer_at_once
        connection.receive(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        while not has_timer(connection):
            await asyncio.sleep(0)
        connection.receive(b"ab" + WHOLE)
        assert not has_timer(connection)
        connection.desk.gate.set()
        while not has_timer(connection):
            await asyncio.sleep(0)
        assert connection.transport.written.count(b"HTTP/1.1 200 ") == 1

    with_connection(check)


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

    with_connection(check)


def test_who_never_reads_is_not_waited_for() -> None:
    """The connection is cut when the time of an upload is over; who reads on in time keeps it."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        connection.receive(WHOLE)
        await turns()
        connection.transport.unread = 100_000
        connection.protocol.pause_writing()
        connection.protocol.resume_writing()
        assert not waits_for_reader(connection)
        connection.protocol.pause_writing()
        keep_alive = connection.protocol.timeout_keep_alive_task
        assert keep_alive
        keep_alive.cancel()  # uvicorn's own would end it, too, after 5 s
        await connection.transport.closed.wait()

    with_connection(check, upload_timeout_s=0.01)


def test_a_stop_answers_what_has_not_arrived() -> None:
    """503 for half a body; nothing where nothing was asked."""

    async def check(connection: Connection) -> None:
        connection.protocol.give_up()
        assert connection.transport.written == b""
        connection.receive(WHOLE[:-1])
        connection.protocol.give_up()
        assert connection.desk.broken_off == [NotReadyError]
        assert connection.transport.is_over
        assert connection.desk.dropped == [4]

    with_connection(check)


def test_a_stop_leaves_a_request_that_has_arrived_to_its_answer() -> None:
    """It is in work, and what gives it up is the time of the stop, not its beginning."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE)
        await turns()
        connection.protocol.give_up()
        assert (connection.desk.broken_off, connection.desk.dropped) == ([], [])
        assert (connection.transport.written, connection.transport.is_over) == (b"", False)
        connection.desk.gate.set()
        await turns()
        assert connection.transport.written.endswith(b'"abcde"')

    with_connection(check)


def test_the_desk_knows_its_connections() -> None:
    """As long as they are there: in every process it is the desk that gives them up."""

    async def check(connection: Connection) -> None:
        assert connection.desk.connections == {connection.protocol}
        connection.protocol.connection_lost(None)
        assert connection.desk.connections == set()

    with_connection(check)


@pytest.mark.parametrize("target", [b"/\xff", b"http://x:y/", b"http://x?q", b"/" + b"a" * 65_536])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_target_that_cannot_be_understood_is_the_callers_fault(target: bytes, is_first: bool) -> None:
    """No text, no address, no path, no end: 400 for nobody's request, also behind one that was answered."""

    async def check(connection: Connection) -> None:
        connection.desk.gate.set()
        if not is_first:
            connection.receive(WHOLE)
            await turns()
        connection.transport.pieces.clear()
        connection.receive(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert len(connection.desk.broken_off) == 1
        assert (connection.transport.written, connection.transport.is_over) == (TOO_LATE + b"nobody", True)
        assert connection.desk.dropped == []

    with_connection(check)


@pytest.mark.parametrize("target", [b"/\xff", b"http://x:y/"])
def test_a_target_that_cannot_be_understood_costs_nobody_else_an_answer(target: bytes) -> None:
    """Whoever asked before on the same connection hears what was asked for; then it is closed."""

    async def check(connection: Connection) -> None:
        connection.receive(WHOLE + b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        await turns()
        assert (connection.transport.written, connection.desk.dropped) == (b"", [])
        connection.desk.gate.set()
        await turns()
        assert connection.transport.written.endswith(b'"abcde"')
        assert connection.transport.is_over

    with_connection(check)


def test_a_fault_of_ours_is_not_told_as_the_callers() -> None:
    """It leaves the protocol, so that the event loop logs it."""

    async def check(connection: Connection) -> None:
        def fail(*_given: Any) -> None:
            raise ZeroDivisionError

        connection.desk.admit = fail  # type: ignore[method-assign, assignment]  # the fault that is looked for
        with pytest.raises(httptools.HttpParserCallbackError, match="callback"):
            connection.receive(WHOLE)
        assert connection.desk.broken_off == []

    with_connection(check)


def test_a_request_of_http_1_0_needs_no_host() -> None:
    """It is older than that header."""

    async def check(connection: Connection) -> None:
        connection.receive(b"GET /health HTTP/1.0\r\n\r\n")
        await turns()
        assert connection.reached == 1

    with_connection(check)
