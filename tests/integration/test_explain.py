"""POST /pixels and POST /explain: what the network saw, and where it looked."""

import io
import sys

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from models.checkpoint import load
from models.pictures import decode
from models.preprocessing import to_images
from tests.conftest import LABELS
from tests.drawing import encode, gradient

PNG = encode(gradient(60, 40))


@pytest.mark.parametrize("size", [(60, 40), (32, 32), (700, 300)])
def test_pixels_are_what_the_network_is_fed(client: TestClient, settings: Settings, size: tuple[int, int]) -> None:
    """The PNG holds to the bit what evaluation and service make of the same bytes."""
    data = encode(gradient(*size), "JPEG")
    answer = client.post("/pixels", content=data, headers={"content-type": "image/jpeg"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    spec = load(settings.checkpoint).record.input
    expected = to_images([decode(data, at_least=(spec.width, spec.height))], spec)[0]
    assert (np.asarray(Image.open(io.BytesIO(answer.content))) == expected).all()


def test_the_best_class_is_explained(client: TestClient) -> None:
    """Label and score are those of /predict, the map has the input's size, the window is the centred square."""
    best = client.post("/predict", files={"file": PNG}).json()["predictions"][0]
    body = client.post("/explain", files={"file": PNG}).json()
    assert {name: body[name] for name in ("label", "class_index", "score")} == best
    assert (body["method"], body["layer"]) == ("integrated gradients", "conv2")
    heat = np.array(body["heat"])
    assert heat.shape == (32, 32)
    assert (heat.min() >= 0, heat.max()) == (True, pytest.approx(1))
    assert body["window"] == {"left": pytest.approx(1 / 6), "top": 0, "right": pytest.approx(5 / 6), "bottom": 1}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_cuda_the_same_places_count(client: TestClient, settings: Settings) -> None:
    """The engine answers in half precision; what it rests on is computed in float32, as on the CPU."""
    with TestClient(create_app(settings.model_copy(update={"device": "cuda"}))) as on_cuda:
        here, there = (who.post("/explain", files={"file": PNG}).json() for who in (client, on_cuda))
    assert (there["label"], there["layer"]) == (here["label"], here["layer"])
    np.testing.assert_allclose(there["heat"], here["heat"], atol=0.01)


@pytest.mark.parametrize("class_index", range(len(LABELS)))
def test_any_class_can_be_asked_for(client: TestClient, class_index: int) -> None:
    """With its own score."""
    body = client.post(f"/explain?class_index={class_index}", files={"file": PNG}).json()
    scores = {p["label"]: p["score"] for p in client.post("/predict", files={"file": PNG}).json()["predictions"]}
    assert body["label"] == LABELS[class_index]
    assert body["score"] == scores[LABELS[class_index]]


@pytest.mark.parametrize(
    ("query", "content", "status", "code", "words"),
    [
        ("?class_index=3", PNG, 422, "invalid_parameter", "the model has 3 classes"),
        ("?class_index=99999999999999", PNG, 422, "invalid_parameter", "class_index is too large; the model"),
        ("?class_index=00000000003", PNG, 422, "invalid_parameter", "class_index is 3; the model has 3 classes"),
        ("?class_index=-1", PNG, 422, "invalid_parameter", "a whole number from 0"),
        ("?class_index=red", PNG, 422, "invalid_parameter", "a whole number from 0"),
        ("", b"no picture", 415, "unsupported_format", "JPEG"),
        ("", PNG[:80], 422, "broken_picture", "could not be decoded"),
    ],
)
def test_what_cannot_be_explained_is_a_problem(
    client: TestClient, query: str, content: bytes, status: int, code: str, words: str
) -> None:
    """The same problems as of /predict, and one for a class that is not there."""
    answer = client.post(f"/explain{query}", content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["detail"]


def test_without_captum_everything_else_works(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """501 with a sentence for /explain; labels and pixels come as before."""
    monkeypatch.setitem(sys.modules, "captum", None)
    answer = client.post("/explain", files={"file": PNG})
    assert (answer.status_code, answer.json()["code"]) == (501, "explanation_unavailable")
    assert "pip install captum" in answer.json()["detail"]
    assert client.post("/predict", files={"file": PNG}).status_code == 200
    assert client.post("/pixels", files={"file": PNG}).status_code == 200
