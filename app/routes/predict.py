"""POST /predict and POST /predict/batch: pictures in, their labels out."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from app.callers import Caller
from app.errors import BodyTooLargeError, ParameterError
from app.exchange import SERVER_TIMING, Asked, Reply
from app.lifespan import running_service
from app.multipart import FORM, Part
from app.problems import log_fault, to_body, to_reply
from app.routes import LeanRoute, problems
from app.schemas import BatchBody, PredictBody
from app.service import Answer, Service
from app.uploads import RAW, picture_of, pictures_of
from models.checkpoint import Checkpoint
from models.classifier import rank
from models.errors import GlimpseError

router = APIRouter(tags=["predict"], route_class=LeanRoute)

DEFAULT_TOP_K = 5
_BINARY = {"type": "string", "format": "binary"}
_PARAMETERS = [
    {
        "name": "top_k",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "default": DEFAULT_TOP_K},
        "description": "how many labels; more than there are returns all",
    },
    {
        "name": "X-Request-Timeout-Ms",
        "in": "header",
        "schema": {"type": "integer", "minimum": 1},
        "description": "time for the answer, once the body is there",
    },
]


def _accepts(content: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": _PARAMETERS, "requestBody": {"required": True, "content": content}}


def _form(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": [field], "properties": {field: schema}}}


@router.post(
    "/predict",
    response_model=PredictBody,
    responses=problems(413, 415, 422, 500, 503, 504),
    openapi_extra=_accepts(
        {FORM: _form("file", _BINARY), "image/*": {"schema": _BINARY}, RAW: {"schema": _BINARY}}
    ),
)
async def predict(request: Request) -> Response:
    """Classify one picture.

    Send it as the multipart field `file`, or as the raw body with an `image/*` type or
    `application/octet-stream`. JPEG, PNG, WebP, GIF (first frame), BMP and AVIF are read; EXIF
    orientation is applied, transparency laid over white. Scores are probabilities, best first.
    """
    return await _through_framework(request, "/predict")


@router.post(
    "/predict/batch",
    response_model=BatchBody,
    responses=problems(413, 415, 422, 503),
    openapi_extra=_accepts({FORM: _form("files", {"type": "array", "items": _BINARY})}),
)
async def predict_batch(request: Request) -> Response:
    """Classify many pictures, sent as repeated multipart fields `files`.

    There is one result for each file, in order: its labels, or the problem that it would have had alone.
    A bad file costs its neighbours nothing.
    """
    return await _through_framework(request, "/predict/batch")


async def answer_one(service: Service, asked: Asked, caller: Caller) -> Reply:
    """Answer a request with one picture.

    Raises:
        GlimpseError: what the caller, or the log, shall hear.
    """
    top_k = _top_k(asked.query)
    data = picture_of(asked.body, asked.content_type)
    asked.log_fields["picture_bytes"] = len(data)
    service.admission.check(within_s=asked.timeout_s)  # others may have come while the body did
    answer = await service.classify(data, caller, asked.timing)
    return _reply(_labels(answer, top_k), answer.checkpoint, asked)


async def answer_many(service: Service, asked: Asked, caller: Caller) -> Reply:
    """Answer a request with many pictures: a result or a problem for each, in order.

    Raises:
        GlimpseError: the request as a whole cannot be answered.
    """
    top_k = _top_k(asked.query)
    files = pictures_of(asked.body, asked.content_type, max_files=service.settings.max_batch_files)
    asked.log_fields["pictures"] = len(files)
    asked.log_fields["picture_bytes"] = sum(len(file.data) for file in files)
    service.admission.check(within_s=asked.timeout_s, pictures=len(files))
    outcomes = await asyncio.gather(*(_outcome(service, file, caller, asked) for file in files))
    results = [
        {"filename": file.filename}
        | (
            {"problem": to_body(outcome, asked.request_id)}
            if isinstance(outcome, Exception)
            else _labels(outcome, top_k)
        )
        for file, outcome in zip(files, outcomes, strict=True)
    ]
    checkpoints = (outcome.checkpoint for outcome in outcomes if isinstance(outcome, Answer))
    return _reply({"results": results}, next(checkpoints, service.model.checkpoint), asked)


ANSWERS: Mapping[str, Callable[[Service, Asked, Caller], Awaitable[Reply]]] = {
    "/predict": answer_one,
    "/predict/batch": answer_many,
}
"""Every path that takes pictures, and what answers it."""


async def reply_to(path: str, service: Service, asked: Asked, caller: Caller) -> Reply:
    """Answer a request for pictures: with labels, or with the problem that it has; both say where the time went.

    Raises:
        ClientDisconnect: nobody waits any more.
        Exception: what nobody foresaw.
    """
    try:
        async with caller:
            reply = await ANSWERS[path](service, asked, caller)
    except GlimpseError as error:
        log_fault(error, asked.request_id)
        reply = to_reply(error, asked.request_id)
    return reply._replace(headers={**reply.headers, SERVER_TIMING: asked.timing.to_header()})


async def _through_framework(request: Request, path: str) -> Response:
    state = request.state
    query, content_type = request.scope["query_string"], request.headers.get("content-type")
    asked = Asked(query, content_type, await request.body(), state.request_id, state.timeout_s)
    state.log_fields = asked.log_fields
    caller = Caller(request.receive, timeout_s=state.timeout_s)
    status, media_type, headers, body = await reply_to(path, running_service(request.scope), asked, caller)
    return Response(body, status, headers, media_type)


def _reply(body: dict[str, object], checkpoint: Checkpoint, asked: Asked) -> Reply:
    body["model"] = {"name": checkpoint.record.name, "digest": checkpoint.digest}
    body["request_id"] = asked.request_id
    return Reply(200, "application/json", {}, json.dumps(body).encode())


async def _outcome(service: Service, file: Part, caller: Caller, asked: Asked) -> Answer | Exception:
    """A file's answer, or what was wrong with it."""
    limit_bytes = service.settings.max_body_bytes
    if len(file.data) > limit_bytes:
        return BodyTooLargeError(
            f"The file is {len(file.data):,} bytes; the limit is {limit_bytes:,} bytes. Send a smaller picture, "
            "or raise GLIMPSE_MAX_BODY_BYTES."
        )
    try:
        return await service.classify(file.data, caller, asked.timing)
    except (GlimpseError, MemoryError) as error:
        log_fault(error, asked.request_id)
        return error


def _top_k(query: bytes) -> int:
    asked = QueryParams(query).get("top_k") if query else None
    if asked is None:
        return DEFAULT_TOP_K
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 10 and int(asked) > 0):
        raise ParameterError(f"The query parameter top_k is {asked!r}; a whole number from 1 is understood.")
    return int(asked)


def _labels(answer: Answer, top_k: int) -> dict[str, object]:
    record = answer.checkpoint.record
    predictions = rank(answer.probabilities, record.labels, top_k=top_k)
    return {
        "predictions": [
            {"label": item.label, "class_index": item.class_index, "score": item.score} for item in predictions
        ],
        "abstain": record.calibration.abstains(predictions[0].score, answer.distance),
        "image": {"format": answer.picture_format, "width": answer.width, "height": answer.height},
    }
