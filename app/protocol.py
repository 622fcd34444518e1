"""HTTP/1.1 as uvicorn speaks it, with a door in front: who cannot be answered in time hears so from here.

Through the whole application a refusal cost a third of an answer, and under three times the load that can be
answered there are two refusals to each answer (docs/benchmarks.md). Here it costs the reading of the header alone.
What the door does not refuse, and every other server than ours, meets it again in `app.middleware.Admit`.
"""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Headers = list[tuple[bytes, bytes]]
Door = Callable[[bytes, bytes, Headers], bytes | None]
"""(method, target, headers) → the whole answer of a refusal, or None to let the request in."""


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
        is_free = self.cycle is None or self.cycle.response_complete  # else an answer is due before this one
        refusal = self._door(self.parser.get_method(), self.url, self.headers) if is_free else None
        if refusal is None or not self.parser.should_keep_alive():
            super().on_headers_complete()
            return
        self.transport.write(refusal)
        self.cycle = _Refused()  # type: ignore[assignment]
        self.on_response_complete()
