"""What answers tell browsers of pages from other origins: chosen by the request, and written at a connection."""

import re

import pytest

from app.errors import OverloadedError
from app.wire.cross_origin import PREFLIGHT, CrossOrigin, with_lines
from app.wire.headers import RawHeaders
from tests.unit.app.loops import turns
from tests.unit.app.wire.connection import HEAD, REFUSAL, TOO_LATE, WHOLE, Connection, Unjoinable, with_connection

A, B = "https://a.example", "http://localhost:3000"
EXPOSED = (b"access-control-expose-headers", b"retry-after, server-timing, x-request-id")
VARIES = (b"vary", b"Origin")
TOLD_A = (
    b"access-control-allow-origin: https://a.example\r\n"
    b"access-control-expose-headers: retry-after, server-timing, x-request-id\r\nvary: Origin\r\n"
)
ORIGIN_A = b"Origin: https://a.example\r\n"
FROM_A, FROM_NOBODY = HEAD + ORIGIN_A + b"\r\nabcde", WHOLE


def from_page(origin: str, **more: str) -> RawHeaders:
    """Headers of a page's request."""
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
    return [(b"host", b"x"), (b"origin", origin.encode()), *named]


@pytest.mark.parametrize("origin", [A, B])
def test_an_origin_of_the_list_is_told_that_it_is_allowed(origin: str) -> None:
    """Itself and no other, with what its pages may read; caches learn that others are told something else."""
    told = CrossOrigin(f"{A}, {B}").headers(from_page(origin))
    assert told == ((b"access-control-allow-origin", origin.encode()), EXPOSED, VARIES)


@pytest.mark.parametrize(
    "origin",
    ["https://b.example", "https://a.example.evil", "https://a.example:8", "http://a.example", "null", ""],
)
def test_all_others_are_told_nothing_but_that_it_varies(origin: str) -> None:
    """Also whoever sends no origin: a cache may keep that answer, and be asked for it by a page."""
    cross_origin = CrossOrigin(f"{A}, {B}")
    assert cross_origin.headers(from_page(origin)) == (VARIES,)
    assert cross_origin.headers([(b"host", b"x")]) == (VARIES,)


@pytest.mark.parametrize("request_headers", [from_page(A), from_page("null"), []])
def test_a_star_is_one_answer_for_all(request_headers: RawHeaders) -> None:
    """Which caches may give to anybody."""
    assert CrossOrigin("*").headers(request_headers) == ((b"access-control-allow-origin", b"*"), EXPOSED)


@pytest.mark.parametrize("origins", ["*", f"{A}, {B}"])
@pytest.mark.parametrize("origin", [A, "https://b.example"])
def test_lines_are_the_same_headers(origins: str, origin: str) -> None:
    """The protocol writes them, and the framework hands them on."""
    cross_origin = CrossOrigin(origins)
    lines = cross_origin.lines(from_page(origin)).decode().split("\r\n")
    headers = cross_origin.headers(from_page(origin))
    assert lines == [*(f"{name.decode()}: {value.decode()}" for name, value in headers), ""]


@pytest.mark.parametrize(
    ("origins", "method", "headers", "is_preflight"),
    [
        (A, "OPTIONS", from_page(A, access_control_request_method="POST"), True),
        ("*", "OPTIONS", from_page(A, access_control_request_method="POST"), True),
        (A, "OPTIONS", from_page(B, access_control_request_method="POST"), False),
        (A, "OPTIONS", from_page(A), False),
        (A, "POST", from_page(A, access_control_request_method="POST"), False),
        ("*", "OPTIONS", [(b"access-control-request-method", b"POST")], False),
    ],
)
def test_a_preflight_is_told_from_other_requests(
    origins: str, method: str, headers: RawHeaders, is_preflight: bool
) -> None:
    """By its method, and by the two headers that a browser sends with it; others are nobody's but the router's."""
    assert CrossOrigin(origins).is_preflight(method, headers) == is_preflight


def test_the_operators_key_is_not_among_the_headers_of_pages() -> None:
    """What the service reads of a request for pictures is."""
    allowed = re.split(", *", PREFLIGHT["access-control-allow-headers"])
    assert {"content-type", "x-request-id", "x-request-timeout-ms", "traceparent"} <= set(allowed)
    assert not {"authorization", "*"} & set(allowed)


def test_lines_stand_behind_the_status_line() -> None:
    """Of an answer that is written already, whatever its body."""
    assert with_lines(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n\r\n", b"c: d\r\n") == (
        b"HTTP/1.1 200 OK\r\nc: d\r\na: b\r\n\r\n\r\n"
    )


def open_to_a(connection: Connection) -> Connection:
    """The desk lets pages of one origin call it."""
    connection.desk.cross_origin = CrossOrigin(A)
    return connection


def test_an_answer_of_the_desk_tells_the_page_of_its_own_request() -> None:
    """The next request on the connection is somebody else's."""

    async def check(connection: Connection) -> None:
        open_to_a(connection).desk.gate.set()
        for request in (FROM_A, FROM_NOBODY):
            connection.receive(request)
            await turns()
        first, second = connection.transport.pieces
        assert first.startswith(b"HTTP/1.1 200 OK\r\n" + TOLD_A + b"date: today\r\n")
        assert second.startswith(b"HTTP/1.1 200 OK\r\nvary: Origin\r\ndate: today\r\n")

    with_connection(check)


def test_an_answer_tells_its_own_page_though_the_next_request_has_come() -> None:
    """A proxy may send requests of different pages, one behind the other."""

    async def check(connection: Connection) -> None:
        open_to_a(connection)
        connection.receive(FROM_A + FROM_NOBODY)
        connection.desk.gate.set()
        await turns()
        assert connection.transport.pieces[0].startswith(b"HTTP/1.1 200 OK\r\n" + TOLD_A)

    with_connection(check)


def test_a_refusal_tells_the_page_too() -> None:
    """It is written at the header already, once for callers of all origins."""

    async def check(connection: Connection) -> None:
        open_to_a(connection)
        connection.receive(FROM_A)
        connection.receive(FROM_NOBODY)
        status_line, rest = REFUSAL.split(b"\r\n", 1)
        assert connection.transport.pieces == [
            status_line + b"\r\n" + TOLD_A + rest,
            status_line + b"\r\nvary: Origin\r\n" + rest,
        ]

    with_connection(check, refuses=True)


def test_a_page_is_told_that_its_body_has_no_room() -> None:
    """In the middle of it."""

    async def check(connection: Connection) -> None:
        open_to_a(connection).desk.room_bytes = 2
        connection.receive(FROM_A)
        assert connection.transport.written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n" + TOLD_A)

    with_connection(check)


@pytest.mark.parametrize(
    ("came", "told"),
    [
        (FROM_A[:-1], TOLD_A),
        (HEAD + ORIGIN_A + b"X", TOLD_A),
        (HEAD, b"vary: Origin\r\n"),
        (b"nonsense\r\n\r\n", b"vary: Origin\r\n"),
    ],
    ids=["half a body", "half a header", "half a header without an origin", "nonsense"],
)
def test_a_page_is_told_that_its_request_did_not_arrive(came: bytes, told: bytes) -> None:
    """As far as its origin has come."""

    async def check(connection: Connection) -> None:
        open_to_a(connection)
        connection.receive(came)
        await connection.transport.closed.wait()
        status_line, rest = TOO_LATE.split(b"\r\n", 1)
        assert connection.transport.written.startswith(status_line + b"\r\n" + told + rest)

    with_connection(check, upload_timeout_s=0.01)


def test_a_page_is_told_that_its_body_could_not_be_put_together() -> None:
    """All of its request has come by then, and a part of the next."""

    async def check(connection: Connection) -> None:
        open_to_a(connection)
        connection.receive(FROM_A[:-2])
        cycle = connection.protocol._desk_cycle
        assert cycle is not None
        cycle.body = Unjoinable(cycle.body)
        connection.receive(FROM_A[-2:] + HEAD)
        await connection.transport.closed.wait()
        assert connection.desk.broken_off == [OverloadedError]
        assert connection.transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n" + TOLD_A)

    with_connection(check)


@pytest.mark.parametrize("origin", [ORIGIN_A, b""])
def test_what_the_protocol_answers_in_the_frameworks_place_tells_the_page(origin: bytes) -> None:
    """A body of a length that is not known does not come to its end."""

    async def check(connection: Connection) -> None:
        open_to_a(connection)
        connection.receive(b"POST /model HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + origin + b"\r\n")
        await connection.transport.closed.wait()
        told = TOLD_A if origin else b"vary: Origin\r\n"
        assert connection.transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n" + told)

    with_connection(check, upload_timeout_s=0.01)
