"""HTTP/1.1 as uvicorn speaks it, with a door in front: who cannot be answered in time hears so from here.

Through the whole application a refusal cost a third of an answer, and under three times the load that can be
answered there are two refusals to each answer (docs/benchmarks.md). Here it costs the reading of the header alone.
What the door does not refuse, and every other server than ours, meets it again in `app.middleware.Admit`.
"""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Headers = list[tuple[bytes, bytes]]
Door = Callable[[bytes, bytes, Headers, dict[str, Any]], bytes | None]
"""(method, target, headers, state of the request) → the whole answer of a refusal, or None to let it in."""


class _Refused:
    """Stands where uvicorn keeps the request in work; this one is answered already, and its body is not kept."""

    response_complete = True

    class message_event:  # noqa: N801 - uvicorn's name
        """Nobody waits for it."""

        @staticmethod
        def set() -> None:
            """Nothing."""


class DoorProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        door: asked with the header of each request.
        given: what uvicorn gives.
    """

    def __init__(self, *, door: Door, **given: Any) -> None:  # noqa: ANN401 - uvicorn's own arguments
        super().__init__(**given)
        self._door = door

    def on_headers_complete(self) -> None:
        """Answer a refusal at once; leave everything else to uvicorn."""
        refusal = None
        if self._is_plain():
            refusal = self._door(self.parser.get_method(), self.url, self.headers, self.scope["state"])
        if refusal is None:
            super().on_headers_complete()
            return
        self.transport.write(refusal)
        self.cycle = _Refused()  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        """Wait for the next request once the body of a refused one has gone by."""
        super().on_message_complete()
        cycle: object = self.cycle
        if isinstance(cycle, _Refused):
            self.on_response_complete()

    def _is_plain(self) -> bool:
        """Whether the answer may be written here and now, with nothing but the next request to follow."""
        return (
            (self.cycle is None or self.cycle.response_complete)  # else another answer is due first
            and not self.flow.write_paused  # uvicorn stops reading from who does not read
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and self.parser.should_keep_alive()
        )
