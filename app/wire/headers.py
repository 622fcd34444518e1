"""What a request says in its headers, read in one way at the desk and behind the framework; how it is quoted."""

import random
import re
from collections.abc import Sequence

from app.errors import HeaderTooLargeError, MalformedRequestError, ParameterError
from app.settings import Settings

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Names and values as ASGI has them: the names in lower case."""

MOST_HEADER_BYTES = 65_536
"""Other servers take between a quarter of it and all of it. Without a limit one header could fill the memory."""
_BYTES_BESIDE_A_HEADER = len(": \r\n")
_OF_UPGRADES = frozenset({b"connection", b"upgrade", b"http2-settings"})
_VERSIONS = frozenset({"1.1", "1.0"})
_IDS = random.Random()  # noqa: S311 - told apart, not kept secret; and no system call for each
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACE_PARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""Version 00 has 55 characters, later ones may have more, and ff is none (W3C Trace Context, 3.2)."""
_SHOWN_CHARACTERS = 40
_MOST_DIGITS = 20  # Python takes its time to read thousands, or refuses to


def header(headers: RawHeaders, name: bytes) -> str | None:
    """Find the first header of a name, in lower case; None if there is none.

    White space around the value is none of it (RFC 9110, 5.5).
    """
    for key, value in headers:
        if key == name:
            return value.decode("latin-1").strip(" \t")
    return None


def refuse_header(version: str, target: bytes, headers: RawHeaders, *, came_bytes: int) -> None:
    """Refuse a header that is whole, and not one of HTTP/1.1 or 1.0, or too long: it may have come in one piece.

    Args:
        version: of HTTP.
        target: path and query, as they came.
        headers: all of them.
        came_bytes: bytes of everything that came with it, at least the header's own.

    Raises:
        MalformedRequestError: another version, no Host or two of them, or a coding that is unknown here.
        HeaderTooLargeError: it is longer than the limit.
    """
    if version not in _VERSIONS:
        raise MalformedRequestError(f"The request is of HTTP/{version}; HTTP/1.1 and 1.0 are spoken here.")
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise MalformedRequestError(
                f"The Transfer-Encoding {shortened(value.decode('latin-1'))} is not understood; chunked is. "
                "Send the body as it is."
            )
    if hosts != 1 and (hosts or version == "1.1"):
        raise MalformedRequestError(f"The request has {hosts} headers Host, and needs one (RFC 9112, 3.2).")
    if came_bytes > MOST_HEADER_BYTES:
        lines_bytes = sum(len(name) + len(value) + _BYTES_BESIDE_A_HEADER for name, value in headers)
        if len(target) + lines_bytes > MOST_HEADER_BYTES:
            raise header_too_large()


def header_too_large() -> HeaderTooLargeError:
    """Make the error of a header, or of what stands beside a body's content, that is longer than the limit."""
    return HeaderTooLargeError(
        f"The header, or what stands in the body beside its content, has more than {MOST_HEADER_BYTES:,} bytes. "
        "Send less there."
    )


def whole_number(text: str) -> int | None:
    """Read a number that a caller wrote, in a header or a query; None where it is anything but digits.

    Noughts in front say nothing, however many. Of a number that is longer than any limit the first digits do.
    """
    if not (text.isascii() and text.isdecimal()):
        return None
    digits = text.lstrip("0") or "0"
    return int(digits[:_MOST_DIGITS])


def announced_bytes(headers: RawHeaders) -> int | None:
    """Read Content-Length; None where there is none, or no number."""
    text = header(headers, b"content-length")
    return None if text is None else whole_number(text)


def request_id_of(headers: RawHeaders) -> str:
    """Keep the caller's X-Request-ID if it is short and plain, so that one id follows a request; else draw one."""
    offered = header(headers, b"x-request-id")
    return offered if offered and _SANE_ID.fullmatch(offered) else f"{_IDS.getrandbits(128):032x}"


def trace_id_of(headers: RawHeaders) -> str | None:
    """Read the trace that a request is part of: 32 hex digits in traceparent; None where it names none."""
    parent = header(headers, b"traceparent")
    found = _TRACE_PARENT.fullmatch(parent) if parent else None
    return found[1] if found else None


def timeout_ms(headers: RawHeaders, settings: Settings) -> int:
    """Read how long the caller gives, in X-Request-Timeout-Ms; the setting where it says nothing.

    Raises:
        ParameterError: it is no whole number from 1 to the limit.
    """
    asked = header(headers, b"x-request-timeout-ms")
    if asked is None:
        return settings.deadline_ms
    most = settings.max_deadline_ms
    value = whole_number(asked)
    if value is None or not 1 <= value <= most:
        raise ParameterError(
            f"The header X-Request-Timeout-Ms is {shortened(asked)}; whole milliseconds from 1 to {most} are "
            f"understood. Leave it out for {settings.deadline_ms}."
        )
    return value


def host_of(client: tuple[str, int] | None) -> str:
    """Name the other end of a connection, for the log; a socket of the file system has no address."""
    return client[0] if client else "unknown"


def forwarded_for(headers: RawHeaders) -> str | None:
    """Read whom proxies speak for, the last of them at the end; None where there is no X-Forwarded-For."""
    values = [value for name, value in headers if name == b"x-forwarded-for"]
    return b", ".join(values).decode("latin-1") if values else None


def without_upgrade(method: bytes, target: bytes, headers: RawHeaders, *, version: str, keep_alive: bool) -> bytes:
    """Write the header of a request once more, without the wish for another protocol.

    Args:
        method: of the request.
        target: path and query, as they came.
        headers: all of them.
        version: of HTTP.
        keep_alive: whether the connection is to carry another request; what said so may be among what is left out.
    """
    kept = [(name, value) for name, value in headers if name not in _OF_UPGRADES]
    if not keep_alive:
        kept.append((b"connection", b"close"))
    lines = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode()), *(b"%b: %b\r\n" % pair for pair in kept)]
    return b"".join(lines) + b"\r\n"


def shortened(text: str) -> str:
    """Quote what a caller sent in a header, a path or a query; of a long text its first 40 characters."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")
