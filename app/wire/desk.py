"""The desk: plain requests for pictures, taken at their header and answered without the framework.

What a framework does for each request (a scope, a stack of middleware, a router, a response object, two writes)
cost more than the decoding of a small picture (docs/benchmarks.md). `app/wire/protocol.py` brings here what came
over a connection, and carries the reply back. The routes of FastAPI answer the same requests with the same
functions (`app.answers.reply_to`): for every other server, and for whatever is not plain.
"""

import asyncio
import time
from typing import NamedTuple, Protocol

from app.answers import PATHS, body_limits, reply_to
from app.callers import Caller
from app.errors import OverloadedError, ParameterError, UnavailableError, UploadTimeoutError, stopped_too_soon
from app.logs import log_request
from app.problems import CLIENT_CLOSED, ends_connection, kind_of, to_reply
from app.service import Service
from app.settings import Settings
from app.wire.cross_origin import cross_origin_of
from app.wire.exchange import NO_TIME, SERVER_TIMING, Admitted, Asked, Refused, Reply
from app.wire.headers import RawHeaders, announced_bytes, header, request_id_of, timeout_ms, trace_id_of
from models.errors import GlimpseError

_REFUSAL_KEPT_S = 0.002
"""A refusal is good for whoever asks the same within this time: the backlog changes by a few pictures."""
_ID = "0" * 32
"""Stands in a kept refusal where the request's own id belongs; as long as the ids that are drawn here."""
_NO_MEMORY_S = 5
"""In which other requests may have given theirs back. Source: choice."""
_PATHS = {path.encode(): path for path in PATHS}


class _KeptRefusal(NamedTuple):
    """A refusal that may be given again.

    Attributes:
        until_s: when it ends, in seconds on the steady clock.
        path: the path that it was given for.
        timeout_ms: the time, in ms, that the request had.
        error: the error that it tells.
        refused: what is given again, with `_ID` for the request's id.
    """

    until_s: float
    path: str
    timeout_ms: int
    error: UnavailableError
    refused: Refused


class Connection(Protocol):
    """On which requests come to the desk."""

    def give_up(self) -> None:
        """Answer a request that has not arrived."""
        ...


class Desk:
    """Decides from a header whether a request could be answered in time, and answers it.

    Args:
        service: the one that answers.
        settings: deadlines and limits are read from them.

    Attributes:
        upload_timeout_s: most seconds for a request to arrive; a connection that sends nothing has as long.
        connections: all connections that are open.
        cross_origin: what every answer tells pages of other origins; None where none may call the service.
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self.upload_timeout_s = settings.upload_timeout_s
        self.connections: set[Connection] = set()
        self.cross_origin = cross_origin_of(settings)
        self._kept: _KeptRefusal | None = None
        self._limits = body_limits(settings)

    def admit(self, method: bytes, target: bytes, headers: RawHeaders) -> Admitted | Refused | None:
        """Look at the header of a request.

        Returns:
            The request that was let in; or its refusal; or None for what belongs to the framework: another path or
            method, an unknown or too large length, a header that cannot be understood, a service that stops.
        """
        raw_path, _, query = target.partition(b"?")
        path = _PATHS.get(raw_path)
        if method != b"POST" or path is None or b"#" in query or self._service.is_draining:
            return None
        length = announced_bytes(headers)
        if length is None or length > self._limits[path].size_bytes:
            return None
        try:
            asked_ms = timeout_ms(headers, self._settings)
        except ParameterError:
            return None
        kept = self._kept
        if kept and kept.path == path and kept.timeout_ms == asked_ms and time.monotonic() < kept.until_s:
            self._service.refusals.count(kept.error)
            return self._give_again(kept, headers)
        try:
            timeout_s = self._service.admit(asked_ms / 1000)
        except UnavailableError as error:
            refused = Refused(refusal(error, _ID), ends_connection(error))
            told = error.with_traceback(None)  # it would keep this frame, and so the refusal before, and so on
            self._kept = _KeptRefusal(time.monotonic() + _REFUSAL_KEPT_S, path, asked_ms, told, refused)
            return self._give_again(self._kept, headers)
        self._service.admission.expect()
        content_type, content_encoding = header(headers, b"content-type"), header(headers, b"content-encoding")
        request_id, trace_id = request_id_of(headers), trace_id_of(headers)
        return Admitted(path, query, content_type, content_encoding, request_id, timeout_s, trace_id)

    def receive(self, admitted: Admitted, size_bytes: int) -> bytes | None:
        """Make room for a piece of a body that has come.

        Args:
            admitted: header of the request that the body belongs to.
            size_bytes: length of the piece.

        Returns:
            None; or, where there is no room, the whole answer. What still comes of the body is nobody's, but is to
            be read: most clients send all they have before they listen.
        """
        try:
            self._service.hold(size_bytes)
        except UnavailableError as error:
            self._service.metrics.count_answer(admitted.path, kind_of(error).status)
            return refusal(error, admitted.request_id, keep_alive=not self.is_closing)
        return None

    def drop(self, received_bytes: int) -> None:
        """Forget a request whose body did not come to its end.

        Args:
            received_bytes: bytes of the body that were received; their room is given back.
        """
        self._service.admission.stop_expecting()
        self._service.bodies.let_go(received_bytes)

    def hang_up(self, admitted: Admitted, received_bytes: int, *, client: str) -> None:
        """Forget a request whose caller went away before its body was there; count it, and write its log line.

        Args:
            admitted: header of the request.
            received_bytes: bytes of the body that were received; their room is given back.
            client: address of the caller, for the log.
        """
        self.drop(received_bytes)
        self._tell(admitted, CLIENT_CLOSED, request_id=admitted.request_id, client=client)

    def too_late(self) -> UploadTimeoutError:
        """Make the error of a request that did not arrive in time."""
        return UploadTimeoutError(
            f"The request did not arrive within {self.upload_timeout_s:g} seconds. Send it again over a faster "
            "line, send a smaller picture, or raise GLIMPSE_UPLOAD_TIMEOUT_S."
        )

    def no_memory(self, size_bytes: int) -> OverloadedError:
        """Make the error of a body whose pieces cannot be put together; the refusal is counted."""
        error = OverloadedError(
            f"There is no memory to put a body of {size_bytes:,} bytes together. Come back after Retry-After "
            "seconds.",
            retry_after_s=_NO_MEMORY_S,
            reason="no_memory",
        )
        self._service.refusals.count(error)
        return error

    def break_off(
        self,
        error: GlimpseError,
        admitted: Admitted | None,
        *,
        request_id: str,
        client: str,
        default_headers: RawHeaders,
    ) -> bytes:
        """Write the whole answer to a request that did not come to its end; then the connection is to be closed.

        Args:
            error: the reason why it did not.
            admitted: header of the request, if that was all; None where not even that came.
            request_id: the request's id, told to the caller.
            client: address of the caller, for the log.
            default_headers: headers of the server: the date.
        """
        self._tell(admitted, kind_of(error).status, request_id=request_id, client=client)
        return refusal(error, request_id, default_headers=default_headers, keep_alive=False)

    async def answer(self, admitted: Admitted, body: bytes, caller: Caller, *, client: str) -> Reply:
        """Answer a request whose body is there, count it and write its log line; this never fails.

        Args:
            admitted: header of the request.
            body: all of the body, each piece of which was received here; its room is given back.
            caller: whoever waits for the answer.
            client: address of the caller, for the log.
        """
        started_s = time.perf_counter()
        self._service.admission.stop_expecting()
        asked = Asked(admitted, body)
        fault: Exception | None = None
        try:
            reply = await reply_to(self._service, asked, caller)
        except asyncio.CancelledError:  # by the server, whose time for a stop is over
            reply = _failure(stopped_too_soon(), asked)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the cause
            reply = _failure(error, asked)
            fault = error if reply.status != CLIENT_CLOSED else None
        finally:
            self._service.bodies.let_go(len(body))
        seconds = time.perf_counter() - started_s
        self._service.metrics.answered(admitted.path, reply.status, seconds)
        log_request(
            request_id=admitted.request_id,
            trace_id=admitted.trace_id,
            method="POST",
            path=admitted.path,
            status=reply.status,
            seconds=seconds,
            client=client,
            fault=fault,
            more=asked.log_fields,
        )
        del fault  # its frames, this one too, hold the body and what was made of it
        return reply

    def close(self) -> None:
        """Answer the requests that have not arrived when the service stops."""
        for connection in list(self.connections):
            connection.give_up()

    @property
    def is_closing(self) -> bool:
        """Whether a connection ends with the answer that it is given now."""
        return self._service.is_draining

    @property
    def is_right(self) -> bool:
        """Whether the golden pictures were answered rightly when they were last asked."""
        return self._service.judge.fault is None

    def hear_of_others(self, *, is_another_right: bool) -> None:
        """Learn whether a process beside this one would answer those whom this one has to send away."""
        self._service.judge.is_another_right = is_another_right

    @property
    def is_lost(self) -> bool:
        """Whether only a new process can answer anything."""
        return self._service.is_lost

    def _tell(self, admitted: Admitted | None, status: int, *, request_id: str, client: str) -> None:
        """Count a request that did not come to its end, and write its log line."""
        path = admitted.path if admitted else "other"
        self._service.metrics.count_answer(path, status)
        log_request(
            request_id=request_id,
            trace_id=admitted.trace_id if admitted else None,
            method="POST" if admitted else "",
            path=path,
            status=status,
            seconds=0.0,
            client=client,
            fault=None,
            more={},
        )

    def _give_again(self, kept: _KeptRefusal, headers: RawHeaders) -> Refused:
        self._service.metrics.count_answer(kept.path, kind_of(kept.error).status)
        request_id = request_id_of(headers)
        if len(request_id) == len(_ID):
            answer = kept.refused.answer.replace(_ID.encode(), request_id.encode())
        else:
            answer = refusal(kept.error, request_id)
        return Refused(answer, kept.refused.ends_connection)


def _failure(error: Exception, asked: Asked) -> Reply:
    """Answer what ended without a reply, and say how far it came."""
    reply = to_reply(error, asked.admitted.request_id)
    return reply._replace(headers={**reply.headers, SERVER_TIMING: asked.timing.to_header()})


def refusal(
    error: GlimpseError, request_id: str, *, default_headers: RawHeaders = (), keep_alive: bool = True
) -> bytes:
    """Write an error as one whole answer.

    Args:
        error: the reason for which nothing was done for the request.
        request_id: the request's id, told to the caller.
        default_headers: headers of the server: the date, which a 4xx must have (RFC 9110, 6.6.1).
        keep_alive: whether the connection carries another request.
    """
    reply = to_reply(error, request_id)
    told = reply._replace(headers={**reply.headers, SERVER_TIMING: NO_TIME})
    return told.to_http(request_id, default_headers=default_headers, keep_alive=keep_alive)
