"""A reload on the real process, past the framework: no request fails, and none gets the answer of two models."""

import dataclasses
import http.client
import json
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from models.checkpoint import load, save
from tests.drawing import encode, gradient
from tests.e2e.conftest import Server

KEY = "0123456789abcdef"
PICTURE = encode(gradient())
CALLERS = 6
RELOADS = 6


class Caller(threading.Thread):
    """Asks over one connection that stays, until it is told to stop.

    Attributes:
        answers: status, digest and first label of each answer.
    """

    def __init__(self, port: int, is_over: threading.Event, warm: threading.Semaphore) -> None:
        super().__init__()
        self.answers: list[tuple[int, str, str]] = []
        self._port = port
        self._is_over = is_over
        self._warm = warm

    def run(self) -> None:
        """Ask as the desk takes it: a plain POST of known length."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._is_over.is_set():
            connection.request("POST", "/predict?top_k=1", PICTURE, {"Content-Type": "image/png"})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            self.answers.append((answer.status, body["model"]["digest"], body["predictions"][0]["label"]))
            if len(self.answers) == 3:
                self._warm.release()
        connection.close()


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_reload_under_load_fails_nobody(
    engine: str, start_server: Callable[..., Server], checkpoint_path: Path, tmp_path: Path
) -> None:
    """Two files by turns, with other labels, and once one that is refused: each answer is whole, of one file."""
    if engine == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not here; pip install openvino")
    loaded = load(checkpoint_path)
    others = tuple(f"other {label}" for label in loaded.record.labels)
    per_class = dict.fromkeys(others, 1.0)
    metrics = dataclasses.replace(loaded.record.metrics, per_class=per_class)
    record = dataclasses.replace(loaded.record, labels=others, metrics=metrics)
    save(tmp_path / "other.safetensors", loaded.network, record)
    files = [(tmp_path / "other.safetensors").read_bytes(), checkpoint_path.read_bytes()]
    server = start_server("--admin-key", KEY, "--engine", engine)
    is_over, warm = threading.Event(), threading.Semaphore(0)
    callers = [Caller(int(server.url.rsplit(":", 1)[1]), is_over, warm) for _ in range(CALLERS)]
    digests = set()
    try:
        for caller in callers:
            caller.start()
        for _ in callers:
            assert warm.acquire(timeout=60)
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as operator:
            for number in range(RELOADS):
                checkpoint_path.write_bytes(files[number % 2])
                answer = operator.post("/model/reload")
                assert answer.status_code == 200, answer.text
                digests.add(answer.json()["model"]["digest"])
            checkpoint_path.write_bytes(b"no checkpoint")
            assert operator.post("/model/reload").status_code == 409
    finally:
        is_over.set()
        for caller in callers:
            caller.join(timeout=60)
    answers = [answer for caller in callers for answer in caller.answers]
    assert {status for status, _, _ in answers} == {200}
    assert {digest for _, digest, _ in answers} == digests
    assert len({(digest, label.startswith("other ")) for _, digest, label in answers}) == 2
