"""One request for pictures and its reply, whoever carries them: the framework, or the protocol itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple

SERVER_TIMING = "server-timing"
REQUEST_ID = "request_id"
"""Key in a scope's state: the id of the request, from the middleware, or the protocol if that answers first."""
TIMEOUT_S = "timeout_s"
"""Key in a scope's state: seconds for the answer once the body is there; set where pictures are let in."""
LOG_FIELDS = "log_fields"
"""Key in a scope's state: the fields that a route adds to the log line of its request."""
ANSWERED_WITH = "answered_with"
"""Key in a scope's state: the HTTP status that the protocol answered in the framework's place."""
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


@dataclass(slots=True)
class Timing:
    """Where the time of a request went; of several pictures the longest time of each stage counts.

    Attributes:
        decode_ms: time from bytes to pixels, the wait for a thread included.
        queue_ms: time from there to the start of the batch, or to the moment when nobody waited any more.
        infer_ms: time that the run of the batch took.
        batch_size: pictures in the largest batch; 0 where none was run.
    """

    decode_ms: float = 0.0
    queue_ms: float = 0.0
    infer_ms: float = 0.0
    batch_size: int = 0

    def to_header(self) -> str:
        """Write it as the value of the header Server-Timing."""
        return (
            f"decode;dur={self.decode_ms:.2f}, queue;dur={self.queue_ms:.2f}, infer;dur={self.infer_ms:.2f}, "
            f"batch;desc={self.batch_size}"
        )

    def to_fields(self) -> dict[str, object]:
        """Write it as fields of a log line."""
        return {
            "decode_ms": round(self.decode_ms, 2),
            "queue_ms": round(self.queue_ms, 2),
            "infer_ms": round(self.infer_ms, 2),
            "batch": self.batch_size,
        }


NO_TIME = Timing().to_header()
"""Server-Timing of a request that was refused before anything was done for it."""


class Admitted(NamedTuple):
    """A request that was let in by its header; its body is on its way.

    Attributes:
        path: a key of `app.answers.PATHS`.
        query: bytes behind the question mark, as they came.
        content_type: the header Content-Type; None where there was none.
        content_encoding: the header Content-Encoding; None where there was none.
        request_id: the caller's X-Request-ID, or one that was drawn here.
        timeout_s: seconds for the answer, once the body is there.
        trace_id: of the caller's traceparent; None where there was none.
    """

    path: str
    query: bytes
    content_type: str | None
    content_encoding: str | None
    request_id: str
    timeout_s: float
    trace_id: str | None = None


class Refused(NamedTuple):
    """A request that was refused by its header; its body goes by.

    Attributes:
        answer: the whole HTTP answer.
        ends_connection: whether it says that nothing more is answered on its connection.
    """

    answer: bytes
    ends_connection: bool


@dataclass(slots=True)
class Asked:
    """A request whose body is there.

    Attributes:
        admitted: its header; its time for the answer begins now.
        body: its bytes, up to the limit of the path.
        log_fields: further fields of its log line; whoever answers adds to them.
        timing: time of each stage; whoever answers fills it, also when the answer is an error.
    """

    admitted: Admitted
    body: bytes
    log_fields: dict[str, object] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)


class Reply(NamedTuple):
    """An answer to a request for pictures.

    Attributes:
        status: HTTP status.
        media_type: value of the header Content-Type.
        headers: name → value, beside type, length and request id.
        body: bytes of JSON, or of what the media type says.
    """

    status: int
    media_type: str
    headers: Mapping[str, str]
    body: bytes

    def to_http(
        self, request_id: str, *, default_headers: Sequence[tuple[bytes, bytes]] = (), keep_alive: bool = True
    ) -> bytes:
        """Write it as one piece of HTTP/1.1: a second write would cost another system call.

        Args:
            request_id: the request's id, told to the caller.
            default_headers: headers of the server: the date.
            keep_alive: whether the connection carries another request.
        """
        lines = [
            _STATUS_LINES[self.status],
            *(f"{name.decode('latin-1')}: {value.decode('latin-1')}\r\n" for name, value in default_headers),
            f"content-length: {len(self.body)}\r\ncontent-type: {self.media_type}\r\n",
            f"x-request-id: {request_id}\r\n",
            *(f"{name}: {value}\r\n" for name, value in self.headers.items()),
            "\r\n" if keep_alive else "connection: close\r\n\r\n",
        ]
        return "".join(lines).encode("latin-1") + self.body
