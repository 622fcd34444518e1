"""The desk and the framework answer the same requests; here both are asked, over one real service."""

import asyncio
import gzip
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from app.answers import PATHS
from app.callers import Caller
from app.main import create_app
from app.routes import explain, predict
from app.routes.lean import LeanRoute
from app.service import Service
from app.settings import Settings
from app.wire.desk import Desk
from app.wire.exchange import Admitted, Refused, Reply
from tests.drawing import encode, gradient

PNG = encode(gradient(40, 30), "PNG")
FORM = "multipart/form-data; boundary=B"
FILE = b'--B\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n\r\n%s\r\n'
CHANGING = {"x-request-id", "server-timing", "date"}

Headers = list[tuple[bytes, bytes]]


def form(*fields: tuple[bytes, bytes]) -> bytes:
    """Files in their fields."""
    return b"".join(FILE % field for field in fields) + b"--B--\r\n"


REQUESTS: dict[str, tuple[str, bytes, str | None]] = {
    "a form": ("/predict?top_k=2", form((b"file", PNG)), FORM),
    "a raw body": ("/predict", PNG, "image/png"),
    "no type": ("/predict", PNG, None),
    "escaped query": ("/predict?top%5Fk=1&x=%20", PNG, "image/png"),
    "a wrong parameter": ("/predict?top_k=none", PNG, "image/png"),
    "no picture": ("/predict", b"hello", "image/png"),
    "half a picture": ("/predict", PNG[:200], "image/png"),
    "nothing": ("/predict", b"", "image/png"),
    "another type": ("/predict", PNG, "application/json"),
    "another field": ("/predict", form((b"files", PNG)), FORM),
    "half a form": ("/predict", form((b"file", PNG))[:-20], FORM),
    "many": ("/predict/batch?top_k=1", form((b"files", PNG), (b"files", b"hello"), (b"files", PNG)), FORM),
    "many of none": ("/predict/batch", form((b"file", PNG)), FORM),
    "pixels": ("/pixels", PNG, "image/png"),
    "pixels of nothing": ("/pixels", b"hello", "image/png"),
    "why": ("/explain", form((b"file", PNG)), FORM),
    "why not the last": ("/explain?class_index=2", PNG, None),
    "why not another": ("/explain?class_index=3", PNG, None),
}


def headers_of(body: bytes, content_type: str | None, **more: str) -> Headers:
    """As the protocol hands them over."""
    found = [(b"host", b"x"), (b"content-length", str(len(body)).encode())]
    if content_type:
        found.append((b"content-type", content_type.encode()))
    return found + [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]


async def ask_desk(desk: Desk, target: str, body: bytes, content_type: str | None) -> Reply:
    """Through the desk."""
    admitted = desk.admit(b"POST", target.encode(), headers_of(body, content_type))
    assert isinstance(admitted, Admitted)
    assert desk.receive(admitted, len(body)) is None
    return await desk.answer(admitted, body, Caller(None, timeout_s=admitted.timeout_s), client="10.0.0.1")


def serve(
    settings: Settings, test: Callable[[Service, Desk, httpx.AsyncClient], Coroutine[Any, Any, None]]
) -> None:
    """One service with both ways to it."""
    is_over = False

    async def run() -> None:
        nonlocal is_over
        service = Service(settings)
        app = create_app(settings, service=service)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
            asyncio.timeout(60),  # the innermost: a lifespan lets no cancellation out
        ):
            await test(service, Desk(service, settings), client)
            is_over = True

    asyncio.run(run())
    assert is_over


STAGES = ["decode", "queue", "infer", "batch"]


def stages(timing: str) -> list[str]:
    """The names in a Server-Timing."""
    return [part.partition(";")[0].strip() for part in timing.split(",")]


def told(body: bytes) -> Any:
    """A picture as it is, or the JSON of an answer without what is drawn anew for each request."""
    if body.startswith(b"\x89PNG"):
        return body
    found = json.loads(body)
    for place in [found, *(result.get("problem", {}) for result in found.get("results", []))]:
        place.pop("request_id", None)
    return found


def test_every_path_that_takes_pictures_is_declared_for_the_framework() -> None:
    """The table of the answers and the routes name the same ones."""
    routes = [*predict.router.routes, *explain.router.routes]
    lean = [route for route in routes if isinstance(route, LeanRoute)]
    declared = [(route.path, method) for route in lean for method in route.methods or ()]
    assert sorted(declared) == sorted((path, method) for path, row in PATHS.items() for method in row.methods)
    assert {target.partition("?")[0] for target, _, _ in REQUESTS.values()} == set(PATHS)


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_give_the_same_answer(settings: Settings, name: str) -> None:
    """Status, body and headers, for good and for bad requests; no picture is left in work."""
    target, body, content_type = REQUESTS[name]

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        ours = await ask_desk(desk, target, body, content_type)
        theirs = await client.post(
            target, content=body, headers={"content-type": content_type} if content_type else {}
        )
        assert (ours.status, told(ours.body)) == (theirs.status_code, told(theirs.content))
        head, _, _ = ours.to_http("an-id", default_headers=[(b"date", b"x")]).partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert {name: value for name, value in lines.items() if name not in {*CHANGING, "content-length"}} == {
            name: value for name, value in theirs.headers.items() if name not in {*CHANGING, "content-length"}
        }
        assert stages(lines["server-timing"]) == stages(theirs.headers["server-timing"]) == STAGES
        service.admission.check(within_s=1e9, pictures=settings.max_queue)

    serve(settings, check)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        (b"GET", b"/predict", headers_of(b"", None)),
        (b"PUT", b"/predict", headers_of(PNG, None)),
        (b"POST", b"/model", headers_of(b"", None)),
        (b"POST", b"/predict/", headers_of(PNG, None)),
        (b"POST", b"/predict", [(b"transfer-encoding", b"chunked")]),
        (b"POST", b"/predict", [(b"content-length", b"300001")]),
        (b"POST", b"/predict", [(b"content-length", b"-1")]),
        (b"POST", b"/predict", [(b"content-length", b"1" * 5_000)]),
        (b"POST", b"/predict", [(b"content-length", "²".encode("latin-1"))]),
        (b"POST", b"/predict", headers_of(PNG, None, x_request_timeout_ms="soon")),
    ],
)
def test_what_is_not_for_the_desk_goes_to_the_framework(
    settings: Settings, method: bytes, target: bytes, headers: Headers
) -> None:
    """Another method or path, an unknown or too large length, a header that cannot be understood."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        assert desk.admit(method, target, headers) is None
        service.drain()
        assert desk.admit(b"POST", b"/predict", headers_of(PNG, None)) is None
        assert desk.is_closing

    serve(settings, check)


def test_a_refusal_says_when_to_come_back_under_the_callers_id(settings: Settings) -> None:
    """Whether it is made anew or held from a moment ago, and whatever the length of the id."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        service.judge.fault = "a test says so"
        for given in ("short", "a" * 32, "b" * 32, "c" * 128, ""):
            refused = desk.admit(b"POST", b"/predict", headers_of(PNG, None, x_request_id=given))
            assert isinstance(refused, Refused)
            assert not refused.ends_connection
            head, _, body = refused.answer.partition(b"\r\n\r\n")
            lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert int(lines["content-length"]) == len(body)
            assert int(lines["retry-after"]) >= 1
            assert stages(lines["server-timing"]) == STAGES
            problem = json.loads(body)
            assert (problem["code"], problem["request_id"]) == ("not_ready", lines["x-request-id"])
            assert lines["x-request-id"] == given or (not given and len(lines["x-request-id"]) == 32)
        shown = service.metrics.exposition().decode()
        assert 'glimpse_requests_total{route="/predict",status="503"} 5.0' in shown
        service.judge.fault = None

    serve(settings, check)


def test_a_refusal_is_not_held_for_others(settings: Settings) -> None:
    """Who gives more time, or asks for something else, is judged anew."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        service.admission.lagged(5.0)  # the default deadline of 10 s leaves 60 % of it for the estimate
        service.admission.lagged(5.0)
        soon = headers_of(PNG, None, x_request_timeout_ms="1000")
        assert isinstance(desk.admit(b"POST", b"/predict", soon), Refused)
        later = headers_of(PNG, None, x_request_timeout_ms="60000")
        assert isinstance(desk.admit(b"POST", b"/predict", later), Admitted)

    serve(settings, check)


def test_each_request_at_the_desk_is_one_log_line_and_one_count(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The same line as behind the framework, with the caller's address."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        await ask_desk(desk, "/predict", PNG, "image/png")
        await ask_desk(desk, "/predict", b"hello", "image/png")
        counted = service.metrics.exposition().decode()
        for status in ("200", "415"):
            assert f'glimpse_requests_total{{route="/predict",status="{status}"}} 1.0' in counted

    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        serve(settings, check)
    first, second = (vars(record)["fields"] for record in caplog.records if record.name == "glimpse.requests")
    assert (first["method"], first["path"], first["status"]) == ("POST", "/predict", 200)
    assert (first["client"], first["picture_bytes"]) == ("10.0.0.1", len(PNG))
    assert (second["status"], second["picture_bytes"]) == (415, 5)


def test_the_log_says_where_the_time_of_a_picture_went(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """As Server-Timing does, both ways and for a failure too; without a picture there is no word of it."""
    told_callers: list[str] = []

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        batch = form((b"files", PNG), (b"files", PNG))
        for target, body, content_type in (
            ("/predict", PNG, "image/png"),
            ("/predict", b"hello", "image/png"),
            ("/predict/batch", batch, FORM),
            ("/predict", PNG, "application/json"),
        ):
            ours = await ask_desk(desk, target, body, content_type)
            theirs = await client.post(target, content=body, headers={"content-type": content_type})
            told_callers.extend((ours.headers["server-timing"], theirs.headers["server-timing"]))

    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        serve(settings, check)
    lines = [vars(record)["fields"] for record in caplog.records if record.name == "glimpse.requests"]
    for line, timing in zip(lines[:6], told_callers[:6], strict=True):
        told_operators = (f"{stage};dur={line[f'{stage}_ms']:.2f}" for stage in STAGES[:3])
        assert ", ".join((*told_operators, f"batch;desc={line['batch']}")) == timing
        assert line["decode_ms"] > 0
    assert [line["batch"] > 0 for line in lines[:6]] == [True, True, False, False, True, True]
    for line in lines[6:]:
        assert not {"decode_ms", "queue_ms", "infer_ms", "batch"} & set(line)


def test_the_log_names_the_trace_that_a_request_is_part_of(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Both ways, of those that did not arrive too; where the caller names none there is no such field."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = f"00-{trace}-00f067aa0ba902b7-01"

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        headers = headers_of(PNG, "image/png", traceparent=parent)
        first, second = (desk.admit(b"POST", b"/predict", headers) for _ in range(2))
        assert isinstance(first, Admitted)
        assert isinstance(second, Admitted)
        assert desk.receive(first, len(PNG)) is None
        await desk.answer(first, PNG, Caller(None, timeout_s=10), client="x")
        desk.hang_up(second, 0, client="x")
        await client.post("/predict", content=PNG, headers={"traceparent": parent})
        await client.get("/health/live", headers={"traceparent": parent})
        await client.get("/health/live", headers={"traceparent": "no such thing"})
        await ask_desk(desk, "/predict", PNG, "image/png")

    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        serve(settings, check)
    lines = [vars(record)["fields"] for record in caplog.records if record.name == "glimpse.requests"]
    assert [line.get("trace_id") for line in lines] == [trace] * 4 + [None] * 2
    assert all("trace_id" not in line for line in lines[4:])


def test_what_is_answered_is_counted_both_ways(settings: Settings) -> None:
    """Each picture of a batch too, by its best label; no bad file, no golden picture, nothing of other paths."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        def counted() -> Counter[str]:
            service.predictions.tell()
            lines = re.findall(
                r'^glimpse_predictions_total\{label="(\w+)"\} (\S+)$',
                service.metrics.exposition().decode(),
                re.MULTILINE,
            )
            return Counter({label: int(float(count)) for label, count in lines})

        await service.judge.judge()
        for target in ("/pixels", "/explain"):
            await ask_desk(desk, target, PNG, "image/png")
        assert not counted()
        ours, theirs = (
            await ask_desk(desk, "/predict", PNG, "image/png"),
            await client.post("/predict", content=PNG),
        )
        answers = [told(ours.body), told(theirs.content)]
        await ask_desk(desk, "/predict", b"hello", "image/png")
        files = form((b"files", PNG), (b"files", b"hello"), (b"files", PNG))
        answers += told((await ask_desk(desk, "/predict/batch", files, FORM)).body)["results"]
        best = Counter(answer["predictions"][0]["label"] for answer in answers if "predictions" in answer)
        assert best.total() == 4
        assert counted() == best

    serve(settings, check)


def test_a_packed_body_is_refused_both_ways(settings: Settings) -> None:
    """415 with a sentence about that, whatever its type."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        body = gzip.compress(PNG)
        admitted = desk.admit(b"POST", b"/predict", headers_of(body, "image/png", content_encoding="gzip"))
        assert isinstance(admitted, Admitted)
        assert desk.receive(admitted, len(body)) is None
        ours = await desk.answer(admitted, body, Caller(None, timeout_s=10), client="x")
        headers = {"content-type": "image/png", "content-encoding": "gzip"}
        theirs = await client.post("/predict", content=body, headers=headers)
        assert (ours.status, told(ours.body)) == (theirs.status_code, told(theirs.content))
        assert told(ours.body)["code"] == "unsupported_media_type"
        assert "Content-Encoding is 'gzip'" in told(ours.body)["detail"]

    serve(settings, check)


def test_who_hangs_up_is_a_499_in_the_log(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody reads it, and it is nobody's fault."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        admitted = desk.admit(b"POST", b"/predict", headers_of(PNG, None))
        assert isinstance(admitted, Admitted)
        assert desk.receive(admitted, len(PNG)) is None
        caller = Caller(None, timeout_s=10)
        answering = asyncio.create_task(desk.answer(admitted, PNG, caller, client="x"))
        caller.hang_up()
        assert (await answering).status == 499

    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        serve(settings, check)
    (line,) = (record for record in caplog.records if record.name == "glimpse.requests")
    assert vars(line)["fields"]["status"] == 499
    assert not line.exc_info


def test_who_has_no_answer_when_a_stop_is_over_is_told_so(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The server cancels what it has in work: 503, one count, one log line, and all room is given back."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        admitted = desk.admit(b"POST", b"/predict", headers_of(PNG, None, x_request_id="mine"))
        assert isinstance(admitted, Admitted)
        assert desk.receive(admitted, len(PNG)) is None
        caller = Caller(None, timeout_s=admitted.timeout_s)
        answering = asyncio.create_task(desk.answer(admitted, PNG, caller, client="10.0.0.1"))
        await asyncio.sleep(0)  # it waits for the engine, whose answer could not be heard before the next turn
        service.drain()
        answering.cancel()
        reply = await answering
        assert (reply.status, told(reply.body)["code"]) == (503, "not_ready")
        assert "The service stopped before the request was answered" in told(reply.body)["detail"]
        assert int(reply.headers["retry-after"]) >= 1
        assert stages(reply.headers["server-timing"]) == STAGES
        counted = service.metrics.exposition().decode()
        assert 'glimpse_requests_total{route="/predict",status="503"} 1.0' in counted
        assert service.bodies.held_bytes == 0

    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        serve(settings, check)
    (line,) = (record for record in caplog.records if record.name == "glimpse.requests")
    assert (vars(line)["fields"]["request_id"], vars(line)["fields"]["status"]) == ("mine", 503)
    assert not line.exc_info


def test_what_has_not_arrived_at_the_end_is_given_up(settings: Settings) -> None:
    """By the application itself, in whatever process and under whatever server it runs, while it still counts."""

    async def run() -> None:
        service = Service(settings)
        app = create_app(settings, service=service)
        given_up: list[bool] = []

        class Slow:
            """A connection with half a request."""

            def give_up(self) -> None:
                """Note that it was asked while the service could still count."""
                given_up.append(service.is_draining)

        async with asyncio.timeout(60), app.router.lifespan_context(app) as state:
            assert state
            desk = state["desk"]
            assert isinstance(desk, Desk)
            desk.connections.add(Slow())
            service.drain()
        assert given_up == [True]

    asyncio.run(run())


def test_a_fault_nobody_foresaw_is_an_answer_with_its_cause_in_the_log(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection lives on, and the caller learns the id alone."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        admitted = Admitted("/secret", b"", "image/png", None, "an-id", 10.0)  # the desk itself lets none such in
        assert desk.receive(admitted, len(PNG)) is None
        reply = await desk.answer(admitted, PNG, Caller(None, timeout_s=10), client="x")
        assert (reply.status, json.loads(reply.body)["request_id"]) == (500, "an-id")
        assert b"secret" not in reply.body
        assert stages(reply.headers["server-timing"]) == STAGES

    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        serve(settings, check)
    (line,) = (record for record in caplog.records if record.name == "glimpse.requests")
    assert line.exc_info
    assert line.exc_info[0] is KeyError
    assert line.levelno == logging.ERROR


def test_bodies_are_counted_as_they_come_until_their_requests_are_over(settings: Settings) -> None:
    """At the desk and behind the framework; who only announces takes nobody's room, and all is let go."""
    small = settings.model_copy(update={"max_bodies_bytes": 2 * len(PNG) + 10})

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        admitted = [desk.admit(b"POST", b"/predict", headers_of(PNG, None)) for _ in range(4)]
        first, second, third, _ = (one for one in admitted if isinstance(one, Admitted))
        assert desk.receive(first, len(PNG)) is desk.receive(second, len(PNG)) is None
        refused = desk.receive(third, len(PNG))
        assert refused is not None
        assert b"GLIMPSE_MAX_BODIES_BYTES" in refused
        assert b"\r\nretry-after: 1\r\n" in refused
        assert b"\r\nconnection: close\r\n" not in refused
        theirs = await client.post("/predict", content=PNG)
        assert (theirs.status_code, theirs.json()["code"]) == (503, "overloaded")
        assert "retry-after" in theirs.headers
        await desk.answer(first, PNG, Caller(None, timeout_s=10), client="x")
        desk.drop(len(PNG))
        assert service.bodies.held_bytes == 0
        for content in (PNG, b"no picture", b"x" * 300_001):
            await client.post("/predict", content=content)
        assert service.bodies.held_bytes == 0

    serve(small, check)


def test_a_request_that_did_not_arrive_has_a_count_and_a_log_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """408 under its own id where its header came, else under a new one; 499 where the caller hung up."""

    async def check(service: Service, desk: Desk, client: httpx.AsyncClient) -> None:
        admitted = desk.admit(b"POST", b"/predict", headers_of(PNG, None, x_request_id="mine"))
        assert isinstance(admitted, Admitted)
        for late in (admitted, None):
            date = [(b"date", b"today")]
            answer = desk.break_off(
                desk.too_late(),
                late,
                request_id=late.request_id if late else "drawn",
                client="10.0.0.1",
                default_headers=date,
            )
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert b"\r\ndate: today\r\n" in head
            assert b"\r\nconnection: close" in head
            problem = json.loads(body)
            assert problem["code"] == "upload_timeout"
            assert "within 120 seconds" in problem["detail"]
            assert (problem["request_id"] == "mine") == (late is admitted)
        desk.hang_up(admitted, 0, client="10.0.0.2")
        counted = service.metrics.exposition().decode()
        assert 'glimpse_requests_total{route="/predict",status="408"} 1.0' in counted
        assert 'glimpse_requests_total{route="other",status="408"} 1.0' in counted
        assert 'glimpse_requests_total{route="/predict",status="499"} 1.0' in counted

    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        serve(settings, check)
    lines = [vars(record)["fields"] for record in caplog.records if record.name == "glimpse.requests"]
    assert [(line["path"], line["status"], line["client"]) for line in lines] == [
        ("/predict", 408, "10.0.0.1"),
        ("other", 408, "10.0.0.1"),
        ("/predict", 499, "10.0.0.2"),
    ]
