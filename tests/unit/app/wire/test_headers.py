"""What is read in headers, at the edges of what is allowed."""

import pytest

from app.errors import HeaderTooLargeError, ParameterError
from app.settings import Settings
from app.wire.headers import (
    MOST_HEADER_BYTES,
    announced_bytes,
    forwarded_for,
    host_of,
    refuse_header,
    timeout_ms,
    trace_id_of,
    whole_number,
    without_upgrade,
)

HOST = (b"host", b"x")
HOST_BYTES = len("host: x\r\n")


@pytest.mark.parametrize("room_bytes", [0, -1])
def test_the_target_is_part_of_the_header(room_bytes: int) -> None:
    """With the lines it may fill the limit to the last byte, and not a byte more."""
    target = b"/" * (MOST_HEADER_BYTES - HOST_BYTES - room_bytes)
    came_bytes = len(target) + HOST_BYTES + len("GET  HTTP/1.1\r\n\r\n")
    if room_bytes < 0:
        with pytest.raises(HeaderTooLargeError, match="more than 65,536 bytes"):
            refuse_header("1.1", target, [HOST], came_bytes=came_bytes)
    else:
        refuse_header("1.1", target, [HOST], came_bytes=came_bytes)


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED", b" chunked\t"])
def test_the_name_of_a_coding_is_the_same_in_capitals(coding: bytes) -> None:
    """RFC 9112, 7; and the space around it is none of it."""
    refuse_header("1.1", b"/", [HOST, (b"transfer-encoding", coding)], came_bytes=100)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("7", 7), ("007", 7), ("0" * 5_000 + "70", 70), ("1234567890", 1_234_567_890)]
)
def test_a_whole_number_is_read_whatever_its_length(text: str, value: int) -> None:
    """Noughts in front say nothing."""
    assert whole_number(text) == value


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1 ", "1.5", "1e3", "1_000", "0x1", "²", "٣", "many"])
def test_other_texts_are_no_whole_numbers(text: str) -> None:
    """Nor are the digits of other scripts, some of which Python would read."""
    assert whole_number(text) is None


@pytest.mark.parametrize("digits", [20, 21, 5_000])
def test_a_number_without_end_is_more_than_any_limit(digits: int) -> None:
    """Of thousands of digits Python would read none."""
    assert whole_number("9" * digits) == 10**20 - 1


@pytest.mark.parametrize(("asked", "time_ms"), [(b"3000000000", 3_000_000_000), (b"0" * 5_000 + b"250", 250)])
def test_a_time_is_a_number_as_every_other(asked: bytes, time_ms: int) -> None:
    """However large it is, where the operator allows it, and however many noughts stand in front."""
    settings = Settings(max_deadline_ms=10**10)
    assert timeout_ms([(b"x-request-timeout-ms", asked)], settings) == time_ms


@pytest.mark.parametrize("asked", [b"1" * 10, b"1" * 5_000, b"0" * 5_000 + b"60001", b"000"])
def test_a_time_out_of_range_is_refused(asked: bytes) -> None:
    """Of thousands of digits Python itself would read none, and that would be a fault of ours."""
    with pytest.raises(ParameterError, match="whole milliseconds from 1 to 60000 are understood"):
        timeout_ms([(b"x-request-timeout-ms", asked)], Settings())


@pytest.mark.parametrize(
    ("length", "size_bytes"),
    [(b"5", 5), (b"0", 0), (b"000", 0), (b"0" * 30 + b"5", 5), (b"0" * 5_000 + b"70", 70)],
)
def test_noughts_in_front_of_a_length_say_nothing(length: bytes, size_bytes: int) -> None:
    """However many: the body is as long as the other digits say."""
    assert announced_bytes([(b"content-length", length)]) == size_bytes


@pytest.mark.parametrize("length", [None, b"", b"-1", b"5, 5"])
def test_a_length_that_is_no_number_is_not_known(length: bytes | None) -> None:
    """Neither is one that nobody told."""
    assert announced_bytes([HOST] if length is None else [(b"content-length", length)]) is None


@pytest.mark.parametrize(("client", "host"), [(("192.0.2.7", 50_000), "192.0.2.7"), (None, "unknown")])
def test_the_other_end_has_a_name(client: tuple[str, int] | None, host: str) -> None:
    """Also on a socket of the file system, which tells no address."""
    assert host_of(client) == host


def test_what_several_proxies_say_is_one_list() -> None:
    """In the order in which it came; without a proxy there is none."""
    sent = [(b"x-forwarded-for", b"192.0.2.7"), HOST, (b"x-forwarded-for", b"10.0.0.1, 10.0.0.2")]
    assert forwarded_for(sent) == "192.0.2.7, 10.0.0.1, 10.0.0.2"
    assert forwarded_for([HOST]) is None


@pytest.mark.parametrize(("keep_alive", "told"), [(True, b""), (False, b"connection: close\r\n")])
def test_a_header_is_written_again_without_its_upgrade(keep_alive: bool, told: bytes) -> None:
    """And what else the header Connection said of the connection is kept."""
    sent = [HOST, (b"connection", b"Upgrade"), (b"upgrade", b"h2c"), (b"http2-settings", b"A"), (b"a", b"b")]
    written = without_upgrade(b"GET", b"/x?y", sent, version="1.1", keep_alive=keep_alive)
    assert written == b"GET /x?y HTTP/1.1\r\nhost: x\r\na: b\r\n" + told + b"\r\n"


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("parent", "trace_id"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f" 00-{TRACE}-{PARENT}-00 ", TRACE),
        (f"cc-{TRACE}-{PARENT}-01", TRACE),
        (f"cc-{TRACE}-{PARENT}-01-what-comes-later", TRACE),
        (f"00-{TRACE}-{PARENT}-01-", None),
        (f"00-{TRACE}-{PARENT}-011", None),
        (f"cc-{TRACE}-{PARENT}-01.what", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE[1:]}-{PARENT}-01", None),
        (f"00-{TRACE}0-{PARENT}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE[:-1]}g-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        (TRACE, None),
        ("", None),
    ],
)
def test_only_a_well_formed_traceparent_names_a_trace(parent: str, trace_id: str | None) -> None:
    """W3C Trace Context: what is not quite one is none, so that no header writes into the log."""
    assert trace_id_of([HOST, (b"traceparent", parent.encode())]) == trace_id


def test_a_request_without_traceparent_is_part_of_no_trace() -> None:
    """As most are."""
    assert trace_id_of([HOST]) is None
