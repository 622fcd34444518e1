"""More callers than may wait, over real connections: an answer or a refusal that says when to come back."""

import http.client
import json
import threading
from collections.abc import Callable

import httpx

from tests.drawing import encode, gradient
from tests.e2e.conftest import Server

PHOTO = encode(gradient(1600, 1200), "PNG")
CALLERS = 12
EACH = 8
REFUSED = 'glimpse_requests_total{route="/predict",status="503"}'


def test_who_is_refused_by_the_header_hears_so_and_may_come_back(start_server: Callable[..., Server]) -> None:
    """503 with Retry-After and the id, the body unread, and the same connection is good for the next try."""
    server = start_server("--max-queue", "2", "--max-batch-files", "1")
    port = int(server.url.rsplit(":", 1)[1])
    answers: list[tuple[int, http.client.HTTPMessage, bytes]] = []
    start = threading.Barrier(CALLERS)

    def ask(name: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        start.wait()
        for count in range(EACH):
            headers = {"Content-Type": "image/png", "X-Request-ID": f"{name}-{count}"}
            connection.request("POST", "/predict?top_k=1", PHOTO, headers)
            answer = connection.getresponse()
            answers.append((answer.status, answer.headers, answer.read()))
            assert answer.headers["x-request-id"] == f"{name}-{count}"
        connection.close()

    callers = [threading.Thread(target=ask, args=(f"caller{index}",)) for index in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert len(answers) == CALLERS * EACH
    assert {status for status, _, _ in answers} == {200, 503}
    for status, headers, body in answers:
        if status == 503:
            problem = json.loads(body)
            assert headers["content-type"] == "application/problem+json"
            assert int(headers["retry-after"]) >= 1
            assert (problem["status"], problem["code"]) == (503, "overloaded")
            assert problem["request_id"] == headers["x-request-id"]
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/predict", files={"file": PHOTO}).status_code == 200
        counted = [line for line in client.get("/metrics").text.splitlines() if REFUSED in line]
    refused = sum(status == 503 for status, _, _ in answers)
    assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) == refused


def test_a_request_that_ends_its_connection_is_refused_too(start_server: Callable[..., Server]) -> None:
    """At the desk or behind it: what cannot be answered in its millisecond is told so, and nothing breaks."""
    server = start_server()
    port = int(server.url.rsplit(":", 1)[1])
    for close in ("close", "keep-alive"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Content-Type": "image/png", "X-Request-Timeout-Ms": "1", "Connection": close}
        connection.request("POST", "/predict", PHOTO, headers)
        answer = connection.getresponse()
        assert answer.status in {503, 504}
        assert json.loads(answer.read())["code"] in {"overloaded", "deadline_exceeded"}
        connection.close()
