"""HTTP/1.1 as uvicorn speaks it, with a desk in front: plain requests for pictures are answered from here.

Through the whole application a refusal cost a third of an answer, and under three times the load that can be
answered there are two refusals to each answer; here it costs the reading of the header alone. And an answer costs
half of what it cost behind the framework (docs/benchmarks.md). What is not plain, and every other server than
ours, takes the way through `app.main`.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.callers import Caller
from app.errors import MalformedRequestError, RequestError, stopped_too_soon
from app.problems import kind_of
from app.wire.connection_end import ConnectionEnd
from app.wire.cross_origin import with_lines
from app.wire.cycles import Arrival, ClosedLate, DeskCycle
from app.wire.desk import Desk, refusal
from app.wire.exchange import ANSWERED_WITH, REQUEST_ID, Admitted, Refused
from app.wire.headers import (
    MOST_HEADER_BYTES,
    RawHeaders,
    forwarded_for,
    header_too_large,
    host_of,
    refuse_header,
    request_id_of,
    without_upgrade,
)
from app.wire.reading import Reading
from app.wire.timer import Timer
from models.errors import GlimpseError

_FIRST_REQUEST_S = 0.1
"""Whoever has just connected sends at once: closed before that is read, they would be cut off without a word."""

_MOST_WAITING = 32
"""Requests that may wait for the answer to the one before them. One of 26 bytes takes 3.4 kB there, and a piece of
what is read holds ten thousand. Source: choice; a browser sends none ahead."""

_OF_CALLERS = (httptools.HttpParserInvalidURLError, UnicodeDecodeError, RequestError)
"""What is raised in a callback of the parser when the caller is at fault: uvicorn's two are about the target."""
_MAPPED = "::ffff:"
"""In front of an IPv4 address, where both kinds are listened to; neither logs nor trusted proxies have it."""


class DeskProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        given: uvicorn's own arguments. In `app_state` the lifespan of the application has put the `desk`, which is
            asked with the header of each plain request.
    """

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**given)
        self._desk: Desk = self.app_state["desk"]
        self._desk_cycle: DeskCycle | None = None
        self._arrival = Arrival.NOTHING
        self._framework_cycle: RequestResponseCycle | None = None
        self._arrival_timer = Timer(self.loop)
        self._piece_bytes = 0
        self._header_bytes = 0
        self._has_advanced = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first request, but not for ever."""
        super().connection_made(transport)
        if self.client:
            host, port = self.client
            self.client = (host.removeprefix(_MAPPED), port)
        self.flow = Reading(transport, may_go_on=lambda: not self.pipeline or self._end.has_begun)
        self._end = ConnectionEnd(self.loop, transport, self.flow, reader_timeout_s=self._desk.upload_timeout_s)
        self._desk.connections.add(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read what came. Only a request that comes in several pieces is watched: a small one costs no timer."""
        self._unset_keepalive_if_required()
        if self._end.has_begun:
            return  # yet it was read: closing over what is not resets the connection, its answers with it
        self._has_advanced = False
        self._piece_bytes = len(data)
        self._feed(data)
        self._limit_header(len(data))
        waits_by_itself = (
            self._arrival is Arrival.WHOLE or self.timeout_keep_alive_task is not None or self._end.has_begun
        )
        if not waits_by_itself and not self._arrival_timer.is_running:
            self._watch()

    def pause_writing(self) -> None:
        """Wait for a caller who does not read, but not for ever: the answer lies in memory."""
        super().pause_writing()
        self._end.wait_for_reader()

    def resume_writing(self) -> None:
        """End the wait: the caller has read on."""
        super().resume_writing()
        self._end.note_reading()

    def on_message_begin(self) -> None:
        """Note that a request begins; none does behind the last answer, though it came in the same piece.

        Where too many wait, the last one of them has the last answer, and callers send again what came behind it
        (RFC 9112, 9.3.2).
        """
        if self._end.has_begun:
            raise ConnectionAbortedError
        if len(self.pipeline) >= _MOST_WAITING:
            self._end_after_answers()
            self._arrival = Arrival.HEADER  # so that the last answer waits for what is still sent
            raise ConnectionAbortedError
        super().on_message_begin()
        self._unset_keepalive_if_required()  # it may have been set by what came before in the same piece
        self._arrival = Arrival.HEADER

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what stands behind a body is none, and nobody here reads it."""
        if self._arrival is Arrival.HEADER:
            super().on_header(name, value.rstrip(b" \t"))  # no part of the value, and the parser leaves it there

    def on_headers_complete(self) -> None:
        """Let a request in, or answer its refusal at once; leave everything else to uvicorn."""
        if self.parser.should_upgrade():
            return  # it comes again, without
        self._has_advanced = True
        came_bytes = self._header_bytes + self._piece_bytes
        refuse_header(self.parser.get_http_version(), self.url, self.headers, came_bytes=came_bytes)
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # HTTP/1.0 knows no such answer; RFC 9110, 10.1.1
        admitted = None
        if self._is_plain():
            admitted = self._desk.admit(self.parser.get_method(), self.url, self.headers)
        if admitted is None:
            if httptools.parse_url(self.url).path is None:
                raise httptools.HttpParserInvalidURLError("the target has no path")
            super().on_headers_complete()
        elif isinstance(admitted, Refused):
            self._write(admitted.answer, self._cross_origin(self.headers))
            self.cycle = DeskCycle(None, keep_alive=not admitted.ends_connection)  # type: ignore[assignment]  # `cycles.py` says why
        else:
            self._desk_cycle = DeskCycle(
                admitted, client=self._client_host(), cross_origin=self._cross_origin(self.headers)
            )
            self.cycle = self._desk_cycle  # type: ignore[assignment]  # the same
        self._arrival = Arrival.BODY

    def on_body(self, body: bytes) -> None:
        """Keep what comes for the desk; its length was announced, and is within the limit."""
        self._has_advanced = True
        cycle: object = self.cycle
        if not isinstance(cycle, DeskCycle):
            super().on_body(body)
        elif cycle.admitted is not None:
            answer = self._desk.receive(cycle.admitted, len(body))
            if answer is None:
                cycle.body.append(body)
            else:
                cycle.keep_alive = not self._desk.is_closing
                self._forget(cycle)
                self._write(answer, cycle.cross_origin)

    def on_message_complete(self) -> None:
        """Begin to answer, or, behind a refusal, wait for the next request or end the connection."""
        if self.parser.should_upgrade():
            return
        self._arrival = Arrival.WHOLE
        self._arrival_timer.cancel()
        cycle: object = self.cycle
        if not isinstance(cycle, DeskCycle):
            self._complete_for_framework()
        elif cycle.admitted is not None:
            cycle.caller = Caller(None, timeout_s=cycle.admitted.timeout_s)
            task = self.loop.create_task(self._answer(cycle, cycle.admitted, cycle.caller))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif cycle.keep_alive:
            self.on_response_complete()
        else:
            self._linger()

    def on_response_complete(self) -> None:
        """Wait for the next request, if one may come; a blank line ends uvicorn's own wait, and is none.

        While others wait, nothing more is read; uvicorn reads on before it takes the last of them.
        """
        if self._end.has_begun and not self.pipeline and not self._end.is_lingering:
            self._end.close()
        super().on_response_complete()
        self.flow.resume_reading()
        if self._arrival is Arrival.WHOLE and self.cycle.response_complete:  # else another one is answered now
            self._arrival = Arrival.NOTHING

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what nobody waits for any more."""
        self._desk.connections.discard(self)
        self._arrival_timer.cancel()
        self._end.cancel()
        if self._framework_cycle is not None:  # uvicorn tells the newest alone, and others may wait before it
            self._framework_cycle.disconnected = True
            self._framework_cycle.message_event.set()
        cycle = self._desk_cycle
        if cycle is not None:
            cycle.disconnected = True
            if cycle.caller is not None:
                cycle.caller.hang_up()
            elif cycle.admitted is not None:
                self._desk.hang_up(cycle.admitted, cycle.received_bytes, client=cycle.client)
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Note which request the framework answers: those that came behind it wait."""
        self._framework_cycle = cycle
        cycle.transport = ClosedLate(self.transport, close=self._close_when_read)  # type: ignore[assignment]  # the same
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """Close an idle connection when the server stops; a new one, and half a header, have a moment more."""
        self._end.is_awaited = True
        latest: object = self.cycle
        is_new = latest is None and self._arrival is Arrival.NOTHING
        if is_new or (self._arrival is Arrival.HEADER and not self._answers):
            self.loop.call_later(_FIRST_REQUEST_S, self._shut)
        else:
            self._shut()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing more came."""
        self._end.close()

    def give_up(self) -> None:
        """Answer a request that has not arrived when the service stops."""
        cycle = self._desk_cycle
        if cycle is not None and cycle.admitted is not None and cycle.caller is None:
            self._break_off_at_desk(cycle, cycle.admitted, stopped_too_soon())

    def _complete_for_framework(self) -> None:
        """Tell the framework that the body is whole; if it has answered already, wait for the next request."""
        is_last = not self.parser.should_keep_alive()
        if is_last:
            self.cycle.keep_alive = False  # a trailer may say so, too, and the parser hears nothing behind it
        super().on_message_complete()
        if not self.cycle.response_complete:
            return
        self._arrival = Arrival.NOTHING  # what waits for more of the body has ended
        if is_last:
            self._end.close()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _feed(self, data: bytes) -> None:
        """Parse what came. An upgrade, which is not made here, is left out of its request."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self.parser.get_method() == b"CONNECT":
                    self._break_off(MalformedRequestError("CONNECT is for proxies, and this is none."))
                    return
                data = self._header_without_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                is_callback = isinstance(error, httptools.HttpParserCallbackError)
                reason = error.__context__ if is_callback else error
                if isinstance(reason, ConnectionAbortedError):
                    return
                if is_callback and not isinstance(reason, _OF_CALLERS):
                    raise  # a fault of ours: the event loop logs it, and closes the connection
                if not isinstance(reason, RequestError):
                    reason = MalformedRequestError(
                        f"What came is no HTTP/1.1 request ({reason}). Use an HTTP client."
                    )
                self._break_off(reason)
                return
            else:
                return

    def _limit_header(self, size_bytes: int) -> None:
        """Count what came of a header, or between two pieces of a body or behind it, and end what is too long.

        In a chunked body there may be words beside each length, and lines behind the last piece, without end.
        """
        if self._end.has_begun or self.transport.is_closing():
            return  # it has been broken off
        if self._has_advanced or self._arrival not in (Arrival.HEADER, Arrival.BODY):
            self._header_bytes = 0
            return
        self._header_bytes += size_bytes
        if self._header_bytes > MOST_HEADER_BYTES:
            self._break_off(header_too_large())

    def _header_without_upgrade(self) -> bytes:
        """Write the header that has been parsed again, for a new parser: the old one would skip the body."""
        head = without_upgrade(
            self.parser.get_method(),
            self.url,
            self.headers,
            version=self.parser.get_http_version(),
            keep_alive=self.parser.should_keep_alive(),
        )
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return head

    def _break_off(self, error: GlimpseError) -> None:
        """Answer what did not arrive, or has no sense, unless another answer is due; then close the connection."""
        cycle: object = self.cycle
        if self._arrival is Arrival.BODY and isinstance(cycle, DeskCycle) and cycle.admitted:
            self._break_off_at_desk(cycle, cycle.admitted, error)
        elif self._arrival is Arrival.BODY and self.pipeline:
            self.pipeline.popleft()  # it is the newest that is broken
            self._end_after_answers()
        elif self._arrival is Arrival.BODY:
            self._break_off_in_framework(error)
        elif self._answers:
            self._end_after_answers()
        else:
            headers = self.headers if self._arrival is Arrival.HEADER else ()
            self._end_with(
                error,
                None,
                request_id=request_id_of(headers),
                client=host_of(self.client),
                cross_origin=self._cross_origin(headers),
            )

    def _break_off_at_desk(self, cycle: DeskCycle, admitted: Admitted, error: GlimpseError) -> None:
        """Answer a request of the desk's with an error in its place, and close the connection."""
        self._forget(cycle)
        self._end_with(
            error,
            admitted,
            request_id=admitted.request_id,
            client=cycle.client,
            cross_origin=cycle.cross_origin,
        )

    def _break_off_in_framework(self, error: GlimpseError) -> None:
        """Answer a request of the framework's in its place, unless it has begun to; then close the connection."""
        if not self.cycle.response_started:
            told = self.cycle.scope["state"]
            told[ANSWERED_WITH] = kind_of(error).status  # the framework counts the request, and logs it
            request_id = told.setdefault(REQUEST_ID, request_id_of(self.headers))
            head = self.server_state.default_headers
            answer = refusal(error, request_id, default_headers=head, keep_alive=False)
            self._write(answer, self._cross_origin(self.headers))
        self.cycle.waiting_for_100_continue = False
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self._linger()

    def _end_with(
        self,
        error: GlimpseError,
        admitted: Admitted | None,
        *,
        request_id: str,
        client: str,
        cross_origin: bytes,
    ) -> None:
        """Write the error as the last answer; then close the connection."""
        head = self.server_state.default_headers
        answer = self._desk.break_off(error, admitted, request_id=request_id, client=client, default_headers=head)
        self._write(answer, cross_origin)
        self._linger()

    def _write(self, answer: bytes, cross_origin: bytes) -> None:
        """Write a whole answer, with what it tells pages of other origins."""
        self.transport.write(with_lines(answer, cross_origin) if cross_origin else answer)

    def _cross_origin(self, headers: RawHeaders) -> bytes:
        """Choose the lines that the answer to a request has for pages of other origins."""
        cross_origin = self._desk.cross_origin
        return b"" if cross_origin is None else cross_origin.lines(headers)

    def _linger(self) -> None:
        """Read what a caller still sends behind the last answer, but wait for no request any more."""
        self._arrival_timer.cancel()
        self._end.linger()

    @property
    def _answers(self) -> bool:
        """Whether an answer is due, to any of the requests that came."""
        latest: object = self.cycle
        return latest is not None and not self.cycle.response_complete

    def _close_when_read(self) -> None:
        """Close behind the last answer; its caller may still be sending it a body, or the next request."""
        if self.pipeline or self._arrival in (Arrival.HEADER, Arrival.BODY):
            self.pipeline.clear()  # nothing is answered behind the last answer
            self._linger()
        else:
            self._end.close()

    def _shut(self) -> None:
        """End what does not end by itself; who lingers already has less time from now on."""
        self._end.hasten()
        if not self._end.has_begun and not self.transport.is_closing():
            if self._arrival is Arrival.HEADER and not self._answers:
                self._break_off(stopped_too_soon())
            elif self._arrival is Arrival.BODY and not self._answers:
                self._linger()  # its refusal is written, and the rest of the body is to come
            else:
                super().shutdown()
        if self.transport.is_closing():
            self._end.wait_for_reader()

    def _end_after_answers(self) -> None:
        """Answer what came before, and nothing that comes from here on; the last answer says so where it can."""
        self._arrival_timer.cancel()
        self._end.begin()
        last: Any = self.pipeline[0][0] if self.pipeline else self._desk_cycle or self._framework_cycle
        last.keep_alive = False

    def _watch(self) -> None:
        if not self.transport.is_closing():
            self._arrival_timer.start(self._desk.upload_timeout_s, self._on_too_late)

    def _on_too_late(self) -> None:
        """End a connection on which a request did not arrive: slow senders could take all of them."""
        if self.flow.read_paused or (self._answers and self._arrival is not Arrival.BODY):
            self._watch()  # it is we who are slow
        elif self._arrival in (Arrival.HEADER, Arrival.BODY):
            self._break_off(self._desk.too_late())
        else:
            self._end.close()

    def _forget(self, cycle: DeskCycle) -> None:
        """Let go of a request whose body has not come to its end; the rest of it is nobody's."""
        self._desk.drop(cycle.received_bytes)
        cycle.admitted = None
        cycle.response_started = cycle.response_complete = True
        cycle.body.clear()
        self._desk_cycle = None

    async def _answer(self, cycle: DeskCycle, admitted: Admitted, caller: Caller) -> None:
        try:
            body = cycle.body[0] if len(cycle.body) == 1 else b"".join(cycle.body)
        except MemoryError:
            self._break_off_at_desk(cycle, admitted, self._desk.no_memory(cycle.received_bytes))
            return
        cycle.body.clear()
        reply = await self._desk.answer(admitted, body, caller, client=cycle.client)
        cycle.response_complete = True
        self._desk_cycle = None
        if cycle.disconnected:
            return
        keep_alive = cycle.keep_alive and not self._desk.is_closing
        head = self.server_state.default_headers
        answer = reply.to_http(admitted.request_id, default_headers=head, keep_alive=keep_alive)
        self._write(answer, cycle.cross_origin)
        if self._end.has_begun and not self.pipeline:
            self._linger()
        elif not keep_alive:
            self._close_when_read()
        self.on_response_complete()

    def _client_host(self) -> str:
        """Find the address of the caller: a proxy that is trusted names that of somebody else."""
        peer, forwarded = host_of(self.client), forwarded_for(self.headers)
        if (
            forwarded is None
            or not isinstance(self.app, ProxyHeadersMiddleware)
            or peer not in self.app.trusted_hosts
        ):
            return peer
        host, _ = self.app.trusted_hosts.get_trusted_client_address(forwarded)
        return host or peer

    def _is_plain(self) -> bool:
        """Whether the answer may be written from here, with nothing but the next request to follow."""
        return (
            (self.cycle is None or self.cycle.response_complete)  # else another answer is due first
            and not self.flow.write_paused  # uvicorn stops reading from who does not read
            and not self.expect_100_continue
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"  # 1.0 wants to be told that its connection stays
        )
