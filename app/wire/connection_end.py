"""How a connection ends: no answer is cut off, and nobody is waited for without end."""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl

from app.wire.timer import Timer

_LINGER_S = 2.0
"""What a caller still sends is read for so long after the last answer: closing over it would reset the connection,
and the answer might never be seen. Source: choice; RFC 9112, 9.6 wants it for some time."""
_LAST_LINGER_S = 0.5
"""The same when the server stops, which waits for it."""


class ConnectionEnd:
    """The end of one connection.

    Args:
        loop: the event loop of the connection.
        transport: of the connection.
        flow: whether it is read.
        reader_timeout_s: time for a caller to read on, before the connection is cut off.

    Attributes:
        has_begun: whether what comes from here on is answered no more.
        is_awaited: whether the server stops, and waits for it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        reader_timeout_s: float,
    ) -> None:
        self._transport = transport
        self._flow = flow
        self._reader_timeout_s = reader_timeout_s
        self._reader_timer = Timer(loop)
        self._linger_timer = Timer(loop)
        self.has_begun = False
        self.is_awaited = False

    @property
    def is_lingering(self) -> bool:
        """Whether the last answer is written, and what the caller still sends is read."""
        return self._linger_timer.is_running

    def begin(self) -> None:
        """Read what comes, but answer nothing of it: what is not read when the connection is closed resets it."""
        self.has_begun = True
        self._flow.resume_reading()

    def linger(self) -> None:
        """Close the connection when the caller has, or after a while; what comes until then is nobody's."""
        self.has_begun = True
        if not self._transport.is_closing():
            self._flow.resume_reading()
            self._transport.write_eof()
            self._wait_for_sender()

    def hasten(self) -> None:
        """Linger less from now on, if it does."""
        if self.is_lingering:
            self._wait_for_sender()

    def close(self) -> None:
        """Close when the caller has read all that was written, but do not wait for that for ever."""
        self._transport.close()
        self._reader_timer.cancel()
        self.wait_for_reader()

    def wait_for_reader(self) -> None:
        """Cut the connection off if the caller does not read on: what was written lies in memory."""
        if not self._reader_timer.is_running and self._transport.get_write_buffer_size():
            self._reader_timer.start(self._reader_timeout_s, self._transport.abort)

    def note_reading(self) -> None:
        """End that wait: the caller has read on. Behind the last answer all has to be read."""
        self._reader_timer.cancel()
        if self._transport.is_closing():
            self.wait_for_reader()

    def cancel(self) -> None:
        """Wait for nobody any more: the connection is lost."""
        self._reader_timer.cancel()
        self._linger_timer.cancel()

    def _wait_for_sender(self) -> None:
        self._linger_timer.start(_LAST_LINGER_S if self.is_awaited else _LINGER_S, self.close)
