"""How the application is told to stop, and what it does until it has stopped."""

import asyncio
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from app.main import create_app
from app.service import Service
from app.settings import Settings
from tests.unit.app.loops import turns


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The signals that reached the server's own handler for SIGTERM, in whose place the test stands."""
    signals: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        signals.append(number)

    before = signal.signal(signal.SIGTERM, note)
    yield signals
    signal.signal(signal.SIGTERM, before)


def test_a_sigterm_that_is_repeated_at_once_is_an_echo(
    settings: Settings, told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor tells every process, and the first one tells the others again; the delay is kept."""
    patient = settings.model_copy(update={"drain_delay_s": 600})

    async def run() -> None:
        service = Service(patient)
        app = create_app(patient, service=service)
        async with asyncio.timeout(60), app.router.lifespan_context(app):
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            for later_s, obeyed in ((0.0, []), (0.5, []), (2.0, [signal.SIGTERM])):
                monkeypatch.setattr(loop, "time", lambda moment_s=began_s + later_s: moment_s)
                signal.raise_signal(signal.SIGTERM)
                await turns()
                assert service.is_draining
                assert told == obeyed
            monkeypatch.undo()

    asyncio.run(run())
