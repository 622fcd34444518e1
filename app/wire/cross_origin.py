"""What an answer tells the browser whose page comes from another origin, so that it hands the answer on.

Without these headers every answer is a network error for the page, whatever it says. So all have them: also
refusals, and answers to requests that did not arrive.
"""

from typing import NamedTuple

from app.origins import EVERY
from app.settings import Settings
from app.wire.headers import RawHeaders, header

PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, PUT",
    "access-control-allow-headers": (
        "content-encoding, content-type, traceparent, tracestate, x-request-id, x-request-timeout-ms"
    ),
    "access-control-max-age": "7200",
}
"""Says to a browser which requests of a page it may send: by the methods that there are, with the headers that are
read here and what goes with them, but not with Authorization, which has the operator's key. All of it is said,
whatever the browser asks about: it compares by itself, and tells the page's developer what was not among them.
Behind an error it could not. It need not ask again for two hours, the most that Chromium takes."""
_EXPOSED = (b"access-control-expose-headers", b"retry-after, server-timing, x-request-id")
"""What a page may read beside the type and the length, which it always may."""
_ALLOWED = b"access-control-allow-origin"
_VARIES = (b"vary", b"Origin")
"""Keeps caches from handing the answer for one origin to another."""


class _Told(NamedTuple):
    """What an answer has beside its own headers: as headers, and written as lines of HTTP/1.1."""

    headers: RawHeaders
    lines: bytes


class CrossOrigin:
    """Chooses what an answer says of who may read it; made once, looked up for each request.

    Args:
        origins: as `app.origins.to_origins` writes them.

    Source:
        The CORS protocol of the Fetch standard. Credentials are never allowed: the service has none.
    """

    def __init__(self, origins: str) -> None:
        self._allows_all = origins == EVERY
        if self._allows_all:
            self._of_others = _told((_ALLOWED, b"*"), _EXPOSED)
            self._of_allowed = {}
        else:
            self._of_others = _told(_VARIES)
            self._of_allowed = {
                origin: _told((_ALLOWED, origin.encode()), _EXPOSED, _VARIES) for origin in origins.split(", ")
            }

    def headers(self, request: RawHeaders) -> RawHeaders:
        """Choose the headers that the answer to a request has beside its own.

        Args:
            request: headers of the request, as far as they have come.
        """
        return self._find(request).headers

    def lines(self, request: RawHeaders) -> bytes:
        """Choose the same as `headers` does, written as lines of HTTP/1.1."""
        return self._find(request).lines

    def is_preflight(self, method: str, request: RawHeaders) -> bool:
        """Tell whether a browser asks, for a page that is allowed, which requests it may send."""
        origin = header(request, b"origin")
        return (
            method == "OPTIONS"
            and header(request, b"access-control-request-method") is not None
            and origin is not None
            and (self._allows_all or origin in self._of_allowed)
        )

    def _find(self, request: RawHeaders) -> _Told:
        return self._of_allowed.get(header(request, b"origin") or "", self._of_others)


def cross_origin_of(settings: Settings) -> CrossOrigin | None:
    """Read it from the settings; None where pages of no other origin may call the service."""
    return CrossOrigin(settings.cors_origins) if settings.cors_origins else None


def with_lines(answer: bytes, lines: bytes) -> bytes:
    """Put lines of headers into an answer that is written already: a refusal is kept for callers of all origins.

    Args:
        answer: all of it, from its status line on.
        lines: each with its end.
    """
    return answer.replace(b"\r\n", b"\r\n" + lines, 1)


def _told(*headers: tuple[bytes, bytes]) -> _Told:
    return _Told(headers, b"".join(b"%b: %b\r\n" % pair for pair in headers))
