"""What a request has passed when the application behind sees it."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.middleware import Admit, RequestContext
from app.wire.exchange import REQUEST_ID, TIMEOUT_S
from tests.unit.app.loops import no_error_in_a_circle, with_loop
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


def test_a_fault_of_ours_does_not_stay_in_memory(checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered and logged, and goes, with whatever its frames hold."""
    monkeypatch.setattr("app.middleware.log_request", lambda **_: None)  # what is logged here is kept for the test
    sent: list[Message] = []

    async def break_down(*_: object) -> None:
        raise MemoryError

    async def send(message: Message) -> None:
        sent.append(message)

    async def check() -> None:
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": "/model",
            "headers": [],
            "app": SimpleNamespace(state=SimpleNamespace(service=trusted(checkpoint_path))),
        }
        with no_error_in_a_circle():
            await RequestContext(break_down, cross_origin=None)(scope, unread, send)

    with_loop(check())
    assert sent[0]["status"] == 500
