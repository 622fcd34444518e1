"""Pages of origins that are allowed may read every answer of the real application, whichever way it takes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import uvicorn
from fastapi.testclient import TestClient
from uvicorn.server import ServerState

from app.answers import PATHS
from app.main import create_app
from app.service import Service
from app.settings import Settings
from app.wire.protocol import DeskProtocol
from tests.drawing import encode, gradient
from tests.unit.app.wire.connection import Transport

PNG = encode(gradient())
PAGE, OTHER = "https://app.example", "https://other.example"
ALLOWED = f"{PAGE}, http://localhost:3000"
TOLD = {
    "access-control-allow-origin": PAGE,
    "access-control-expose-headers": "retry-after, server-timing, x-request-id",
    "vary": "Origin",
}
TOLD_ANYBODY = {**TOLD, "access-control-allow-origin": "*"}
del TOLD_ANYBODY["vary"]
"""Where all origins are allowed."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]

    @property
    def told(self) -> dict[str, str]:
        """What of it is for browsers of pages from elsewhere."""
        return {
            name: value
            for name, value in self.headers.items()
            if name.startswith("access-control-") or name == "vary"
        }


class Wire:
    """Connections to a service, one for each request, with the server's own protocol.

    Args:
        config: with the application.
        state: what the lifespan handed to the server.
    """

    def __init__(self, config: uvicorn.Config, state: dict[str, object]) -> None:
        self._config = config
        self._state = state

    async def ask(self, head: str, body: bytes = b"", *, origin: str | None = PAGE) -> Answer:
        """Send a request, and wait for the whole answer.

        Args:
            head: request line and headers, without Host.
            body: all that comes behind the header; if it is shorter than announced the service has to wait.
            origin: of the page that asks; None for a caller that is none.
        """
        transport = Transport(peer="10.0.0.1")
        protocol = DeskProtocol(config=self._config, server_state=ServerState(), app_state=self._state)
        protocol.connection_made(transport)
        request_line, *rest = head.split("\r\n")
        lines = [request_line, *([f"Origin: {origin}"] if origin else []), "Host: x", *rest]
        protocol.data_received("\r\n".join([*lines, "", ""]).encode() + body)
        while b"\r\n\r\n" not in transport.written or protocol.tasks:
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        status_line, *told = transport.written.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        pairs = [line.split(": ", 1) for line in told]
        assert len({name for name, _ in pairs}) == len(pairs)
        return Answer(int(status_line.split()[1]), dict(pairs))


@contextlib.asynccontextmanager
async def on_the_wire(settings: Settings) -> AsyncIterator[tuple[Service, Wire]]:
    """Serve, and take connections."""
    service = Service(settings)
    app = create_app(settings, service=service)
    config = uvicorn.Config(app, interface="asgi3", ws="none", log_config=None, access_log=False)
    config.load()
    async with asyncio.timeout(60), app.router.lifespan_context(app) as state:
        assert state
        yield service, Wire(config, dict(state))


def allowing(settings: Settings, origins: str | None) -> Settings:
    """The same settings, and these origins."""
    return settings.model_copy(update={"cors_origins": origins})


POST = f"POST /predict HTTP/1.1\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}"
CHUNKED = "POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked"
REQUESTS: dict[str, tuple[int, str, bytes]] = {
    "a picture at the desk": (200, POST, PNG),
    "a picture behind the framework": (200, CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(PNG), PNG)),
    "no picture at the desk": (415, POST.replace("png", "jpeg"), b"x" * len(PNG)),
    "no picture behind the framework": (415, CHUNKED, b"1\r\nx\r\n0\r\n\r\n"),
    "another type": (415, POST.replace("image/png", "text/plain"), PNG),
    "too many bytes": (413, "POST /predict HTTP/1.1\r\nContent-Length: 300001", b""),
    "a wrong parameter": (422, POST.replace("/predict", "/predict?top_k=0"), PNG),
    "a wrong time": (422, f"{POST}\r\nX-Request-Timeout-Ms: soon", PNG),
    "a page of the service": (200, "GET / HTTP/1.1", b""),
    "a HEAD": (200, "HEAD /health HTTP/1.1", b""),
    "the metrics": (200, "GET /metrics HTTP/1.1", b""),
    "no such path": (404, "GET /nothing HTTP/1.1", b""),
    "no such method": (405, "GET /predict HTTP/1.1", b""),
    "no key": (401, "POST /model/reload HTTP/1.1\r\nContent-Length: 0", b""),
    "OPTIONS that no browser sends": (405, "OPTIONS /predict HTTP/1.1", b""),
    "two lengths": (400, "POST /predict HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6", b""),
    "another coding": (400, "POST /predict HTTP/1.1\r\nTransfer-Encoding: gzip", b""),
    "too long a header": (431, f"GET / HTTP/1.1\r\nX: {'x' * 70_000}", b""),
}


VARIES = {"vary": "Origin"}
BY_SETTING: dict[str | None, dict[str | None, dict[str, str]]] = {
    ALLOWED: {PAGE: TOLD, OTHER: VARIES, None: VARIES},
    "*": {PAGE: TOLD_ANYBODY, "null": TOLD_ANYBODY, None: TOLD_ANYBODY},
    None: {PAGE: {}, None: {}},
}
"""The setting → the origin of a request → what its answer tells."""


@pytest.mark.parametrize("origins", BY_SETTING, ids=["listed", "all", "off"])
def test_every_answer_tells_the_page(settings: Settings, origins: str | None) -> None:
    """Or its browser would hand on neither status nor reason; without the setting there is no word of it."""

    async def check() -> None:
        async with on_the_wire(allowing(settings, origins)) as (_, wire):
            for name, (status, head, body) in REQUESTS.items():
                for origin, told in BY_SETTING[origins].items():
                    answer = await wire.ask(head, body, origin=origin)
                    assert (name, origin, answer.status, answer.told) == (name, origin, status, told)
                    assert "x-request-id" in answer.headers

    asyncio.run(check())


@pytest.mark.parametrize("origins", BY_SETTING, ids=["listed", "all", "off"])
def test_who_is_turned_away_is_told_too(settings: Settings, origins: str | None) -> None:
    """By its header, at the desk, where a refusal is kept for others, and behind the framework."""

    async def check() -> None:
        async with on_the_wire(allowing(settings, origins)) as (service, wire):
            service.judge.fault = "a test says so"
            for head in (POST, CHUNKED, "GET /health/ready HTTP/1.1"):
                for origin, told in [*BY_SETTING[origins].items()] * 2:
                    answer = await wire.ask(head, origin=origin)
                    assert (head, origin, answer.status, answer.told) == (head, origin, 503, told)
                    assert "retry-after" in answer.headers
            service.judge.fault = None

    asyncio.run(check())


@pytest.mark.parametrize("head", [POST, CHUNKED], ids=["desk", "framework"])
def test_a_page_is_told_that_its_request_came_too_late(settings: Settings, head: str) -> None:
    """The protocol answers that by itself, also in the framework's place."""

    async def check() -> None:
        hasty = settings.model_copy(update={"upload_timeout_s": 0.01})
        async with on_the_wire(allowing(hasty, ALLOWED)) as (_, wire):
            for origin, told in BY_SETTING[ALLOWED].items():
                answer = await wire.ask(head, origin=origin)
                assert (answer.status, answer.told) == (408, told)

    asyncio.run(check())


@pytest.mark.parametrize("head", [POST, CHUNKED], ids=["desk", "framework"])
def test_a_page_is_told_that_there_is_no_room_for_its_body(settings: Settings, head: str) -> None:
    """While it comes."""

    async def check() -> None:
        async with on_the_wire(allowing(settings, ALLOWED)) as (service, wire):
            free_bytes = settings.max_bodies_bytes - 1
            service.hold(free_bytes)
            for origin, told in BY_SETTING[ALLOWED].items():
                answer = await wire.ask(head, b"2\r\nxx\r\n" if head is CHUNKED else PNG, origin=origin)
                assert (answer.status, answer.told) == (503, told)
            service.bodies.let_go(free_bytes)

    asyncio.run(check())


ASKS_FIRST = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, x-request-id",
}


@pytest.mark.parametrize("path", ["/predict", "/model/reload", "/nothing"])
@pytest.mark.parametrize(("origins", "told"), [(ALLOWED, TOLD), ("*", TOLD_ANYBODY)])
def test_a_preflight_of_an_allowed_page_is_answered(
    settings: Settings, origins: str, told: dict[str, str], path: str
) -> None:
    """With what pages may send, which is never the operator's key; on every path, or a 404 could not be read."""

    async def check() -> None:
        async with on_the_wire(allowing(settings, origins)) as (service, wire):
            lines = "".join(f"\r\n{name}: {value}" for name, value in ASKS_FIRST.items())
            service.judge.fault = "a test says so"
            answer = await wire.ask(f"OPTIONS {path} HTTP/1.1{lines}")
            service.judge.fault = None
            allowed = answer.headers.pop("access-control-allow-headers")
            assert answer.headers.pop("access-control-allow-methods") == "GET, POST, PUT"
            assert int(answer.headers.pop("access-control-max-age")) > 0
            assert (answer.status, answer.told) == (204, told)
            assert "x-request-id" in allowed
            assert "authorization" not in allowed
            counted = service.metrics.exposition().decode()
            route = path if path in PATHS else "other"
            assert f'glimpse_requests_total{{route="{route}",status="204"}} 1.0' in counted

    asyncio.run(check())


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "put"])
def test_a_preflight_is_told_all_methods_that_there_are(settings: Settings, method: str) -> None:
    """Whichever it asks about: the browser compares, and names to its developer the one that is not among them."""
    with TestClient(create_app(allowing(settings, ALLOWED))) as client:
        asks = {"origin": PAGE, "access-control-request-method": method}
        answer = client.options("/predict", headers=asks)
        paths = client.get("/openapi.json").json()["paths"].values()
    told = set(answer.headers["access-control-allow-methods"].split(", "))
    assert answer.status_code == 204
    assert told == {known.upper() for path in paths for known in path}


@pytest.mark.parametrize(("origins", "told"), [(ALLOWED, VARIES), (None, {})])
def test_a_preflight_of_another_page_is_no_preflight(
    settings: Settings, origins: str | None, told: dict[str, str]
) -> None:
    """It gets what any OPTIONS gets, so its browser sends nothing."""
    with TestClient(create_app(allowing(settings, origins))) as client:
        answer = client.options("/predict", headers={"origin": OTHER, **ASKS_FIRST})
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert Answer(405, dict(answer.headers)).told == told


def test_it_is_the_same_under_another_server(settings: Settings) -> None:
    """Which has no desk: what the application writes by itself is told to pages, too."""
    with TestClient(create_app(allowing(settings, ALLOWED))) as client:
        for method, path, status in (
            ("POST", "/predict", 422),
            ("GET", "/metrics", 200),
            ("GET", "/nothing", 404),
        ):
            answer = client.request(method, path, headers={"origin": PAGE})
            assert (answer.status_code, Answer(status, dict(answer.headers)).told) == (status, TOLD)
        preflight = client.options("/predict", headers={"origin": PAGE, **ASKS_FIRST})
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, PAGE)
