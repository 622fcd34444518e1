"""Health, model page, request ids, logs, and what happens when the engine fails."""

import asyncio
import contextlib
import json
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.errors import EngineLostError, NotReadyError
from app.main import create_app
from app.opening import OpenModel
from app.service import Service
from app.settings import Settings
from models.checkpoint import Checkpoint, load
from models.preprocessing import Answers, Images
from tests.conftest import LABELS
from tests.drawing import encode, gradient
from tests.integration.conftest import service_behind

PNG = encode(gradient())


class ScriptedEngine:
    """An engine that gives the golden answers until a test says otherwise.

    Attributes:
        script: what the next runs do instead, one entry each: a number to fill the answers with, or an error.
        gave_up: whether a run hung for so long that it ended by itself.
    """

    name, device, dtype, tolerance, max_batch_size, lanes = "scripted", "nowhere", "float32", 1e-3, 32, 1
    run_aside, checked_sizes = None, (32,)

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.script: list[float | Answers | Exception] = []
        self.gave_up = False
        self._golden = checkpoint.golden_probabilities
        self._may_go = threading.Event()
        self._may_go.set()

    def hang(self) -> None:
        """Let no run end."""
        self._may_go.clear()

    def go_on(self) -> None:
        """Let them end again."""
        self._may_go.set()

    def warm_up(self) -> None:
        """Nothing."""

    def answer(self, images: Images) -> Answers:
        """Follow the script; after its end repeat the golden answers."""
        if not self._may_go.wait(timeout=20):
            self.gave_up = True
            raise AssertionError("nobody let it go on")
        entry = self.script.pop(0) if self.script else None
        if isinstance(entry, Exception):
            raise entry
        if isinstance(entry, np.ndarray):
            return entry
        if entry is not None:
            return np.full((len(images), len(LABELS)), entry, np.float32)
        return np.resize(self._golden, (len(images), len(LABELS)))


def _opener(checkpoint: Checkpoint, engine: ScriptedEngine) -> OpenModel:
    def open_model(settings: Settings, *, threads: int) -> tuple[Checkpoint, ScriptedEngine]:
        assert threads >= 1
        assert settings.checkpoint.exists()
        return checkpoint, engine

    return open_model


@contextlib.contextmanager
def _scripted(settings: Settings) -> Iterator[tuple[TestClient, ScriptedEngine]]:
    checkpoint = load(settings.checkpoint)
    engine = ScriptedEngine(checkpoint)
    service = Service(settings, _opener(checkpoint, engine))
    with TestClient(create_app(settings, service=service)) as client:
        try:
            yield client, engine
        finally:
            engine.go_on()


def _until(client: TestClient, path: str, status: int) -> dict[str, str]:
    """Ask until the answer has that status; the judge works beside the requests."""
    for _ in range(5_000):
        response = client.get(path)
        if response.status_code == status:
            body: dict[str, str] = response.json()
            return body
    raise AssertionError(f"{path} still answers {response.status_code}: {response.text}")


def _golden_checks(client: TestClient) -> float:
    """How often the golden pictures were asked, whatever came of it."""
    counts = re.findall(r"^glimpse_golden_checks_total\{.*\} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return sum(map(float, counts))


def _until_asked_again(client: TestClient, before: float) -> None:
    """Wait until the golden pictures have been asked once more."""
    for _ in range(5_000):
        if _golden_checks(client) > before:
            return
    raise AssertionError("the golden pictures were not asked again")


def test_health_says_what_is_served(client: TestClient) -> None:
    """Status, model with digest, engine, device, version and uptime, as the OpenAPI page has them."""
    service_behind(client).started_s -= 100
    body = client.get("/health").json()
    assert body["status"] == "ok"
    assert body["model"]["name"] == "tiny"
    assert body["model"]["digest"].startswith("sha256:")
    assert (body["engine"], body["device"], body["dtype"]) == ("torch", "cpu", "float32")
    assert 100 <= body["uptime_s"] < 200
    page = client.get("/openapi.json").json()
    assert body["version"] == version("glimpse") == page["info"]["version"]
    assert set(body) == set(page["components"]["schemas"]["HealthBody"]["properties"])


def test_orchestrators_get_live_and_ready(client: TestClient) -> None:
    """Two questions, two answers."""
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_before_the_start_it_is_live_but_not_ready(settings: Settings) -> None:
    """Without its lifespan the application answers 503 with Retry-After, and liveness stays 200."""
    client = TestClient(create_app(settings))
    assert client.get("/health/live").status_code == 200
    for method, path in (("GET", "/health"), ("GET", "/health/ready"), ("GET", "/model"), ("POST", "/predict")):
        response = client.request(method, path)
        assert response.status_code == 503
        assert response.json()["code"] == "not_ready"
        assert int(response.headers["retry-after"]) > 0


def test_what_never_started_can_be_stopped(settings: Settings) -> None:
    """Whoever opened a service and cannot go on closes it all the same."""
    asyncio.run(Service(settings).stop())


@pytest.mark.parametrize(("cores", "workers", "longest_s"), [(1, 1, 0.0003), (2, 1, 0.00004), (2, 2, 0.0003)])
def test_the_cores_of_a_process_decide_what_its_event_loop_runs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, longest_s: float
) -> None:
    """With another core for the engine's thread only what is quicker than handing it over."""
    monkeypatch.setattr("app.service.usable_cores", lambda: cores)
    service = Service(settings.model_copy(update={"workers": workers}))
    assert service.model._longest_picture_s == longest_s


def test_an_application_that_is_cancelled_ends_without_a_fault(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """So a second Ctrl-C ends it; uvicorn would log a traceback. It is stopped all the same."""
    app = create_app(settings)

    async def cancel() -> None:
        async with app.router.lifespan_context(app):
            raise asyncio.CancelledError

    with caplog.at_level(logging.INFO):
        asyncio.run(cancel())
    assert caplog.records[-1].message == "stopped"


def test_model_page_is_the_checkpoints_record(client: TestClient, checkpoint_path: Path) -> None:
    """Labels, network, input, metrics, calibration, training and digest, as they stand in the file."""
    checkpoint = load(checkpoint_path)
    body = client.get("/model").json()
    assert body["digest"] == checkpoint.digest
    assert body["labels"] == list(LABELS)
    assert body["architecture"] == {"name": "tutorial", "arguments": {}}
    assert body["input"]["mean"] == [0.5, 0.5, 0.5]
    assert body["metrics"]["per_class"] == dict.fromkeys(LABELS, 1.0)
    assert body["metrics"]["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert body["calibration"] == {
        "temperature": 1.0,
        "abstain_threshold": None,
        "distance_threshold": None,
        "six_views_temperature": 1.0,
        "floor": 0.0,
        "six_views_floor": 0.0,
        "held_out": None,
    }
    assert body["training"]["recipe"] == "tutorial"


def test_abstain_follows_the_checkpoints_threshold(tmp_path: Path, network: object, record: object) -> None:
    """A best score below the threshold says so; the labels still come."""
    import dataclasses

    import torch

    from models.calibration import Calibration
    from models.checkpoint import save
    from models.record import Record

    assert isinstance(network, torch.nn.Module)
    assert isinstance(record, Record)
    for threshold, expected in ((0.999, True), (0.001, False)):
        path = tmp_path / f"{threshold}.safetensors"
        save(path, network, dataclasses.replace(record, calibration=Calibration(1.0, threshold)))
        with TestClient(create_app(Settings(checkpoint=path, engine="torch", device="cpu"))) as client:
            body = client.post("/predict", files={"file": PNG}).json()
        assert body["abstain"] is expected
        assert len(body["predictions"]) == 3


def test_a_picture_that_fails_alone_harms_nobody(settings: Settings) -> None:
    """It is a 500 without a word of the inside; the golden pictures are asked at once, and it stays ready."""
    with _scripted(settings.model_copy(update={"golden_interval_s": 1e6})) as (client, engine):
        before = _golden_checks(client)
        engine.script = [RuntimeError("CUDA error: secret")]
        response = client.post("/predict", files={"file": PNG})
        assert (response.status_code, response.json()["code"]) == (500, "engine_failed")
        assert "secret" not in response.text
        _until_asked_again(client, before)
        for _ in range(3):
            assert client.post("/predict", files={"file": PNG}).status_code == 200
            assert client.get("/health/ready").status_code == 200


def test_wrong_golden_answers_make_it_not_ready(settings: Settings) -> None:
    """After a failure the golden pictures come back wrong: 503 with the reason, until they are right again."""
    with _scripted(settings.model_copy(update={"golden_interval_s": 0.01})) as (client, engine):
        engine.script = [0.3] * 100_000
        body = _until(client, "/health/ready", 503)
        assert body["code"] == "not_ready"
        assert "golden pictures give other answers" in body["detail"]
        refused = client.post("/predict", files={"file": PNG})
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/health/live").status_code == 200
        assert 'glimpse_golden_checks_total{result="wrong"}' in client.get("/metrics").text
        engine.script = []
        _until(client, "/health/ready", 200)
        assert client.post("/predict", files={"file": PNG}).status_code == 200


def test_a_judge_that_fails_itself_is_not_ready_and_judges_again(settings: Settings) -> None:
    """Not only wrong answers: whatever goes wrong while they are compared must not end the judging unnoticed."""
    with _scripted(settings.model_copy(update={"golden_interval_s": 0.01})) as (client, engine):
        setattr(engine, "tolerance", "none at all")  # noqa: B010 - of a wrong type on purpose
        assert "TypeError" in _until(client, "/health/ready", 503)["detail"]
        setattr(engine, "tolerance", 1e-3)  # noqa: B010 - right again
        _until(client, "/health/ready", 200)


def test_what_an_engine_says_of_itself_is_not_told_to_callers(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by the 503 either, as by the 500: they hear that it failed, the probe and the log hear the reason."""
    with _scripted(settings.model_copy(update={"golden_interval_s": 0.01})) as (client, engine):
        engine.script = [RuntimeError("no file at /secret/path")] * 100_000
        assert "/secret/path" in _until(client, "/health/ready", 503)["detail"]
        refused = client.post("/predict", files={"file": PNG})
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert "secret" not in refused.text
        assert "the engine, or the comparison of its answers, failed" in refused.json()["detail"]
        engine.script = []
        _until(client, "/health/ready", 200)
    lines = [vars(line)["fields"] for line in caplog.records if line.getMessage() == "not ready"]
    assert "/secret/path" in lines[0]["reason"]


def test_late_golden_answers_make_it_not_ready(settings: Settings) -> None:
    """An engine that hangs is not ready, and says so, while liveness waits for it; a caller gets 504 in time."""
    with _scripted(settings.model_copy(update={"golden_interval_s": 0.01})) as (client, engine):
        service = service_behind(client)
        service.judge.timeout_s = 0.2  # from here on: the start may take longer
        engine.hang()
        body = _until(client, "/health/ready", 503)
        assert "too late" in body["detail"]
        assert 'glimpse_golden_checks_total{result="late"}' in client.get("/metrics").text
        assert client.get("/health/live").status_code == 200
        engine.go_on()
        _until(client, "/health/ready", 200)


def test_an_engine_that_hangs_does_not_keep_the_process(settings: Settings) -> None:
    """The drain ends when its time is over, with whatever is left unanswered."""
    checkpoint = load(settings.checkpoint)
    engine = ScriptedEngine(checkpoint)
    with TestClient(create_app(settings, service=Service(settings, _opener(checkpoint, engine)))) as client:
        engine.hang()
        answer = client.post("/predict", files={"file": PNG}, headers={"X-Request-Timeout-Ms": "400"})
        assert answer.status_code == 504
    assert not engine.gave_up
    engine.go_on()


def test_an_answer_that_is_not_there_in_time_is_a_504(settings: Settings) -> None:
    """By the caller's own deadline; out of its bounds it is refused."""
    with _scripted(settings) as (client, engine):
        engine.hang()
        answer = client.post("/predict", files={"file": PNG}, headers={"X-Request-Timeout-Ms": "400"})
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
        assert "not there in the time" in answer.json()["detail"]
        engine.go_on()
        for wrong in ("0", "60001", "-1", "soon", "1e3", "9" * 30, ""):
            answer = client.post("/predict", files={"file": PNG}, headers={"X-Request-Timeout-Ms": wrong})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
        answer = client.post("/predict", files={"file": PNG}, headers={"X-Request-Timeout-Ms": "60000"})
        assert answer.status_code == 200


TIMING = r"decode;dur=(\d+\.\d\d), queue;dur=(\d+\.\d\d), infer;dur=(\d+\.\d\d), batch;desc=(\d+)"


def _timing(response: Response) -> list[float]:
    found = re.fullmatch(TIMING, response.headers["server-timing"])
    assert found
    return [float(number) for number in found.groups()]


def test_every_answer_says_where_its_time_went(settings: Settings) -> None:
    """Server-Timing with decode, queue, infer and the size of the batch; of a failure too: how far it came."""
    with _scripted(settings) as (client, engine):
        decode_ms, _, infer_ms, batch = _timing(client.post("/predict", files={"file": PNG}))
        assert (decode_ms > 0, infer_ms >= 0, batch) == (True, True, 1)
        broken = _timing(client.post("/predict", files={"file": PNG[:60]}))
        assert (broken[0] > 0, broken[1:]) == (True, [0, 0, 0])
        for refused in (
            client.post("/predict", content=b"x" * 300_001),
            client.post("/predict", json={"file": "x"}),
            client.post("/predict", files={"file": PNG}, headers={"X-Request-Timeout-Ms": "soon"}),
            client.get("/predict"),
        ):
            assert _timing(refused) == [0, 0, 0, 0]
        engine.hang()
        late = _timing(client.post("/predict", files={"file": PNG}, headers={"X-Request-Timeout-Ms": "400"}))
        assert (late[1] > 100, late[2:]) == (True, [0, 0])
        assert "server-timing" not in client.get("/model").headers


@pytest.mark.parametrize(
    ("path", "field", "limits", "reason"),
    [
        pytest.param("/predict/batch", "files", {"max_queue": 1}, "queue_full", id="a batch"),
        pytest.param("/predict", "file", {"max_bodies_bytes": 100}, "bodies_full", id="a body"),
        pytest.param("/explain", "file", {}, "explanations_full", id="an explanation"),
    ],
)
def test_a_refusal_after_the_header_is_counted_too(
    settings: Settings, path: str, field: str, limits: dict[str, int], reason: str
) -> None:
    """Where the batch is too many, where its body finds no room, where too many explanations wait."""
    with TestClient(create_app(settings.model_copy(update=limits))) as client:
        service = service_behind(client)
        service.explainer._waiting = {Future() for _ in range(8)}
        answer = client.post(path, files=[(field, ("a.png", PNG))] * 2)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert client.portal
        client.portal.call(service.refusals.tell)
        counted = f'glimpse_refused_total{{code="overloaded",reason="{reason}"}} 1.0'
        assert counted in client.get("/metrics").text
        service.explainer._waiting.clear()


def test_a_lost_device_is_not_live(settings: Settings) -> None:
    """Only a new process can have it back, so the supervisor is told to start one; nor ready, and that at once."""
    with _scripted(settings.model_copy(update={"golden_interval_s": 1e6})) as (client, engine):
        before = _golden_checks(client)
        engine.script = [EngineLostError("gone")] * 100_000
        assert client.post("/predict", files={"file": PNG}).status_code == 500
        body = _until(client, "/health/live", 503)
        assert "Restart the service" in body["detail"]
        _until_asked_again(client, before)
        _until(client, "/health/ready", 503)


def test_a_failed_run_is_in_the_log_with_its_cause(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """The answer says that the operator finds the cause by the request id; here it is."""
    with _scripted(settings) as (client, engine):
        engine.script = [RuntimeError("CUDA error: 700")]
        response = client.post("/predict", files={"file": PNG})
    line = next(record for record in caplog.records if record.name == "glimpse" and record.levelname == "ERROR")
    assert vars(line)["fields"]["request_id"] == response.headers["x-request-id"]
    assert line.exc_info
    assert "CUDA error: 700" in str(line.exc_info[1])


def test_a_score_that_is_no_number_is_an_error(settings: Settings) -> None:
    """NaN is never answered as a score."""
    with _scripted(settings) as (client, engine):
        engine.script = [float("nan")]
        response = client.post("/predict", files={"file": PNG})
    assert (response.status_code, response.json()["code"]) == (500, "engine_failed")


def test_answers_for_another_number_of_classes_are_an_error(settings: Settings) -> None:
    """A wrong engine must not name labels that it does not know."""
    with _scripted(settings) as (client, engine):
        engine.script = [np.zeros((1, 2), np.float32)]
        response = client.post("/predict", files={"file": PNG})
    assert (response.status_code, response.json()["code"]) == (500, "engine_failed")


def test_an_engine_with_wrong_answers_is_not_started(settings: Settings) -> None:
    """The golden pictures go through the engine before the first request."""
    checkpoint = load(settings.checkpoint)
    engine = ScriptedEngine(checkpoint)
    engine.script = [0.1] * 8
    service = Service(settings, _opener(checkpoint, engine))
    with (
        pytest.raises(NotReadyError, match="give other answers"),
        TestClient(create_app(settings, service=service)),
    ):
        pass


@pytest.mark.parametrize(
    "path", ["/health", "/health/live", "/health/ready", "/model", "/metrics", "/tensors", "/tensors/creation"]
)
def test_whoever_wants_no_body_asks_with_head(client: TestClient, path: str) -> None:
    """Some load balancers do; it stands beside GET, and not on the OpenAPI page."""
    response = client.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert "head" not in client.get("/openapi.json").json()["paths"].get(path, {})


@pytest.mark.parametrize(
    ("offered", "kept"),
    [("abc-1.2_X", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ('"}', False), ("", False)],
)
def test_a_sane_request_id_is_kept(client: TestClient, offered: str, kept: bool) -> None:
    """Anything else is replaced, so that no header can write into the log."""
    response = client.get("/health/live", headers={"X-Request-ID": offered})
    assert (response.headers["x-request-id"] == offered) is kept
    assert response.headers["x-request-id"]


def test_each_request_is_one_log_line(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """With id, method, path, status and duration."""
    with caplog.at_level(logging.INFO, logger="glimpse.requests"):
        response = client.post("/predict", files={"file": PNG})
        client.get("/nothing")
    first, second = (vars(record)["fields"] for record in caplog.records if record.name == "glimpse.requests")
    assert first["request_id"] == response.headers["x-request-id"]
    assert (first["method"], first["path"], first["status"]) == ("POST", "/predict", 200)
    assert first["duration_ms"] > 0
    assert first["picture_bytes"] == len(PNG)
    assert second["status"] == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/nothing", 404, "not_found", None),
        ("GET", "/predict", 405, "method_not_allowed", "POST, PUT"),
        ("PUT", "/predict/batch", 405, "method_not_allowed", "POST"),
        ("DELETE", "/health", 405, "method_not_allowed", "GET, HEAD"),
        ("POST", "/docs", 405, "method_not_allowed", "GET, HEAD"),
    ],
)
def test_the_routers_own_refusals_are_problems_too(
    client: TestClient, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    """404 and 405 have the same shape as everything else; 405 names every method of the path."""
    response = client.request(method, path)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers.get("allow") == allow


def test_a_fault_nobody_foresaw_is_an_answer_and_a_log_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller gets a problem with the id; the traceback stays in the log under the same id."""
    app = create_app(settings)

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret")

    with TestClient(app) as client, caplog.at_level(logging.INFO, logger="glimpse.requests"):
        response = client.get("/broken")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "secret" not in response.text
    line = next(record for record in caplog.records if record.name == "glimpse.requests")
    assert line.exc_info
    assert vars(line)["fields"]["request_id"] == response.headers["x-request-id"]


def test_the_openapi_page_is_true(client: TestClient) -> None:
    """It shows both ways to send a picture, the problem type of each failure, and every route."""
    page = client.get("/openapi.json").json()
    assert set(page["paths"]) == {
        "/predict",
        "/predict/batch",
        "/pixels",
        "/explain",
        "/health",
        "/health/live",
        "/health/ready",
        "/model",
        "/model/reload",
        "/metrics",
        "/tensors",
        "/tensors/report",
        "/tensors/{demo}",
    }
    assert [parameter["name"] for parameter in page["paths"]["/predict"]["post"]["parameters"]] == [
        "top_k",
        "X-Request-Timeout-Ms",
    ]
    numbers = page["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert list(numbers) == [client.get("/metrics").headers["content-type"].partition(";")[0]]
    batch = page["paths"]["/predict/batch"]["post"]
    assert list(batch["requestBody"]["content"]) == ["multipart/form-data"]
    answer = page["components"]["schemas"]["PredictBody"]["properties"]
    assert set(answer) == set(client.post("/predict", files={"file": PNG}).json())
    predict = page["paths"]["/predict"]["post"]
    assert page["paths"]["/predict"]["put"]["operationId"] != predict["operationId"]
    assert set(predict["requestBody"]["content"]) == {
        "multipart/form-data",
        "image/*",
        "application/octet-stream",
    }
    for status in ("413", "415", "422", "503"):
        assert list(predict["responses"][status]["content"]) == ["application/problem+json"]
    json.dumps(page)


def test_the_front_door_is_the_playground(client: TestClient) -> None:
    """Whoever opens the address in a browser finds something."""
    answer = client.get("/", follow_redirects=False)
    assert answer.headers["content-type"].startswith("text/html")
    assert 'id="drop"' in answer.text
