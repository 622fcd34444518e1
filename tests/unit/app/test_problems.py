"""Every error has a row, and every answer the one shape."""

import inspect
import json
import logging
import re
from http import HTTPStatus
from pathlib import Path

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app import errors
from app.errors import (
    AdminKeyError,
    BodyTooLargeError,
    EngineError,
    EngineLostError,
    NotReadyError,
    OverloadedError,
    StartError,
)
from app.problems import (
    HTTP_CODES,
    KINDS,
    MEDIA_TYPE,
    install,
    kind_of,
    log_fault,
    problem_body,
    to_body,
    to_response,
)
from app.wire.exchange import REQUEST_ID
from models.errors import CheckpointError, GlimpseError, InputError, TooManyPixelsError

DOCUMENTED = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
SOURCES = Path(errors.__file__).parent
OURS = [error for _, error in inspect.getmembers(errors, inspect.isclass) if error.__module__ == errors.__name__]
"""What app/errors.py defines."""
TOLD_AS_ITS_PARENT: dict[type[Exception], type[Exception]] = {EngineLostError: EngineError}
"""The caller can do no more about the one than about the other."""
TOLD_TO_THE_OPERATOR = [error for error in OURS if issubclass(error, StartError)]
"""No request is there to be answered with them; what a reload meets of them is in its ReloadError."""
_INDENT = 4  # columns of one level in the drawing


def _tree(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(below for child in root.__subclasses__() for below in _tree(child))]


@pytest.mark.parametrize("error", _tree(InputError), ids=lambda error: error.__name__)
def test_every_input_error_has_a_row_of_its_own(error: type[Exception]) -> None:
    """What a caller can do wrong is a 4xx with a code that no other class has."""
    assert error in KINDS
    assert 400 <= KINDS[error].status < 500


@pytest.mark.parametrize(
    "error", [error for error in OURS if error not in TOLD_TO_THE_OPERATOR], ids=lambda error: error.__name__
)
def test_every_error_of_the_service_has_a_row_of_its_own(error: type[Exception]) -> None:
    """None is told as an internal error by mistake."""
    assert TOLD_AS_ITS_PARENT.get(error, error) in KINDS
    assert (error in KINDS) != (error in TOLD_AS_ITS_PARENT)


@pytest.mark.parametrize("error", TOLD_TO_THE_OPERATOR, ids=lambda error: error.__name__)
def test_what_ends_a_start_is_nothing_that_a_caller_is_told(error: type[Exception]) -> None:
    """It has no row: a path or a setting in its sentence would be nobody's business."""
    assert error not in KINDS
    assert kind_of(error()) == KINDS[Exception]


def test_every_error_of_the_service_is_drawn() -> None:
    """None is defined beside the tree, where these tests would not see it."""
    defined = {
        (path.name, name)
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r"^class (\w+Error)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert defined == {("errors.py", error.__name__) for error in OURS}


def test_the_drawn_tree_is_the_real_one() -> None:
    """app/errors.py draws each of its classes under its parent, and nothing else."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in str(inspect.getdoc(errors)).splitlines():
        match = re.match(r"[│├└─ ]*([A-Z]\w+Error)\b", line)
        if match:
            depth = match.start(1) // _INDENT
            above = [*above[:depth], match[1]]
            if depth:
                drawn[match[1]] = above[depth - 1]
    assert drawn == {error.__name__: error.__bases__[0].__name__ for error in OURS}


def test_codes_are_unique() -> None:
    """A code means one thing."""
    codes = [kind.code for kind in KINDS.values()] + list(HTTP_CODES.values())
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("code", sorted({*(kind.code for kind in KINDS.values()), *HTTP_CODES.values()}))
def test_every_code_is_documented(code: str) -> None:
    """docs/api.md explains each stable code."""
    assert f"`{code}`" in DOCUMENTED


def test_an_error_without_a_row_is_told_as_its_ancestor() -> None:
    """A new subclass is answered as its nearest class above; anything else is our own fault."""

    class FreshError(TooManyPixelsError):
        pass

    assert kind_of(FreshError()) == KINDS[TooManyPixelsError]
    assert kind_of(EngineLostError()) == (500, "engine_failed")
    assert kind_of(ZeroDivisionError()) == (500, "internal_error")
    assert kind_of(CheckpointError()).status == 500


def test_a_problem_has_the_six_members() -> None:
    """RFC 9457's four, the stable code and the request id, in the right media type."""
    answer = to_response(TooManyPixelsError("Too big."), "abc")
    assert (answer.status_code, answer.media_type) == (413, MEDIA_TYPE)
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(bytes(answer.body)) == {
        "type": "about:blank",
        "title": HTTPStatus(413).phrase,  # another one from Python 3.13 on
        "status": 413,
        "detail": "Too big.",
        "code": "too_many_pixels",
        "request_id": "abc",
    }
    assert to_body(TooManyPixelsError("Too big."), "abc") == json.loads(bytes(answer.body))


def test_who_hung_up_has_a_title_too() -> None:
    """499 is nginx's, and Python does not know it."""
    body = to_body(ClientDisconnect("gone"), "abc")
    assert (body["status"], body["title"], body["code"]) == (499, "Client Closed Request", "client_disconnected")


@pytest.mark.parametrize("error", KINDS, ids=lambda error: error.__name__)
def test_every_row_can_be_told(error: type[Exception]) -> None:
    """Its status has a title, whatever http.HTTPStatus knows."""
    status, code = KINDS[error]
    body = problem_body(status, code, "It happened.", request_id="abc")
    assert body["title"]
    assert json.loads(json.dumps(body)) == body


def test_half_a_character_can_be_told() -> None:
    """A name with a lone surrogate came in and goes out as a question mark; the answer itself must not fail."""
    answer = to_response(TooManyPixelsError("The field \udcff is wrong."), "abc")
    assert json.loads(bytes(answer.body))["detail"] == "The field ? is wrong."


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("secret path /srv/key"),
        EngineError("secret CUDA words"),
        EngineLostError("secret CUDA words"),
        CheckpointError("secret path"),
    ],
)
def test_our_own_faults_are_not_told(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A 500 says that it happened and where to look, never what happened inside; that is in the log."""
    body = bytes(to_response(error, "abc").body)
    assert b"secret" not in body
    assert b"log by the request id" in body
    log_fault(error, "abc")
    (line,) = caplog.records
    assert (line.levelno, line.__dict__["fields"]) == (logging.ERROR, {"request_id": "abc"})
    assert line.exc_info is not None
    assert line.exc_info[1] is error


def test_what_the_caller_was_told_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is woken for a broken picture, nor for a full queue."""
    log_fault(TooManyPixelsError("Too big."), "abc")
    log_fault(OverloadedError("Full.", retry_after_s=2, reason="queue_full"), "abc")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (NotReadyError("It is starting."), "5"),
        (NotReadyError("It is stopping.", retry_after_s=1), "1"),
        (OverloadedError("Too much waits.", retry_after_s=17, reason="deadline"), "17"),
    ],
)
def test_who_comes_too_early_is_told_when_to_come_back(error: GlimpseError, seconds: str) -> None:
    """503 carries Retry-After, from the error itself, and its reason."""
    answer = to_response(error, "abc")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, seconds)
    assert json.loads(bytes(answer.body))["detail"] == str(error)


@pytest.mark.parametrize(
    ("error", "status", "name", "value"),
    [
        (AdminKeyError("No key."), 401, "www-authenticate", "Bearer"),
        (BodyTooLargeError("Too much."), 413, "connection", "close"),
        (NotReadyError("It is wrong.", is_another_ready=True), 503, "connection", "close"),
    ],
)
def test_some_errors_have_a_header(error: GlimpseError, status: int, name: str, value: str) -> None:
    """401 says how to authenticate; a body that is not read to its end, or a better process, ends a connection."""
    answer = to_response(error, "abc")
    assert (answer.status_code, answer.headers[name]) == (status, value)


@pytest.fixture
def client() -> TestClient:
    """Talks to an application with two routes on one path, and another one mounted beside them."""
    app = FastAPI()
    app.post("/both")(lambda: None)
    app.put("/both")(lambda: None)
    app.mount("/other", FastAPI())
    install(app)

    @app.get("/later")
    async def later() -> None:
        raise HTTPException(429, headers={"Retry-After": "7"})

    async def with_id(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})[REQUEST_ID] = "an-id"
        await app(scope, receive, send)

    return TestClient(with_id)


def test_a_path_that_does_not_answer_a_method_names_those_that_it_does(client: TestClient) -> None:
    """Of all its routes, whichever the router looked at; nobody else's."""
    answer = client.get("/both")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST, PUT"
    assert answer.json()["detail"] == "'/both' does not answer GET; it answers POST, PUT."
    assert client.post("/later").headers["allow"] == "GET"


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("DELETE", 405)])
def test_of_a_long_path_the_answer_has_the_beginning(client: TestClient, method: str, status: int) -> None:
    """And its line breaks as they were sent, with nothing cut at a question mark that was escaped."""
    path = "/later" if status == 405 else "/x%0d%3fy" + 20_000 * "%1b"
    answer = client.request(method, path)
    assert answer.status_code == status
    assert len(answer.content) < 500
    shown = "'/later' does" if status == 405 else r"nothing at '/x\r?y\x1b"
    assert shown in answer.json()["detail"]


def test_only_a_method_that_is_not_answered_has_that_header(client: TestClient) -> None:
    """What the framework refuses for another reason keeps its own headers."""
    answer = client.get("/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "allow" not in answer.headers
    answer = client.get("/later")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "http_error", "7")
    assert "allow" not in answer.headers


def test_other_errors_have_none_of_these_headers() -> None:
    """A broken picture is no reason to come back later, to authenticate, or to hang up."""
    headers = set(to_response(TooManyPixelsError("Too big."), "abc").headers)
    assert headers == {"content-type", "content-length"}
