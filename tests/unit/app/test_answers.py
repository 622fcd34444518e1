"""What is answered to requests that bring pictures, over a service whose network is played by the test."""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.answers import reply_to
from app.callers import Caller
from app.decoding import INLINE_BYTES, Prepared
from app.service import Classified, Service
from app.wire.exchange import Admitted, Asked, Reply
from models.calibration import Calibration
from models.checkpoint import Checkpoint
from tests.drawing import encode, gradient
from tests.unit.app.loops import turns, with_loop
from tests.unit.app.services import opened, shown, trusted

PNG = encode(gradient())
PREPARED = Prepared(np.zeros((32, 32, 3), np.uint8), "PNG", 48, 32)
Classify = Callable[[bytes], Awaitable[Classified]]


def answer_of(checkpoint: Checkpoint, *, distance: float | None = None) -> Classified:
    """The last class, and how far the picture is from it."""
    probabilities = np.eye(len(checkpoint.record.labels), dtype=np.float32)[-1]
    return Classified(checkpoint, PREPARED, probabilities, distance)


def play(monkeypatch: pytest.MonkeyPatch, service: Service, classify: Classify) -> None:
    """Let the test answer for the decoders and the engine."""

    async def played(data: bytes, *_: object) -> Classified:
        return await classify(data)

    monkeypatch.setattr(service, "classify", played)


async def ask(service: Service, path: str, body: bytes, *, query: bytes = b"", timeout_s: float = 60.0) -> Reply:
    """A request whose body is there."""
    admitted = Admitted(path, query, "image/png", None, "an-id", timeout_s)
    return await reply_to(service, Asked(admitted, body), Caller(None, timeout_s=timeout_s))


async def ask_many(service: Service, *files: bytes) -> Any:
    """The results for a batch."""
    parts = [("files", (f"{place}.png", data)) for place, data in enumerate(files)]
    form = httpx.Request("POST", "http://test/predict/batch", files=parts)
    admitted = Admitted("/predict/batch", b"", form.headers["content-type"], None, "an-id", 60.0)
    reply = await reply_to(service, Asked(admitted, form.read()), Caller(None, timeout_s=60))
    assert reply.status == 200
    return json.loads(reply.body)["results"]


@pytest.mark.parametrize(("distance", "abstains"), [(9.0, False), (11.0, True)])
def test_a_picture_that_is_far_from_every_class_is_not_relied_on(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch, distance: float, abstains: bool
) -> None:
    """However sure the network is of it; the checkpoint says how far that is."""
    service = opened(checkpoint_path)
    record = service.model.checkpoint.record
    strict = dataclasses.replace(record, calibration=Calibration(distance_threshold=10.0))
    checkpoint = dataclasses.replace(service.model.checkpoint, record=strict)

    async def classify(_: bytes) -> Classified:
        return answer_of(checkpoint, distance=distance)

    async def check() -> None:
        play(monkeypatch, service, classify)
        body = json.loads((await ask(service, "/predict", PNG)).body)
        assert body["predictions"][0]["score"] == 1.0
        assert body["abstain"] is abstains
        assert {
            'glimpse_predictions_total{label="blue"} 1.0',
            f"glimpse_abstained_total {float(abstains)}",
            "glimpse_best_score_sum 1.0",
        } <= shown(service)

    with_loop(check())


def test_who_was_let_in_is_refused_where_others_came_before_the_body(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is begun for a picture that could not be answered in its time any more."""

    async def never(_: bytes) -> Classified:
        raise AssertionError("it could not be answered in time")

    async def check() -> None:
        service = trusted(checkpoint_path)
        play(monkeypatch, service, never)
        timeout_s = service.admit(5.0)
        service.admission.lagged(10.0)
        reply = await ask(service, "/predict", PNG, timeout_s=timeout_s)
        assert (reply.status, json.loads(reply.body)["code"]) == (503, "overloaded")
        assert int(reply.headers["retry-after"]) >= 1

    with_loop(check())


def test_a_model_stays_until_a_batch_that_began_with_it_is_answered(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between two of its files, when none is with the model."""

    async def check() -> None:
        service = opened(checkpoint_path)
        model = service.model
        retiring: list[asyncio.Task[None]] = []

        async def classify(_: bytes) -> Classified:
            if not retiring:
                retiring.append(asyncio.create_task(model.retire(timeout_s=10)))
            await turns()
            assert not retiring[0].done()
            return answer_of(model.checkpoint)

        play(monkeypatch, service, classify)
        results = await ask_many(service, PNG, PNG)
        assert ["predictions" in result for result in results] == [True, True]
        await retiring[0]

    with_loop(check())


def test_a_file_for_which_there_is_no_memory_fails_alone(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its neighbours in the batch are answered; the operator finds the cause in the log."""

    async def check() -> None:
        service = opened(checkpoint_path)

        async def classify(data: bytes) -> Classified:
            if data == b"huge":
                raise MemoryError("no room for its pixels")
            return answer_of(service.model.checkpoint)

        play(monkeypatch, service, classify)
        results = await ask_many(service, PNG, b"huge", PNG)
        assert [result.get("problem", {}).get("code") for result in results] == [None, "internal_error", None]

    with_loop(check())
    (line,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert line.exc_info
    assert line.exc_info[0] is MemoryError


def test_room_that_a_file_needs_no_more_is_given_back_at_its_turn(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture costs 1 s: when the first of three begins, one is too large and gone, and only the third waits."""

    async def check() -> None:
        service = opened(checkpoint_path, max_body_bytes=1_000)
        service.prices.answered(size=1, seconds=1.0, finished_s=100.0, waiting=0)
        waits_s: list[float] = []

        async def classify(_: bytes) -> Classified:
            waits_s.append(service.admission.wait_s)
            return answer_of(service.model.checkpoint)

        play(monkeypatch, service, classify)
        results = await ask_many(service, PNG, b"x" * 1_001, PNG)
        assert results[1]["problem"]["code"] == "body_too_large"
        assert waits_s == [1.0, 0.0]

    with_loop(check())


def test_files_that_wait_for_a_decoding_thread_keep_their_room_until_their_turn(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte costs 0.5 ms: when the first of three begins, the large one still counts, the small ones never."""

    async def check() -> None:
        service = opened(checkpoint_path)
        service.prices.decoded(size_bytes=1_000, seconds=0.5)
        threads = service.admission._decoders
        waits_s: list[float] = []

        async def classify(_: bytes) -> Classified:
            waits_s.append(service.admission.wait_s)
            return answer_of(service.model.checkpoint)

        play(monkeypatch, service, classify)
        large = PNG.ljust(INLINE_BYTES + 1, b"\0")
        await ask_many(service, PNG, large, PNG.ljust(INLINE_BYTES, b"\0"))
        assert waits_s == [pytest.approx(0.0005 * len(large) / threads), 0.0, 0.0]

    with_loop(check())


def test_a_class_that_a_reload_has_taken_away_is_not_explained(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request came for three classes, and the model that answered has two."""
    service = opened(checkpoint_path)
    few = dataclasses.replace(service.model.checkpoint.record, labels=("red", "green"))
    checkpoint = dataclasses.replace(service.model.checkpoint, record=few)

    async def classify(_: bytes) -> Classified:
        return answer_of(checkpoint)

    async def check() -> None:
        play(monkeypatch, service, classify)
        monkeypatch.setattr(service.explainer, "require_room", lambda: None)
        reply = await ask(service, "/explain", PNG, query=b"class_index=2")
        assert (reply.status, json.loads(reply.body)["code"]) == (422, "invalid_parameter")
        assert "the model has 2 classes" in json.loads(reply.body)["detail"]

    with_loop(check())
