"""How the pages are served: from memory, with a tag, and under a policy that lets them ask nobody else."""

import re

import pytest
from fastapi.testclient import TestClient

from app.routes.web import FILES, PAGES

NAMES = sorted(path.name for path in FILES.iterdir())
PARTS = [name for name in NAMES if name not in PAGES.values()]
PATHS = [*PAGES, *(f"/web/{name}" for name in PARTS)]
MOST_BYTES = 100_000


@pytest.mark.parametrize("path", PATHS)
def test_every_file_is_served(client: TestClient, path: str) -> None:
    """With its bytes, its type, a tag by which it is kept, and the headers that keep it in its place."""
    name = PAGES.get(path) or path.removeprefix("/web/")
    answer = client.get(path)
    assert answer.content == (FILES / name).read_bytes()
    kind = {"html": "text/html", "css": "text/css", "js": "text/javascript"}[name.rpartition(".")[2]]
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = answer.headers["content-security-policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {"script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert not [rule for rule in policy if "unsafe" in rule or "*" in rule or "http" in rule]


@pytest.mark.parametrize("path", PATHS)
def test_what_the_browser_has_is_not_sent_again(client: TestClient, path: str) -> None:
    """304 for the tag of what is there, or any; the whole file for another; HEAD as GET, but no body."""
    answer = client.get(path)
    tag = answer.headers["etag"]
    assert answer.headers["cache-control"] == "no-cache"
    for given in (tag, f"W/{tag}", f'"older", {tag}', "*"):
        again = client.get(path, headers={"if-none-match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"if-none-match": '"older"'}).status_code == 200
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "content-security-policy"):
        assert head.headers[name] == answer.headers[name]


@pytest.mark.parametrize(
    "name", ["nothing.js", "playground.html", "..%2Fmain.py", "%2e%2e/main.py", "__init__.py", ""]
)
def test_nothing_else_is_there(client: TestClient, name: str) -> None:
    """An unknown name is a problem like everywhere; no name leads out of the folder."""
    answer = client.get(f"/web/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_page_is_read_only(client: TestClient) -> None:
    """POST is refused with the methods that there are."""
    answer = client.post("/lab")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


def test_all_pages_together_are_light() -> None:
    """Everything in the folder, as it is, is under 100 kB."""
    assert sum((FILES / name).stat().st_size for name in NAMES) < MOST_BYTES


@pytest.mark.parametrize("page", PAGES.values())
def test_the_first_paint_needs_two_requests(page: str) -> None:
    """The page and its style sheet: scripts wait for the page, the icon is in it, nothing else is loaded."""
    text = (FILES / page).read_text()
    head = text.partition("</head>")[0]
    assert re.findall(r'<link rel="stylesheet" href="(.*?)"', text) == ["web/style.css"]
    assert re.findall(r'<link rel="icon" href="(.{5})', text) == ["data:"]
    assert re.findall(r"<script\b[^>]*>", text) == re.findall(r'<script type="module" src="web/\w+\.js">', head)
    assert not re.search(r"<(?:img|iframe|object|embed|video|audio)\b|@import|@font-face", text)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_works_below_any_path(name: str) -> None:
    """As behind a proxy that takes a prefix away: nothing is asked for from the top."""
    assert not re.search(r"[\"'`(]/(?![/*>])\w", (FILES / name).read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_obeys_the_policy(name: str) -> None:
    """No inline script, handler or style that the browser would refuse, and no address of anybody else."""
    text = (FILES / name).read_text()
    if name.endswith(".html"):
        assert not re.search(r"<style\b|\sstyle=|\son\w+=|<script>|javascript:", text)
    own = re.sub(r"http://www\.w3\.org/2000/svg", "", text)  # a name, not an address
    assert not re.search(r"https?://|[\"'(]//\w", own)
    assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", text)
