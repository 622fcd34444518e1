"""POST /predict and POST /predict/batch: pictures in, their labels out."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from app.callers import Caller
from app.errors import BodyTooLargeError, ParameterError
from app.lifespan import running_service
from app.multipart import FORM, Part
from app.problems import log_fault, to_body
from app.routes import LeanRoute, json_response, problems
from app.schemas import BatchBody, PredictBody
from app.service import Answer, Service
from app.uploads import RAW, read_picture, read_pictures
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
    service = running_service(request.scope)
    top_k = _top_k(request)
    data = await read_picture(request)
    request.state.log_fields = {"picture_bytes": len(data)}
    service.admission.check(within_s=request.state.timeout_s)  # others may have come while the body did
    async with Caller(request.receive, timeout_s=request.state.timeout_s) as caller:
        answer = await service.classify(data, caller)
    body = _labels(answer, top_k) | _origin(answer.checkpoint, request)
    return json_response(json.dumps(body).encode(), {"Server-Timing": _timing([answer])})


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
    service = running_service(request.scope)
    top_k = _top_k(request)
    files = await read_pictures(request, max_files=service.settings.max_batch_files)
    request.state.log_fields = {"pictures": len(files), "picture_bytes": sum(len(file.data) for file in files)}
    timeout_s, request_id = request.state.timeout_s, request.state.request_id
    service.admission.check(within_s=timeout_s, pictures=len(files))
    async with Caller(request.receive, timeout_s=timeout_s) as caller:
        outcomes = await asyncio.gather(*(_outcome(service, file, caller, request_id) for file in files))
    results = [
        {"filename": file.filename}
        | (
            {"problem": to_body(outcome, request_id)}
            if isinstance(outcome, Exception)
            else _labels(outcome, top_k)
        )
        for file, outcome in zip(files, outcomes, strict=True)
    ]
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    checkpoint = answers[0].checkpoint if answers else service.model.checkpoint
    body = {"results": results} | _origin(checkpoint, request)
    return json_response(json.dumps(body).encode(), {"Server-Timing": _timing(answers)})


async def _outcome(service: Service, file: Part, caller: Caller, request_id: str) -> Answer | Exception:
    """A file's answer, or what was wrong with it."""
    limit_bytes = service.settings.max_body_bytes
    if len(file.data) > limit_bytes:
        return BodyTooLargeError(
            f"The file is {len(file.data):,} bytes; the limit is {limit_bytes:,} bytes. Send a smaller picture, "
            "or raise GLIMPSE_MAX_BODY_BYTES."
        )
    try:
        return await service.classify(file.data, caller)
    except (GlimpseError, MemoryError) as error:
        log_fault(error, request_id)
        return error


def _top_k(request: Request) -> int:
    asked = request.query_params.get("top_k")
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


def _origin(checkpoint: Checkpoint, request: Request) -> dict[str, object]:
    return {
        "model": {"name": checkpoint.record.name, "digest": checkpoint.digest},
        "request_id": request.state.request_id,
    }


def _timing(answers: Sequence[Answer]) -> str:
    """Server-Timing in milliseconds: of several pictures the longest of each, and the largest batch."""
    if not answers:
        return "decode;dur=0, queue;dur=0, infer;dur=0, batch;desc=0"
    return (
        f"decode;dur={max(answer.decode_ms for answer in answers):.2f}, "
        f"queue;dur={max(answer.queue_ms for answer in answers):.2f}, "
        f"infer;dur={max(answer.infer_ms for answer in answers):.2f}, "
        f"batch;desc={max(answer.batch_size for answer in answers)}"
    )
