"""What a request has passed when the application behind sees it."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

from starlette.types import Message, Receive, Scope, Send

from app.middleware import Admit
from app.wire.exchange import REQUEST_ID, TIMEOUT_S
from tests.unit.app.services import trusted


async def unread() -> Message:
    """The body."""
    raise AssertionError("the header is enough")


async def unsent(_: Message) -> None:
    """An answer."""
    raise AssertionError("it was to be let in")


def test_the_time_in_which_a_request_was_not_read_is_taken_off_here_too(checkpoint_path: Path) -> None:
    """Of the 10 s that were asked for a loop that is 2 s late has used up two."""
    service = trusted(checkpoint_path, deadline_ms=10_000)
    service.admission.lagged(2.0)
    seen: list[Scope] = []

    async def behind(scope: Scope, _: Receive, __: Send) -> None:
        seen.append(scope)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [],
        "state": {REQUEST_ID: "an-id"},
        "app": SimpleNamespace(state=SimpleNamespace(service=service)),
    }
    asyncio.run(Admit(behind, settings=service.settings)(scope, unread, unsent))
    assert [scope["state"][TIMEOUT_S] for scope in seen] == [8.0]
