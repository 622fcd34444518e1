"""A page of another origin calls the service, in a real browser."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser

from tests.e2e.conftest import PATIENCE_MS, Server

KEY = "a key of the tests"
UPLOAD = """async ([url, headers]) => {
  const canvas = new OffscreenCanvas(64, 64);
  canvas.getContext("2d").fillRect(0, 0, 64, 64);
  const form = new FormData();
  form.append("file", new File([await canvas.convertToBlob()], "black.png"));
  const answer = await fetch(url, { method: "POST", body: form, headers });
  const [id, timing] = ["X-Request-ID", "Server-Timing"].map((name) => answer.headers.get(name));
  return { status: answer.status, body: await answer.json(), id, timing };
}"""


class EmptyPage(BaseHTTPRequestHandler):
    """Answers everything with a page that has nothing in it."""

    def do_GET(self) -> None:
        """Send it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing of it."""


@pytest.fixture
def page_origin() -> Iterator[str]:
    """Where the page comes from."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_of_an_allowed_origin_reads_answers(
    browser: Browser, start_server: Callable[..., Server], page_origin: str
) -> None:
    """Labels, id and times of a file that it sends, and refusals; the operator's key alone it may not send."""
    server = start_server("--cors-origins", page_origin, "--admin-key", KEY)
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(page_origin)
    named = {"X-Request-ID": "of-the-page", "X-Request-Timeout-Ms": "50000"}
    for headers in ({}, named):
        answer = page.evaluate(UPLOAD, [f"{server.url}/predict?top_k=1", headers])
        assert (answer["status"], len(answer["body"]["predictions"])) == (200, 1)
        assert answer["id"] == answer["body"]["request_id"] == headers.get("X-Request-ID", answer["id"])
        assert answer["timing"].startswith("decode;dur=")
    for path, headers, status in (
        ("/predict?top_k=0", {}, 422),
        ("/predict", {"X-Request-Timeout-Ms": "soon"}, 422),
        ("/nothing", {}, 404),
    ):
        refused = page.evaluate(UPLOAD, [server.url + path, headers])
        assert (refused["status"], refused["body"]["status"], refused["id"]) == (
            status,
            status,
            refused["body"]["request_id"],
        )
    reloading = (
        "([url, headers]) => fetch(url, {method: 'POST', headers}).then(() => 'sent', (error) => error.name)"
    )
    with_key = {"Authorization": f"Bearer {KEY}"}
    assert page.evaluate(reloading, [f"{server.url}/model/reload", with_key]) == "TypeError"
    context.close()


def test_a_page_of_another_origin_reads_nothing(
    browser: Browser, start_server: Callable[..., Server], page_origin: str
) -> None:
    """Neither where other origins are allowed, nor where none is: to the page it is a network error."""
    for options in (("--cors-origins", "https://app.example"), ()):
        server = start_server(*options)
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(page_origin)
        asked = f"fetch('{server.url}/health/live').then(() => 'read', (error) => error.name)"
        assert page.evaluate(asked) == "TypeError"
        context.close()
