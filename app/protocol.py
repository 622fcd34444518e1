"""HTTP/1.1 as uvicorn speaks it, with a desk in front: plain requests for pictures are answered from here.

Through the whole application a refusal cost a third of an answer, and under three times the load that can be
answered there are two refusals to each answer; here it costs the reading of the header alone. And an answer costs
half of what it cost behind the framework (docs/benchmarks.md). What is not plain, and every other server than
ours, takes the way through `app.main`.
"""

import asyncio
from enum import Enum, auto
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.callers import Caller
from app.desk import Admitted, Desk


class _NobodyWaits:
    """An event of uvicorn's that nobody waits for."""

    @staticmethod
    def set() -> None:
        """Nothing."""


class _Exchange:
    """Stands where uvicorn keeps the request in work, while the desk has it.

    Args:
        admitted: what the desk let in; None for a refusal, which is answered already and whose body is not kept.
        client: address of the caller, for the log.
    """

    message_event = _NobodyWaits

    def __init__(self, admitted: Admitted | None, *, client: str = "") -> None:
        self.admitted = admitted
        self.client = client
        self.response_started = self.response_complete = admitted is None
        self.keep_alive = True
        self.disconnected = False
        self.body: list[bytes] = []
        self.caller: Caller | None = None

    @property
    def received_bytes(self) -> int:
        """Of the body, so far."""
        return sum(map(len, self.body))


class _Arrival(Enum):
    """How much of a request has come."""

    NOTHING = auto()
    HEADER = auto()
    BODY = auto()
    WHOLE = auto()


class DeskProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        given: what uvicorn gives. In its `app_state` the lifespan of the application has put the `desk`, which is
            asked with the header of each plain request.
    """

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**given)
        self._desk: Desk = self.app_state["desk"]
        self._exchange: _Exchange | None = None
        self._arrival = _Arrival.NOTHING
        self._too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first request, but not for ever."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read on; only who needs several pieces is watched, so that a small request costs no timer."""
        super().data_received(data)
        waits_by_itself = self._arrival is _Arrival.WHOLE or self.timeout_keep_alive_task is not None
        if self._too_late is None and not waits_by_itself:
            self._watch()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._arrival = _Arrival.HEADER

    def on_headers_complete(self) -> None:
        """Let a request in, or answer its refusal at once; leave everything else to uvicorn."""
        self._arrival = _Arrival.BODY
        admitted = None
        if self._is_plain():
            admitted = self._desk.admit(self.parser.get_method(), self.url, self.headers)
        if admitted is None:
            super().on_headers_complete()
        elif isinstance(admitted, bytes):
            self.transport.write(admitted)
            self.cycle = _Exchange(None)  # type: ignore[assignment]
        else:
            self.cycle = self._exchange = _Exchange(admitted, client=self._client_host())  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Keep what comes for the desk; its length was announced, and is within the limit."""
        cycle: object = self.cycle
        if not isinstance(cycle, _Exchange):
            super().on_body(body)
        elif cycle.admitted is not None:
            refusal = self._desk.receive(cycle.admitted, len(body))
            if refusal is None:
                cycle.body.append(body)
            else:
                self._break_off(cycle, refusal)

    def on_message_complete(self) -> None:
        """Begin to answer, or, behind a refusal, wait for the next request."""
        self._arrival = _Arrival.WHOLE
        self._unwatch()
        cycle: object = self.cycle
        if not isinstance(cycle, _Exchange):
            super().on_message_complete()
        elif cycle.admitted is None:
            self.on_response_complete()
        else:
            cycle.caller = Caller(None, timeout_s=cycle.admitted.timeout_s)
            task = self.loop.create_task(self._answer(cycle, cycle.admitted, cycle.caller))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def on_response_complete(self) -> None:
        """Wait for the next request; a blank line ends uvicorn's own wait, and is none."""
        super().on_response_complete()
        if self._arrival is _Arrival.WHOLE:
            self._arrival = _Arrival.NOTHING

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what nobody waits for any more."""
        self._unwatch()
        if self._exchange is not None:
            self._exchange.disconnected = True
            if self._exchange.caller is not None:
                self._exchange.caller.hang_up()
            else:
                self._desk.drop(self._exchange.received_bytes)
        super().connection_lost(exc)

    def _watch(self) -> None:
        if not self.transport.is_closing():
            self._too_late = self.loop.call_later(self._desk.upload_timeout_s, self._on_too_late)

    def _unwatch(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None

    def _on_too_late(self) -> None:
        """End a connection on which a request did not arrive: slow senders could take all of them."""
        self._too_late = None
        cycle: object = self.cycle
        answers_another = self.cycle is not None and not self.cycle.response_complete
        if self.flow.read_paused or (self._arrival is _Arrival.HEADER and answers_another):
            self._watch()  # it is we who are slow
        elif self._arrival is _Arrival.BODY and isinstance(cycle, _Exchange) and cycle.admitted:
            self._break_off(cycle, self._desk.too_late(cycle.admitted, client=cycle.client))
        else:
            is_unanswered = self._arrival is _Arrival.BODY and not self.cycle.response_started
            if self._arrival is _Arrival.HEADER or is_unanswered:
                peer = self.client[0] if self.client else "unknown"
                self.transport.write(self._desk.too_late(None, client=peer))
            self.transport.close()

    def _break_off(self, exchange: _Exchange, refusal: bytes) -> None:
        """Answer before the body has come to its end; the rest of it is nobody's."""
        self._desk.drop(exchange.received_bytes)
        exchange.admitted = None
        exchange.response_complete = True
        exchange.body.clear()
        self._exchange = None
        self.transport.write(refusal)
        self.transport.close()

    async def _answer(self, exchange: _Exchange, admitted: Admitted, caller: Caller) -> None:
        body = exchange.body[0] if len(exchange.body) == 1 else b"".join(exchange.body)
        exchange.body.clear()
        reply = await self._desk.answer(admitted, body, caller, client=exchange.client)
        exchange.response_complete = True
        self._exchange = None
        if exchange.disconnected:
            return
        keep_alive = exchange.keep_alive and not self._desk.is_closing
        head = self.server_state.default_headers
        self.transport.write(reply.to_http(admitted.request_id, default_headers=head, keep_alive=keep_alive))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _client_host(self) -> str:
        """Find who asks: a proxy that is trusted says it of somebody else."""
        peer = self.client[0] if self.client else "unknown"
        forwarded = [value for name, value in self.headers if name == b"x-forwarded-for"]
        if not forwarded or not isinstance(self.app, ProxyHeadersMiddleware) or peer not in self.app.trusted_hosts:
            return peer
        host, _ = self.app.trusted_hosts.get_trusted_client_address(b", ".join(forwarded).decode("latin-1"))
        return host or peer

    def _is_plain(self) -> bool:
        """Whether the answer may be written from here, with nothing but the next request to follow."""
        return (
            (self.cycle is None or self.cycle.response_complete)  # else another answer is due first
            and not self.flow.write_paused  # uvicorn stops reading from who does not read
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and self.parser.should_keep_alive()
        )
