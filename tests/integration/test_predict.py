"""POST /predict as people meet it: every way to send a picture, and every way to send none."""

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.types import Message

from app.main import create_app
from app.settings import Settings
from models.checkpoint import load
from models.graph import answer
from models.pictures import FORMATS, decode
from models.preprocessing import to_images
from tests.conftest import LABELS
from tests.drawing import bomb, encode, gradient, solid

PNG = encode(gradient())


def _problem(response: Response, status: int, code: str) -> str:
    """Check the one shape of failures and return its sentence."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert list(body) == ["type", "title", "status", "detail", "code", "request_id"]
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == response.headers["x-request-id"]
    detail: str = body["detail"]
    return detail


@pytest.mark.parametrize("picture_format", FORMATS)
def test_a_picture_of_each_format_gets_its_labels(client: TestClient, picture_format: str) -> None:
    """Sorted predictions that add up to 1, the picture as it was sent, and the file that answered."""
    data = encode(gradient(60, 40), picture_format)
    response = client.post("/predict", files={"file": ("anything.bin", data)})
    assert response.status_code == 200
    body = response.json()
    scores = [item["score"] for item in body["predictions"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-6)
    assert [LABELS[item["class_index"]] for item in body["predictions"]] == [
        item["label"] for item in body["predictions"]
    ]
    assert body["image"] == {"format": picture_format, "width": 60, "height": 40}
    assert body["abstain"] is False
    assert body["model"]["name"] == "tiny"
    assert body["request_id"] == response.headers["x-request-id"]
    assert response.headers["server-timing"].startswith("decode;dur=")


@pytest.mark.parametrize(
    "headers", [{"content-type": "image/png"}, {"content-type": "application/octet-stream"}, {}]
)
def test_form_and_raw_body_are_answered_alike(client: TestClient, headers: dict[str, str]) -> None:
    """image/*, octet-stream and no type at all are a raw picture."""
    by_form = client.post("/predict", files={"file": PNG}).json()
    raw = client.post("/predict", content=PNG, headers=headers).json()
    assert raw["predictions"] == by_form["predictions"]


def test_what_curl_uploads_is_a_picture(client: TestClient) -> None:
    """`curl -T cat.jpg` sends PUT, and no type: answered as POST is, within the same limits and deadline."""
    posted, put = (client.request(method, "/predict?top_k=2", content=PNG).json() for method in ("POST", "PUT"))
    assert put["predictions"] == posted["predictions"]
    _problem(client.put("/predict", content=b"hello"), 415, "unsupported_format")
    for body in (bytes(300_001), iter([bytes(200_000)] * 2)):
        _problem(client.put("/predict", content=body), 413, "body_too_large")
    soon = {"x-request-timeout-ms": "soon"}
    _problem(client.put("/predict", content=PNG, headers=soon), 422, "invalid_parameter")
    _problem(client.put("/explain", content=PNG, headers=soon), 405, "method_not_allowed")
    assert "curl -T adds" in _problem(client.put("/predict/cat.jpg", content=PNG), 404, "not_found")


def test_the_answer_is_the_checkpoints_own(client: TestClient, checkpoint_path: Path) -> None:
    """What HTTP says is to the last digit what the checkpoint gives for the same bytes."""
    checkpoint = load(checkpoint_path)
    spec = checkpoint.record.input
    for data in (PNG, encode(gradient(640, 480), "JPEG"), encode(gradient(9, 77), "WEBP")):
        images = to_images([decode(data, at_least=(spec.width, spec.height))], spec)
        expected = answer(checkpoint.graph, images)[0]
        body = client.post("/predict", files={"file": data}).json()
        for item in body["predictions"]:
            assert item["score"] == float(expected[item["class_index"]])


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (2, 2), (3, 3), (1000, 3), (10**30, 3)])
def test_top_k_says_how_many(client: TestClient, top_k: int, count: int) -> None:
    """More than there are classes returns all of them."""
    body = client.post(f"/predict?top_k={top_k}", files={"file": PNG}).json()
    assert len(body["predictions"]) == count


@pytest.mark.parametrize("top_k", ["0", "-1", "many", "1.5", "²", ""])
def test_a_wrong_top_k_is_named(client: TestClient, top_k: str) -> None:
    """The sentence has the parameter, what came, and what is allowed."""
    detail = _problem(client.post(f"/predict?top_k={top_k}", files={"file": PNG}), 422, "invalid_parameter")
    assert f"The query parameter top_k is '{top_k}'; a whole number from 1" in detail


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "empty_picture"),
        (b"hello", 415, "unsupported_format"),
        (b"\0" * 1000, 415, "unsupported_format"),
        (b"II*\0" + b"\0" * 100, 415, "unsupported_format"),
        (PNG[:100], 422, "broken_picture"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, 422, "broken_picture"),
        (encode(gradient(200, 200), "JPEG")[:1500], 422, "broken_picture"),
        (encode(solid("red", 1001)), 413, "too_many_pixels"),
    ],
)
def test_each_bad_picture_has_its_own_refusal(client: TestClient, data: bytes, status: int, code: str) -> None:
    """As a form and as a raw body alike."""
    _problem(client.post("/predict", files={"file": data}), status, code)
    _problem(client.post("/predict", content=data, headers={"content-type": "image/png"}), status, code)


def test_a_bomb_is_refused_from_its_header(client: TestClient) -> None:
    """100 megapixels in 290 kB of PNG: the sentence names both sizes."""
    detail = _problem(client.post("/predict", files={"file": bomb(10_000, 10_000)}), 413, "too_many_pixels")
    assert "10000 × 10000 pixels; the limit is 1,000,000" in detail
    assert detail.endswith("Resize it, or raise GLIMPSE_MAX_PIXELS.")


def test_a_small_picture_that_unpacks_megabytes_is_decoded_on_a_thread(client: TestClient) -> None:
    """Its few kilobytes of compressed text would stop the event loop for 50 ms; a plain one is decoded there."""

    def decoding_threads() -> int:
        return sum(thread.name.startswith("decode") for thread in threading.enumerate())

    before = decoding_threads()  # the pool of this client starts each with its first picture
    text = PngInfo()
    text.add_text("comment", "x" * 1_000_000, zip=True)
    plain, packed = encode(gradient(8, 8)), encode(gradient(8, 8), pnginfo=text)
    assert len(packed) < 3_000
    for data, started in ((plain, 0), (packed, 1)):
        assert client.post("/predict", content=data).status_code == 200
        assert decoding_threads() == before + started


def test_too_many_bytes_are_refused_by_their_announcement(client: TestClient) -> None:
    """Content-Length over the limit is enough; up to four times it the connection stays."""
    response = client.post("/predict", content=b"x" * 300_001, headers={"content-type": "image/png"})
    assert "300,001 bytes; the limit is 300,000" in _problem(response, 413, "body_too_large")
    assert "connection" not in response.headers
    for size, more in ((1_200_001, {}), (300_001, {"expect": "100-continue"})):
        response = client.post("/predict", content=b"x" * size, headers={"content-type": "image/png", **more})
        _problem(response, 413, "body_too_large")
        assert response.headers["connection"] == "close"


def test_an_answer_before_the_body_was_asked_for_ends_the_connection(client: TestClient) -> None:
    """Whoever waits for 100 Continue may send the next request in its place, which would be read as the body."""
    asks = {"expect": "100-continue", "content-type": "image/png"}
    for path, headers in (("/predict", {"x-request-timeout-ms": "soon"}), ("/nowhere", {})):
        response = client.post(path, content=b"x", headers={**asks, **headers})
        assert response.status_code in {404, 422}
        assert response.headers["connection"] == "close"
    response = client.post("/predict", content=encode(gradient()), headers=asks)
    assert response.status_code == 200
    assert "connection" not in response.headers


@pytest.mark.parametrize("content_type", ["image/png", "multipart/form-data; boundary=x"])
def test_too_many_bytes_are_refused_while_they_come(client: TestClient, content_type: str) -> None:
    """Without a Content-Length the stream is counted, and left when the limit is passed."""
    taken = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        return {
            "type": "http.request",
            "body": (head if taken == 1 else b"").ljust(10_000, b"x"),
            "more_body": True,
        }

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "query_string": b"",
        "headers": [(b"content-type", content_type.encode())],
    }
    assert client.portal
    client.portal.call(client.app, scope, receive, send)
    assert sent[0]["status"] == 413
    assert b"more than 300,000 bytes" in sent[1]["body"]
    assert taken == 31


def test_a_body_at_the_limit_passes(client: TestClient) -> None:
    """The limit itself is allowed: bytes behind a picture's end are ignored by its decoder."""
    padded = PNG + b"\0" * (300_000 - len(PNG))
    response = client.post("/predict", content=padded, headers={"content-type": "image/png"})
    assert response.status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_refused_with_the_way_out(client: TestClient, content_type: str) -> None:
    """Curl's default type for --data-binary is the commonest of them, and the sentence has the option."""
    response = client.post("/predict", content=PNG, headers={"content-type": content_type})
    assert "With curl: -F file=@cat.jpg" in _problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("form", "received"),
    [
        ({"files": [("image", ("a.png", PNG))]}, r"received: none \(fields: 'image'\)"),
        ({"files": [("file", ("a.png", PNG)), ("file", ("b.png", PNG))]}, "2 files and 0 texts"),
        ({"files": [("other", ("a.png", PNG))], "data": {"file": "cat.png"}}, "0 files and 1 texts"),
    ],
)
def test_a_form_without_one_file_is_refused(client: TestClient, form: dict[str, Any], received: str) -> None:
    """The sentence says which fields came instead."""
    import re

    detail = _problem(client.post("/predict", **form), 422, "missing_file")
    assert re.search(received, detail)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"abc"),
        ("multipart/form-data; boundary=x", b"abc"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n"),
    ],
)
def test_a_malformed_form_is_refused(client: TestClient, content_type: str, body: bytes) -> None:
    """What cannot be parsed as a form is the caller's to mend."""
    response = client.post("/predict", content=body, headers={"content-type": content_type})
    assert response.json()["code"] in {"malformed_form", "missing_file"}
    assert response.status_code == 422


def test_a_form_with_many_parts_is_refused(client: TestClient) -> None:
    """A hundred files in one form are not even collected."""
    files = [("file", (f"{i}.png", b"x")) for i in range(100)]
    assert "more than 16 parts" in _problem(client.post("/predict", files=files), 413, "too_many_files")


@given(data=st.binary(max_size=400), kind=st.sampled_from(["raw", "form", "png", "boundary"]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_give_a_5xx(client: TestClient, data: bytes, kind: str) -> None:
    """Whatever is sent, the answer is 200 or a 4xx problem."""
    if kind == "form":
        response = client.post("/predict", files={"file": data})
    elif kind == "boundary":
        response = client.post(
            "/predict", content=data, headers={"content-type": "multipart/form-data; boundary=b"}
        )
    else:
        body = PNG[: len(PNG) // 2] + data + PNG[len(PNG) // 2 :] if kind == "png" else data
        response = client.post("/predict", content=body, headers={"content-type": "image/png"})
    assert response.status_code == 200 or 400 <= response.status_code < 500
    assert response.status_code == 200 or response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("undefined", b"file"),
        ("punycode", b"a-9999999"),
        ("unicode_escape", rb"\ud800"),
        ("raw_unicode_escape", rb"\ud800"),
        ("utf-7", b"+2AA-"),
        ("no-such-charset", b"file"),
        ("utf-8", b"\xff"),
    ],
)
def test_a_forms_own_charset_gives_no_5xx(client: TestClient, charset: str, name: bytes) -> None:
    """A form may name any codec of Python; whatever that does to the field's name is the caller's to mend."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="'
        + name
        + b'"; filename="a"\r\n\r\n'
        + PNG
        + b"\r\n--x--\r\n"
    )
    headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    response = client.post("/predict", content=body, headers=headers)
    assert response.status_code in {200, 422}, response.text


@given(
    content_type=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60),
    name=st.binary(max_size=30),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_header_gives_a_5xx(client: TestClient, content_type: str, name: bytes) -> None:
    """Whatever the Content-Type and the parts' own headers say, the answer is 200 or a 4xx problem."""
    body = b"--x\r\nContent-Disposition: " + name.replace(b"\r\n", b"") + b"\r\n\r\nabc\r\n--x--\r\n"
    for header in (content_type, f"multipart/form-data; boundary=x; {content_type}"):
        response = client.post("/predict", content=body, headers=[(b"content-type", header.encode("latin-1"))])
        assert response.status_code < 500


def test_many_callers_at_once_get_their_own_answers(client: TestClient) -> None:
    """Answers are not mixed up between the pictures of a batch."""
    from concurrent.futures import ThreadPoolExecutor

    pictures = [encode(Image.new("RGB", (32, 32), (i * 8, 255 - i * 8, i))) for i in range(16)]

    def ask(data: bytes) -> tuple[str, float]:
        best = client.post("/predict", files={"file": io.BytesIO(data)}).json()["predictions"][0]
        return best["label"], best["score"]

    alone = [ask(data) for data in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, pictures * 2))
    for (label, score), (same_label, same_score) in zip(together, alone * 2, strict=True):
        assert label == same_label
        assert score == pytest.approx(same_score, abs=1e-6)  # a batch may round its last digit otherwise


def test_a_line_break_behind_the_path_is_nothing(client: TestClient) -> None:
    """The router overlooks it; so do admission and the limits."""
    answer = client.post("/predict%0A", files={"file": PNG})
    assert answer.status_code in {200, 404}
    assert client.post("/predict/batch%0A", files={"files": PNG}).status_code in {200, 404}


@pytest.mark.parametrize(("zeros", "status"), [(5_000, 200), (0, 200)])
def test_a_length_with_many_zeros_is_a_number(client: TestClient, zeros: int, status: int) -> None:
    """Python refuses to read thousands of digits."""
    length = "0" * zeros + str(len(PNG))
    headers = {"content-type": "image/png", "content-length": length}
    assert client.post("/predict", content=PNG, headers=headers).status_code == status


def test_white_space_around_a_header_is_none_of_it(client: TestClient) -> None:
    """RFC 9110, 5.5."""
    headers = {"content-type": "image/png", "x-request-timeout-ms": " 5000\t", "x-request-id": "abc "}
    response = client.post("/predict", content=PNG, headers=headers)
    assert (response.status_code, response.headers["x-request-id"]) == (200, "abc")


def test_a_slash_too_many_is_no_redirect(client: TestClient) -> None:
    """Behind a proxy it would lead to where the proxy is not."""
    response = client.post("/predict/", files={"file": PNG}, follow_redirects=False)
    assert "/predict/" in _problem(response, 404, "not_found")


def test_it_answers_under_a_root_path(settings: Settings) -> None:
    """Behind a proxy that leaves its prefix in the path, and mounted in another application."""
    with TestClient(create_app(settings), root_path="/api") as client:
        assert client.post("/api/predict", files={"file": PNG}).status_code == 200
        assert client.get("/api/health").status_code == 200


def test_without_the_network_the_page_of_the_routes_says_what_is_missing(settings: Settings) -> None:
    """Swagger UI takes the place of the note once it is there; under a root path it asks for what lies there."""
    with TestClient(create_app(settings), root_path="/api") as client:
        page = client.get("/api/docs").text
        assert client.get("/api/openapi.json").json()["info"]["title"] == "Glimpse"
    viewer, note, link = (
        page.index(part) for part in ('<div id="swagger-ui">', "cdn.jsdelivr.net. If", 'href="/api/openapi.json"')
    )
    assert viewer < note < link < page.index("</div>")
    assert "url: '/api/openapi.json'" in page


def test_a_form_of_many_fields_is_not_told_whole(client: TestClient) -> None:
    """Neither all their names, nor the whole of a long one."""
    fields = [(f"{number:02d}" + "x" * 1_000, ("a.png", PNG)) for number in range(12)]
    sentence = _problem(client.post("/predict", files=fields), 422, "missing_file")
    assert len(sentence) < 1_000
    assert "and 4 more" in sentence
