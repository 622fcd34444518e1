"""What a request says in its headers, read in one way at the desk and behind the framework; how it is quoted."""

import random
import re
from collections.abc import Sequence

from app.errors import ParameterError
from app.settings import Settings

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Names and values as ASGI has them: the names in lower case."""

_IDS = random.Random()  # noqa: S311 - told apart, not kept secret; and no system call for each
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
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


def announced_bytes(headers: RawHeaders) -> int | None:
    """Read Content-Length; None where there is none, or no number. Of a very long one the first digits do."""
    text = header(headers, b"content-length") or ""
    if not (text.isascii() and text.isdecimal()):
        return None
    digits = text.lstrip("0") or "0"
    return int(digits[:_MOST_DIGITS])


def request_id_of(headers: RawHeaders) -> str:
    """Keep the caller's X-Request-ID if it is short and plain, so that one id follows a request; else draw one."""
    offered = header(headers, b"x-request-id")
    return offered if offered and _SANE_ID.fullmatch(offered) else f"{_IDS.getrandbits(128):032x}"


def timeout_ms(headers: RawHeaders, settings: Settings) -> int:
    """Read how long the caller gives, in X-Request-Timeout-Ms; the setting where it says nothing.

    Raises:
        ParameterError: it is no whole number from 1 to the limit.
    """
    asked = header(headers, b"x-request-timeout-ms")
    if asked is None:
        return settings.deadline_ms
    most = settings.max_deadline_ms
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 10 and 1 <= int(asked) <= most):
        raise ParameterError(
            f"The header X-Request-Timeout-Ms is {shortened(asked)}; whole milliseconds from 1 to {most} are "
            f"understood. Leave it out for {settings.deadline_ms}."
        )
    return int(asked)


def shortened(text: str) -> str:
    """Quote what a caller sent in a header, a path or a query; of a long text its first 40 characters."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")
