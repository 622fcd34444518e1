"""The pages: playground, tensor lab and model card, with what they load; files of app/web, served from memory."""

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Request, Response

PAGES = {"/": "playground.html", "/lab": "lab.html", "/card": "card.html"}
"""Path → file; every other file of the folder is at /web/NAME."""

FILES = Path(__file__).parents[1] / "web"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_HEADERS = {
    "Cache-Control": "no-cache",  # kept by the browser, asked for by its ETag: a new version shows at once
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _File(NamedTuple):
    content: bytes
    headers: dict[str, str]


def pages() -> APIRouter:
    """Read the files of the pages, once, and make the routes that serve them.

    A page asks nobody but this service: its Content-Security-Policy makes the browser see to it.
    """
    files = {path.name: _read(path) for path in sorted(FILES.iterdir()) if path.suffix in _MEDIA_TYPES}
    router = APIRouter(include_in_schema=False)

    async def page(request: Request) -> Response:
        return _answer(files[PAGES[request.scope["route"].path]], request)

    async def part(name: str, request: Request) -> Response:
        if name not in files or name in PAGES.values():
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _answer(files[name], request)

    for path in PAGES:
        router.add_api_route(path, page, methods=["GET", "HEAD"])
    router.add_api_route("/web/{name}", part, methods=["GET", "HEAD"])
    return router


def _read(path: Path) -> _File:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return _File(content, {**_HEADERS, "Content-Type": _MEDIA_TYPES[path.suffix], "ETag": tag})


def _answer(file: _File, request: Request) -> Response:
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {file.headers["ETag"], "*"}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=file.headers)
    if request.method == "HEAD":
        return Response(headers={**file.headers, "Content-Length": str(len(file.content))})
    return Response(file.content, headers=file.headers)
