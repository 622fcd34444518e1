"""What is counted and logged of requests that the framework answers, over real connections' own protocol."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
import uvicorn
from fastapi.testclient import TestClient
from uvicorn.server import ServerState

from app.main import create_app
from app.service import Service
from app.settings import Settings
from app.wire.protocol import DeskProtocol
from models.checkpoint import load
from tests.drawing import encode, gradient
from tests.integration.test_service import ScriptedEngine
from tests.unit.app.wire.connection import Transport

PNG = encode(gradient())
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
OLD = b"POST /predict HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b"


class Called:
    """A service whose engine hangs, and a connection to it.

    Attributes:
        protocol: of the connection.
        service: the real one.
        written: what the caller is answered.
    """

    def __init__(self, service: Service, protocol: DeskProtocol, transport: Transport) -> None:
        self.service, self.protocol = service, protocol
        self._transport = transport

    @property
    def written(self) -> bytes:
        """All that came back."""
        return self._transport.written

    @property
    def shown(self) -> set[str]:
        """The lines of a scrape."""
        return set(self.service.metrics.exposition().decode().splitlines())

    async def ended(self) -> None:
        """Wait until the framework has done with what came."""
        while self.protocol.tasks:
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def called(settings: Settings) -> AsyncIterator[Called]:
    """Serve, and take one connection."""
    checkpoint = load(settings.checkpoint)
    engine = ScriptedEngine(checkpoint)
    service = Service(settings, opened=(checkpoint, engine))
    app = create_app(settings, service=service)
    config = uvicorn.Config(app, interface="asgi3", ws="none", log_config=None, access_log=False)
    config.load()
    async with asyncio.timeout(60), app.router.lifespan_context(app) as state:
        assert state
        protocol = DeskProtocol(config=config, server_state=ServerState(), app_state=dict(state))
        transport = Transport(peer="10.0.0.1")
        protocol.connection_made(transport)
        engine.hang()
        try:
            yield Called(service, protocol, transport)
        finally:
            engine.go_on()
            protocol.connection_lost(None)


def test_a_path_that_does_not_exist_is_one_of_many(client: TestClient) -> None:
    """A scanner could fill the memory with those that it tries: none of them stands in the metrics."""
    for number in range(3):
        assert client.get(f"/nothing-{number}").status_code == 404
    text = client.get("/metrics").text
    assert 'glimpse_requests_total{route="other",status="404"} 3.0' in text.splitlines()
    assert "nothing" not in text


def test_what_the_protocol_answers_in_the_frameworks_place_counts_as_that(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that does not come to its end is a 408 for its caller, in the metrics and in the log."""

    async def check() -> None:
        async with called(settings.model_copy(update={"upload_timeout_s": 0.01})) as call:
            call.protocol.data_received((CHUNKED % (len(PNG), PNG))[:-20])
            await call.ended()
            assert call.written.startswith(b"HTTP/1.1 408 ")
            counted = {line for line in call.shown if line.startswith("glimpse_requests_total")}
            assert counted == {'glimpse_requests_total{route="/predict",status="408"} 1.0'}

    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        asyncio.run(check())
    (line,) = (record for record in caplog.records if record.name == "glimpse.requests")
    assert (vars(line)["fields"]["status"], line.levelno, line.exc_info) == (408, logging.INFO, None)


@pytest.mark.parametrize("template", [CHUNKED, OLD], ids=["chunked", "HTTP/1.0"])
@pytest.mark.parametrize("has_arrived", [False, True])
def test_who_hangs_up_is_a_499_through_the_framework_too(
    settings: Settings, caplog: pytest.LogCaptureFixture, template: bytes, has_arrived: bool
) -> None:
    """While the body comes, and while the engine works: nobody's fault, and nothing of it is left in work."""

    async def check() -> None:
        async with called(settings) as call:
            whole = template % (len(PNG), PNG)
            call.protocol.data_received(whole if has_arrived else whole[:-20])
            decoded = f'glimpse_stage_seconds_count{{stage="decode"}} {float(has_arrived)}'
            while not call.protocol.tasks or decoded not in call.shown:
                await asyncio.sleep(0)
            call.protocol.connection_lost(None)
            await call.ended()
            counted = {line for line in call.shown if line.startswith("glimpse_requests_total")}
            assert counted == {'glimpse_requests_total{route="/predict",status="499"} 1.0'}
            call.service.admission.check(within_s=1e9, pictures=settings.max_queue)
            assert call.service.bodies.held_bytes == 0

    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        asyncio.run(check())
    (line,) = (record for record in caplog.records if record.name == "glimpse.requests")
    assert (line.levelno, line.exc_info) == (logging.INFO, None)
    fields = vars(line)["fields"]
    assert (fields["status"], fields["client"]) == (499, "10.0.0.1")
    assert (fields.get("queue_ms", 0) > 0, fields.get("batch")) == ((True, 0) if has_arrived else (False, None))
    assert "failed" not in [record.getMessage() for record in caplog.records]
