"""POST /model/reload: the new checkpoint beside the old one, and no request that fails."""

import asyncio
import contextlib
import dataclasses
import gc
import logging
import math
import shutil
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from app.callers import Caller
from app.engines import Engine
from app.errors import EngineError
from app.main import create_app
from app.served_model import ServedModel, open_checked
from app.service import Classified, Service
from app.settings import Settings
from app.wire.exchange import Timing
from models.checkpoint import Checkpoint, load, save
from models.networks import build
from models.preprocessing import Answers, Images
from models.record import Record
from tests.drawing import encode, gradient
from tests.integration.conftest import ADMIN_KEY, service_behind
from tests.unit.app.loops import turns

PNG = encode(gradient())
KEY = {"Authorization": f"Bearer {ADMIN_KEY.get_secret_value()}"}


@pytest.fixture
def write_other(checkpoint_path: Path, record: Record) -> Callable[[], str]:
    """Put a checkpoint with other labels, another size and other weights in the place of the served one."""

    def write() -> str:
        labels = ("circle", "square", "line", "dot")
        metrics = dataclasses.replace(
            record.metrics,
            per_class=dict.fromkeys(labels, 1.0),
            confusion_matrix=tuple(tuple(int(i == j) for j in range(4)) for i in range(4)),
            n=4,
        )
        other = dataclasses.replace(
            record,
            name="other",
            labels=labels,
            metrics=metrics,
        )
        torch.manual_seed(1)
        save(checkpoint_path, build(other.architecture, classes=4, spec=other.input), other)
        return load(checkpoint_path).digest

    return write


def test_the_new_file_answers_from_now_on(client: TestClient, write_other: Callable[[], str]) -> None:
    """Labels and digest change together; the answer names both files."""
    before = client.get("/health").json()["model"]
    digest = write_other()
    assert client.get("/health").json()["model"] == before
    answer = client.post("/model/reload", headers=KEY)
    assert answer.status_code == 200
    assert answer.json() == {
        "model": {"name": "other", "digest": digest},
        "previous": before,
        "labels_added": ["circle", "square", "line", "dot"],
        "labels_removed": ["red", "green", "blue"],
        "labels_moved": [],
    }
    body = client.post("/predict", files={"file": PNG}).json()
    assert body["model"]["digest"] == digest
    assert {item["label"] for item in body["predictions"]} == {"circle", "square", "line", "dot"}
    assert f'digest="{digest}"' in client.get("/metrics").text


def test_a_broken_file_leaves_the_old_one_in_place(client: TestClient, checkpoint_path: Path) -> None:
    """The reason comes back, and pictures are answered as before."""
    before = client.post("/predict", files={"file": PNG}).json()
    data = bytearray(checkpoint_path.read_bytes())
    data[-1] ^= 1
    checkpoint_path.write_bytes(data)
    answer = client.post("/model/reload", headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "reload_refused")
    assert "do not match their digest" in answer.json()["detail"]
    after = client.post("/predict", files={"file": PNG}).json()
    assert after["predictions"] == before["predictions"]
    assert client.get("/health/ready").status_code == 200
    checkpoint_path.unlink()
    assert "cannot be read" in client.post("/model/reload", headers=KEY).json()["detail"]


def test_the_log_tells_a_reload_from_a_start_and_why_one_was_refused(
    client: TestClient,
    checkpoint_path: Path,
    write_other: Callable[[], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the digest before it; and the refusal is a warning with the sentence that the caller hears."""
    before, digest = client.get("/health").json()["model"]["digest"], write_other()
    with caplog.at_level(logging.INFO, logger="glimpse"):
        client.post("/model/reload", headers=KEY)
        checkpoint_path.write_bytes(b"no checkpoint")
        detail = client.post("/model/reload", headers=KEY).json()["detail"]
    reloaded, refused = (line for line in caplog.records if line.name == "glimpse")
    assert (reloaded.levelname, reloaded.message) == ("INFO", "reloaded")
    assert vars(reloaded)["fields"].items() >= {"digest": digest, "previous": before}.items()
    assert (refused.levelname, refused.message) == ("WARNING", "reload refused")
    assert vars(refused)["fields"] == {"reason": detail}


def test_only_the_file_that_is_meant_is_taken(client: TestClient, write_other: Callable[[], str]) -> None:
    """409 with both digests for another one, and the old one goes on; 200 once it is there."""
    before, digest, meant = client.get("/health").json()["model"], write_other(), f"sha256:{'0' * 64}"
    answer = client.post(f"/model/reload?digest={meant}", headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "reload_refused")
    assert f"it is {digest}, and {meant} was asked for" in answer.json()["detail"]
    assert client.post("/predict", files={"file": PNG}).json()["model"] == before
    answer = client.post(f"/model/reload?digest={digest.removeprefix('sha256:')}", headers=KEY)
    assert (answer.status_code, answer.json()["model"]["digest"]) == (200, digest)


def test_the_file_that_the_settings_name_is_meant_in_a_reload_too(
    settings: Settings, write_other: Callable[[], str]
) -> None:
    """Unless the reload names another, which holds for this once."""
    pinned = settings.model_copy(update={"checkpoint_digest": load(settings.checkpoint).digest})
    with TestClient(create_app(pinned)) as client:
        assert client.post("/model/reload", headers=KEY).status_code == 200
        digest = write_other()
        assert "was asked for" in client.post("/model/reload", headers=KEY).json()["detail"]
        assert client.post(f"/model/reload?digest={digest}", headers=KEY).status_code == 200
        assert client.post("/model/reload", headers=KEY).status_code == 409


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "?digest=latest",
            "The query parameter digest is 'latest': give sha256: and 64 hexadecimal digits, as /model shows it.",
        ),
        ("?digest=", "The query parameter digest is '': give sha256:"),
        ("?diget=1", "'diget' is not a parameter; did you mean digest?"),
        ("?force=1", "'force' is not a parameter; a reload has only digest. Leave it out."),
        (f"?digest={'0' * 64}&digest={'1' * 64}", "The parameter digest came more than once. Send it once."),
    ],
)
def test_what_is_not_understood_reloads_nothing(client: TestClient, query: str, told: str) -> None:
    """A mistyped pin is none: 422, before any file is read."""
    answer = client.post(f"/model/reload{query}", headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert told in answer.json()["detail"]


def test_the_openapi_page_knows_the_digest(client: TestClient) -> None:
    """One query parameter, not required; and 422 among the answers."""
    post = client.get("/openapi.json").json()["paths"]["/model/reload"]["post"]
    (parameter,) = post["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("digest", "query", False)
    assert set(post["responses"]) == {"200", "401", "409", "422", "503"}
    assert "application/problem+json" in post["responses"]["422"]["content"]


def test_labels_that_have_another_class_index_are_told(client: TestClient, record: Record) -> None:
    """Whoever stores the number, and not the label, reads something else from now on."""
    service = service_behind(client)
    labels = ("green", "red", "violet")
    metrics = dataclasses.replace(record.metrics, per_class=dict.fromkeys(labels, 1.0))
    other = dataclasses.replace(record, labels=labels, metrics=metrics)
    torch.manual_seed(1)
    save(service.settings.checkpoint, build(other.architecture, classes=3, spec=other.input), other)
    body = client.post("/model/reload", headers=KEY).json()
    assert (body["labels_added"], body["labels_removed"]) == (["violet"], ["blue"])
    assert body["labels_moved"] == ["green", "red"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_cuda_the_new_file_answers_from_now_on(settings: Settings, write_other: Callable[[], str]) -> None:
    """The new engine is recorded beside the one that answers."""
    with TestClient(create_app(settings.model_copy(update={"device": "cuda"}))) as client:
        assert client.post("/predict", files={"file": PNG}).status_code == 200
        digest = write_other()
        assert client.post("/model/reload", headers=KEY).status_code == 200
        body = client.post("/predict", files={"file": PNG}).json()
        assert body["model"]["digest"] == digest


@pytest.mark.parametrize("offered", [None, b"Bearer wrong", b"Basic x", "Bearer ä".encode(), b""])
def test_without_the_key_nothing_is_reloaded(client: TestClient, offered: bytes | None) -> None:
    """401, and how the key is sent."""
    answer = client.post("/model/reload", headers={} if offered is None else {b"authorization": offered})
    assert (answer.status_code, answer.json()["code"]) == (401, "admin_key_needed")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert ADMIN_KEY.get_secret_value() not in answer.text


def test_without_a_key_in_the_settings_there_is_no_such_route(settings: Settings) -> None:
    """404, and nothing on the OpenAPI page."""
    with TestClient(create_app(settings.model_copy(update={"admin_key": None}))) as client:
        assert client.post("/model/reload", headers=KEY).status_code == 404
        assert "/model/reload" not in client.get("/openapi.json").json()["paths"]


def test_an_engine_that_cannot_be_opened_is_a_reason_too(settings: Settings, checkpoint_path: Path) -> None:
    """Not only our own errors: whatever the new engine raises, the old one goes on and the answer says why."""
    opened: list[Settings] = []

    def open_once(settings: Settings, *, threads: int) -> tuple[Checkpoint, Engine]:
        if opened:
            raise RuntimeError("no kernels for this one")
        opened.append(settings)
        return open_checked(settings, threads=threads)

    with TestClient(create_app(settings, service=Service(settings, open_once))) as client:
        answer = client.post("/model/reload", headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (409, "reload_refused")
        assert "no kernels for this one" in answer.json()["detail"]
        assert client.post("/predict", files={"file": PNG}).status_code == 200


def test_a_replaced_model_leaves_the_memory(client: TestClient) -> None:
    """Nothing holds it in a circle, which the start's frozen objects would never be freed of."""
    service = service_behind(client)
    old = weakref.ref(service.model)
    gc.disable()
    try:
        assert client.post("/model/reload", headers=KEY).status_code == 200
        assert client.post("/predict", files={"file": PNG}).status_code == 200
        for _ in range(1_000):
            if old() is None:
                break
            client.get("/health/live")
        assert old() is None
    finally:
        gc.enable()


def test_a_refused_model_leaves_the_memory(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its engine is there already when the golden pictures are answered wrongly, and no error keeps it."""
    made: list[weakref.ref[Engine]] = []

    def refuse(_: Checkpoint, engine: Engine) -> None:
        made.append(weakref.ref(engine))
        raise EngineError("a test says so")

    monkeypatch.setattr("app.served_model.check_every_way", refuse)
    gc.disable()
    try:
        assert client.post("/model/reload", headers=KEY).status_code == 409
        for _ in range(1_000):  # the thread that opened it ends a moment after it has told why
            if made[0]() is None:
                break
            client.get("/health/live")
        assert [engine() for engine in made] == [None]
    finally:
        gc.enable()


def test_a_stop_ends_what_reloads_have_replaced(settings: Settings) -> None:
    """Each of several old models, also where a request still holds it: nothing goes on behind the stop."""

    async def check() -> None:
        service = Service(settings)
        await service.start()
        with contextlib.ExitStack() as requests:
            for _ in range(2):
                requests.enter_context(service.model.in_use())
                await service.reload()
            await service.stop()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(check())


def test_requests_during_reloads_never_fail(
    client: TestClient, checkpoint_path: Path, tmp_path: Path, write_other: Callable[[], str]
) -> None:
    """While the file goes back and forth each answer is whole, and from one of the two models."""
    first = tmp_path / "first"
    shutil.copy(checkpoint_path, first)
    labels = {load(first).digest: {"red", "green", "blue"}}
    labels[write_other()] = {"circle", "square", "line", "dot"}
    second = tmp_path / "second"
    shutil.copy(checkpoint_path, second)
    faults: list[str] = []
    seen: set[str] = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            answer = client.post("/predict", files={"file": PNG})
            body = answer.json()
            if answer.status_code != 200:
                faults.append(answer.text)
            elif {item["label"] for item in body["predictions"]} != labels[body["model"]["digest"]]:
                faults.append("labels of another model")
            else:
                seen.add(body["model"]["digest"])

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(3):
            for source in (first, second):
                shutil.copy(source, checkpoint_path)
                assert client.post("/model/reload", headers=KEY).status_code == 200
    finally:
        done.set()
        for caller in callers:
            caller.join()
    assert not faults
    assert seen == set(labels)


def test_a_batch_ends_with_the_model_that_it_began_with(
    settings: Settings, checkpoint_path: Path, write_other: Callable[[], str]
) -> None:
    """A reload between two of its files: labels, counts and digest of all results are those of the old one."""
    digest = load(checkpoint_path).digest

    class Reloading(Service):
        """Loads the other file as soon as the first picture begins."""

        async def classify(
            self, data: bytes, caller: Caller, timing: Timing, model: ServedModel | None = None
        ) -> Classified:
            if self.model.checkpoint.digest == digest and not self._reloading.locked():
                write_other()
                await self.reload()
            return await super().classify(data, caller, timing, model)

    with TestClient(create_app(settings, service=Reloading(settings))) as client:
        body = client.post("/predict/batch", files=[("files", ("a.png", PNG))] * 4).json()
        after = client.post("/predict", files={"file": PNG}).json()
        assert client.portal
        service = service_behind(client)
        client.portal.call(service.predictions.tell)
        counted = client.get("/metrics").text
    old, new = body["results"][0]["predictions"][0]["label"], after["predictions"][0]["label"]
    for label, count in ((old, 4), (new, 1)):
        assert f'glimpse_predictions_total{{label="{label}"}} {float(count)}' in counted
    assert body["model"]["digest"] == digest != after["model"]["digest"]
    for result in body["results"]:
        assert {item["label"] for item in result["predictions"]} == {"red", "green", "blue"}


def test_a_picture_that_is_being_decoded_ends_with_the_model_that_it_began_with(
    settings: Settings, write_other: Callable[[], str]
) -> None:
    """It comes to the queue only after the reload, which must not have closed it by then."""
    may_decode = threading.Event()
    large = encode(gradient(300, 300))

    async def check() -> None:
        service = Service(settings)
        await service.start()
        old = service.model.checkpoint
        for _ in range(service._share.decode):
            service._decoders._threads.submit(may_decode.wait, 20)
        answering = asyncio.create_task(service.classify(large, Caller(None, timeout_s=60), Timing()))
        await turns()
        write_other()
        await service.reload()
        await turns()
        assert not answering.done()
        may_decode.set()
        answer = await answering
        assert answer.checkpoint is old
        assert len(answer.probabilities) == 3
        await service.stop()

    try:
        asyncio.run(check())
    finally:
        may_decode.set()


def test_a_reload_while_another_one_runs_is_refused(settings: Settings) -> None:
    """409 at once: two new models beside the old one might be more than there is memory for."""
    began, may_open = threading.Event(), threading.Event()

    def open_slowly(settings: Settings, *, threads: int) -> tuple[Checkpoint, Engine]:
        if is_serving:
            began.set()
            assert may_open.wait(timeout=20)
        return open_checked(settings, threads=threads)

    is_serving: list[None] = []
    with (
        TestClient(create_app(settings, service=Service(settings, open_slowly))) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        is_serving.append(None)
        first = threads.submit(client.post, "/model/reload", headers=KEY)
        try:
            assert began.wait(timeout=20)
            second = client.post("/model/reload", headers=KEY)
            assert (second.status_code, second.json()["code"]) == (409, "reload_refused")
            assert second.json()["detail"] == "Another reload is running. Wait for its answer."
        finally:
            may_open.set()
        assert first.result().status_code == 200
        assert client.post("/model/reload", headers=KEY).status_code == 200


def test_the_queue_depth_counts_what_waits_for_a_replaced_model(settings: Settings) -> None:
    """Also while its engine hangs, and though nothing waits for the new one; it is 0 when all are answered."""
    may_go = threading.Event()

    def open_and_hold(settings: Settings, *, threads: int) -> tuple[Checkpoint, Engine]:
        checkpoint, engine = open_checked(settings, threads=threads)
        run = engine.answer
        hangs = not opened
        opened.append(engine)

        def held(images: Images) -> Answers:
            assert not hangs or len(images) > 4 or may_go.wait(timeout=20)  # not the golden ones
            return run(images)

        setattr(engine, "answer", held)  # noqa: B010 - of an instance
        return checkpoint, engine

    opened: list[Engine] = []

    async def shows(service: Service, depth: int) -> None:
        async with asyncio.timeout(20):
            while f"glimpse_queue_depth {depth}.0" not in service.metrics.exposition().decode():
                await asyncio.sleep(0)

    async def check() -> None:
        service = Service(settings, open_and_hold)
        await service.start()
        batcher, image = service.model.batcher, service.model.checkpoint.golden_images[0]
        answers = [batcher.submit(image, deadline_s=math.inf)]
        while batcher.waiting:
            await asyncio.sleep(0)
        answers += [batcher.submit(image, deadline_s=math.inf) for _ in range(4)]
        await shows(service, 4)
        await service.reload()
        await shows(service, 4)
        may_go.set()
        await asyncio.gather(*answers)
        await shows(service, 0)
        await service.stop()

    asyncio.run(check())
