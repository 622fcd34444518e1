"""Health, model page, request ids, logs, and what happens when the engine fails."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.lifespan import Service, open_service
from app.main import create_app
from app.settings import Settings
from models.checkpoint import load
from models.errors import GoldenError
from models.preprocessing import Images, Probabilities
from tests.conftest import LABELS
from tests.drawing import encode, gradient

PNG = encode(gradient())


class ScriptedEngine:
    """An engine that does what the test says, one entry a run."""

    name, device, dtype, tolerance = "scripted", "nowhere", "float32", 1e-3

    def __init__(self, *script: float | Probabilities | Exception) -> None:
        self._script = list(script)

    def probabilities(self, images: Images) -> Probabilities:
        """Fill the answer with the next number, or raise it."""
        entry = self._script.pop(0)
        if isinstance(entry, Exception):
            raise entry
        return np.full((len(images), len(LABELS)), entry, np.float32) if np.isscalar(entry) else np.asarray(entry)


def _client(settings: Settings, *script: float | Probabilities | Exception) -> TestClient:
    service = Service(load(settings.checkpoint), ScriptedEngine(*script))
    return TestClient(create_app(settings, service=service))


def test_health_says_what_is_served(client: TestClient) -> None:
    """Status, model with digest, engine, device and uptime."""
    body = client.get("/health").json()
    assert body["status"] == "ok"
    assert body["model"]["name"] == "tiny"
    assert body["model"]["digest"].startswith("sha256:")
    assert (body["engine"], body["device"], body["dtype"]) == ("torch", "cpu", "float32")
    assert body["uptime_s"] >= 0


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
    assert body["calibration"] == {"temperature": 1.0, "abstain_threshold": None}
    assert body["training"]["recipe"] == "tutorial"


def test_abstain_follows_the_checkpoints_threshold(tmp_path: Path, network: object, record: object) -> None:
    """A best score below the threshold says so; the labels still come."""
    import dataclasses

    import torch

    from models.checkpoint import save
    from models.record import Calibration, Record

    assert isinstance(network, torch.nn.Module)
    assert isinstance(record, Record)
    for threshold, expected in ((0.999, True), (0.001, False)):
        path = tmp_path / f"{threshold}.safetensors"
        save(path, network, dataclasses.replace(record, calibration=Calibration(1.0, threshold)))
        with TestClient(create_app(Settings(checkpoint=path, device="cpu"))) as client:
            body = client.post("/predict", files={"file": PNG}).json()
        assert body["abstain"] is expected
        assert len(body["predictions"]) == 3


def test_a_failing_engine_is_a_500_and_not_ready_until_it_is_right_again(settings: Settings) -> None:
    """The caller hears nothing of the inside; readiness asks the golden pictures, liveness does not care."""
    golden = load(settings.checkpoint).golden_probabilities
    broken = RuntimeError("CUDA error: secret")
    with _client(settings, broken, broken, 0.3, golden) as client:
        response = client.post("/predict", files={"file": PNG})
        assert (response.status_code, response.json()["code"]) == (500, "engine_failed")
        assert "secret" not in response.text
        for reason in ("RuntimeError", "other answers"):
            response = client.get("/health/ready")
            assert (response.status_code, response.json()["code"]) == (503, "not_ready")
            assert reason in response.json()["detail"]
            assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 200


def test_after_a_failed_run_only_a_right_engine_answers(settings: Settings) -> None:
    """The next picture asks the golden answers first: wrong ones are a 503, right ones let it through."""
    golden = load(settings.checkpoint).golden_probabilities
    with _client(settings, RuntimeError("once"), 0.3, golden, 0.25) as client:
        statuses = [client.post("/predict", files={"file": PNG}).status_code for _ in range(3)]
        assert statuses == [500, 503, 200]
        assert client.get("/health").status_code == 200


def test_a_failed_run_is_in_the_log_with_its_cause(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """The answer says that the operator finds the cause by the request id; here it is."""
    with _client(settings, RuntimeError("CUDA error: 700")) as client:
        response = client.post("/predict", files={"file": PNG})
    line = next(record for record in caplog.records if record.name == "glimpse" and record.levelname == "ERROR")
    assert vars(line)["fields"]["request_id"] == response.headers["x-request-id"]
    assert line.exc_info
    assert "CUDA error: 700" in str(line.exc_info[1])


def test_a_score_that_is_no_number_is_an_error(settings: Settings) -> None:
    """NaN is never answered as a score."""
    with _client(settings, float("nan")) as client:
        response = client.post("/predict", files={"file": PNG})
    assert (response.status_code, response.json()["code"]) == (500, "engine_failed")


def test_an_engine_with_wrong_answers_is_not_started(settings: Settings) -> None:
    """The golden pictures go through the engine before the first request."""
    service = Service(load(settings.checkpoint), ScriptedEngine(0.1))
    with pytest.raises(GoldenError, match="give other answers"):
        service.check_golden()
    service.close()


def test_the_real_engine_passes_the_golden_check(settings: Settings) -> None:
    """`open_service` ends with a service that is ready."""
    service = open_service(settings)
    assert service.fault is None
    service.close()


def test_health_answers_head(client: TestClient) -> None:
    """Some load balancers ask without wanting a body."""
    for path in ("/health", "/health/live", "/health/ready"):
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b"")


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
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/predict", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
    ],
)
def test_the_routers_own_refusals_are_problems_too(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    """404 and 405 have the same shape as everything else; 405 keeps Allow."""
    response = client.request(method, path)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert ("allow" in response.headers) is (status == 405)


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
    assert set(page["paths"]) == {"/predict", "/health", "/health/live", "/health/ready", "/model"}
    predict = page["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {
        "multipart/form-data",
        "image/*",
        "application/octet-stream",
    }
    for status in ("413", "415", "422", "503"):
        assert list(predict["responses"][status]["content"]) == ["application/problem+json"]
    json.dumps(page)


def test_the_front_door_leads_to_the_docs(client: TestClient) -> None:
    """Whoever opens the address in a browser finds something."""
    assert client.get("/", follow_redirects=False).headers["location"] == "/docs"
