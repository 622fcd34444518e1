"""POST /predict/batch: one result or one problem for each file, in order."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.requests import ClientDisconnect

from app.answers import reply_to
from app.callers import Caller
from app.main import create_app
from app.served_model import ServedModel
from app.service import Classified, Service
from app.settings import Settings
from app.wire.exchange import Admitted, Asked, Timing
from tests.drawing import bomb, encode, gradient
from tests.unit.app.loops import turns

PNG = encode(gradient())
JPEG = encode(gradient(640, 480), "JPEG")


def _post(client: TestClient, *files: bytes, **given: Any) -> Response:
    return client.post(
        "/predict/batch", files=[("files", (f"{i}.bin", data)) for i, data in enumerate(files)], **given
    )


def test_each_file_gets_what_it_would_have_got_alone(client: TestClient) -> None:
    """Good and bad ones mixed: labels or the problem of /predict, in the order of the files."""
    sent = [PNG, b"", JPEG, b"no picture", PNG[:60], bomb(5_000, 5_000), PNG, b"x" * 300_001]
    answer = _post(client, *sent)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["filename"] for result in results] == [f"{i}.bin" for i in range(len(sent))]
    for data, result in zip(sent, results, strict=True):
        alone = client.post("/predict", files={"file": data}).json()
        if "predictions" in alone:
            assert result["image"] == alone["image"]
            for got, wanted in zip(result["predictions"], alone["predictions"], strict=True):
                assert got == pytest.approx(wanted, abs=1e-6)
        else:
            assert result["problem"]["code"] == alone["code"]
            assert "predictions" not in result
    codes = [result.get("problem", {}).get("code") for result in results]
    assert codes == [
        None,
        "empty_picture",
        None,
        "unsupported_format",
        "broken_picture",
        "too_many_pixels",
        None,
        "body_too_large",
    ]


def test_it_says_who_answered_and_how_long_it_took(client: TestClient) -> None:
    """Model and request id as in /predict; Server-Timing has the longest of each stage."""
    answer = _post(client, PNG, PNG)
    alone = client.post("/predict", files={"file": PNG}).json()
    assert answer.json()["model"] == alone["model"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert [part.split(";")[0].strip() for part in answer.headers["server-timing"].split(",")] == [
        "decode",
        "queue",
        "infer",
        "batch",
    ]


def test_top_k_holds_for_each_file(client: TestClient) -> None:
    """As in /predict."""
    answer = _post(client, PNG, JPEG, params={"top_k": 2})
    assert [len(result["predictions"]) for result in answer.json()["results"]] == [2, 2]
    assert _post(client, PNG, params={"top_k": 0}).status_code == 422


def test_other_callers_are_heard_between_the_files_of_a_batch(settings: Settings) -> None:
    """Each file begins in a turn of its own: the event loop goes round at least once for each of 16 pictures."""
    begun: list[int] = []
    turns = 0

    class Noting(Service):
        """Notes in which turn each picture begins."""

        async def classify(
            self, data: bytes, caller: Caller, timing: Timing, model: ServedModel | None = None
        ) -> Classified:
            begun.append(turns)
            return await super().classify(data, caller, timing, model)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def run() -> None:
        app = create_app(settings, service=Noting(settings))
        async with app.router.lifespan_context(app):
            others = asyncio.create_task(count_turns())
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                answer = await client.post("/predict/batch", files=[("files", ("a.png", PNG))] * 16)
            others.cancel()
        assert answer.status_code == 200
        assert len(set(begun)) == len(begun) == 16

    asyncio.run(run())


def test_only_bad_files_are_still_an_answer(client: TestClient) -> None:
    """200 with a problem for each."""
    answer = _post(client, b"", b"text")
    assert answer.status_code == 200
    assert [result["problem"]["status"] for result in answer.json()["results"]] == [422, 415]


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"files": [("file", ("a.png", PNG))]}, 422, "missing_file"),
        ({"files": {"files": (None, "text")}}, 422, "missing_file"),
        ({"content": PNG, "headers": {"content-type": "image/png"}}, 415, "unsupported_media_type"),
        ({"content": PNG}, 415, "unsupported_media_type"),
        ({"files": [("files", ("a.png", b"x"))] * 5}, 413, "too_many_files"),
        ({"files": [("files", ("a.png", b"x"))] * 50}, 413, "too_many_files"),
        ({"files": [("files", ("a.png", b"x" * 250_000))] * 3}, 413, "body_too_large"),
    ],
)
def test_what_is_no_batch_is_refused(settings: Settings, given: dict[str, Any], status: int, code: str) -> None:
    """Another field, no form, too many files, or too many bytes in all."""
    with TestClient(create_app(settings.model_copy(update={"max_batch_files": 4}))) as client:
        answer = client.post("/predict/batch", **given)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_more_pictures_than_may_wait_are_overload(settings: Settings) -> None:
    """The whole batch counts, and is refused whole, with the time to come back."""
    with TestClient(create_app(settings.model_copy(update={"max_queue": 3}))) as client:
        answer = _post(client, PNG, PNG, PNG, PNG)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert _post(client, PNG, PNG, PNG).status_code == 200


def _asked(*files: bytes) -> Asked:
    """A batch whose body is there, as the desk has it."""
    parts = [("files", (f"{place}.png", data)) for place, data in enumerate(files)]
    request = httpx.Request("POST", "http://test/predict/batch", files=parts)
    content_type = request.headers["content-type"]
    return Asked(Admitted("/predict/batch", b"", content_type, None, "id", 60.0), request.read())


def test_batches_that_come_together_are_let_in_or_refused_whole(settings: Settings) -> None:
    """Room is there for one: it keeps it while its files wait for their turns; the other hears when to come."""

    async def run() -> None:
        service = Service(settings.model_copy(update={"max_queue": 4}))
        await service.start()
        replies = await asyncio.gather(
            *(reply_to(service, _asked(PNG, JPEG, PNG), Caller(None, timeout_s=60)) for _ in range(2))
        )
        assert [reply.status for reply in replies] == [200, 503]
        assert not any("problem" in result for result in json.loads(replies[0].body)["results"])
        assert int(replies[1].headers["retry-after"]) >= 1
        assert (await reply_to(service, _asked(*[PNG] * 4), Caller(None, timeout_s=60))).status == 200
        await service.stop()

    asyncio.run(run())


@pytest.mark.parametrize("has_hung_up", [True, False], ids=["hung up", "too late"])
def test_nothing_is_decoded_for_a_batch_that_nobody_waits_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, has_hung_up: bool
) -> None:
    """The caller leaves after the first of 16 files, or the time is over then: the others are not begun."""
    begun = 0

    async def run() -> None:
        service = Service(settings)
        await service.start()
        caller = Caller(None, timeout_s=60)
        classify = service.classify

        async def leave(*given: Any) -> Any:
            nonlocal begun
            begun += 1
            caller.hang_up() if has_hung_up else caller._time_is_over()
            return await classify(*given)

        monkeypatch.setattr(service, "classify", leave)
        if has_hung_up:
            with pytest.raises(ClientDisconnect):
                await reply_to(service, _asked(*[PNG] * 16), caller)
        else:
            reply = await reply_to(service, _asked(*[PNG] * 16), caller)
            codes = {result["problem"]["code"] for result in json.loads(reply.body)["results"]}
            assert codes == {"deadline_exceeded"}
        await turns()
        await service.stop()

    asyncio.run(run())
    assert begun == 1
