"""Every error has a row, and every answer the one shape."""

import json
from pathlib import Path

import pytest

import app.problems
from app.problems import HTTP_CODES, KINDS, EngineError, NotReadyError, kind_of, problem, to_response
from models.errors import CheckpointError, InputError, TooManyPixelsError

DOCUMENTED = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def _tree(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(below for child in root.__subclasses__() for below in _tree(child))]


@pytest.mark.parametrize("error", _tree(InputError), ids=lambda error: error.__name__)
def test_every_input_error_has_a_row_of_its_own(error: type[Exception]) -> None:
    """What a caller can do wrong is a 4xx with a code that no other class has."""
    assert error in KINDS
    assert 400 <= KINDS[error].status < 500


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
    assert kind_of(ZeroDivisionError()) == (500, "internal_error")
    assert kind_of(CheckpointError()).status == 500


def test_a_problem_has_the_six_members() -> None:
    """RFC 9457's four, the stable code and the request id, in the right media type."""
    answer = problem(413, "too_many_pixels", "Too big.", request_id="abc")
    assert answer.media_type == "application/problem+json"
    assert json.loads(bytes(answer.body)) == {
        "type": "about:blank",
        "title": "Request Entity Too Large",
        "status": 413,
        "detail": "Too big.",
        "code": "too_many_pixels",
        "request_id": "abc",
    }


@pytest.mark.parametrize("error", [ZeroDivisionError("secret path /srv/key"), EngineError("secret CUDA words")])
def test_our_own_faults_are_not_told(error: Exception) -> None:
    """A 500 says that it happened and where to look, never what happened inside."""
    body = to_response(error, "abc").body
    assert b"secret" not in bytes(body)
    assert b"log by the request id" in bytes(body)


def test_not_ready_says_when_to_come_back() -> None:
    """503 carries Retry-After and its reason."""
    answer = to_response(NotReadyError("The service is starting."), "abc")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == str(app.problems.RETRY_AFTER_S)
    assert b"The service is starting." in bytes(answer.body)
