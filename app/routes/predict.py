"""POST /predict: one picture in, its labels out."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from app.problems import MalformedFormError, MissingFileError, UnsupportedMediaTypeError
from app.routes import ReadyService, problems
from app.schemas import ImageBody, ModelReference, PredictBody, PredictionBody
from models.classifier import rank

router = APIRouter(tags=["predict"])

_FORM = "multipart/form-data"
_RAW = "application/octet-stream"
_BINARY = {"type": "string", "format": "binary"}
_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {"schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY}}},
            "image/*": {"schema": _BINARY},
            _RAW: {"schema": _BINARY},
        },
    }
}


@router.post("/predict", openapi_extra=_REQUEST_BODY, responses=problems(413, 415, 422, 503))
async def predict(
    request: Request,
    response: Response,
    service: ReadyService,
    top_k: Annotated[int, Query(ge=1, description="how many labels; more than there are returns all")] = 5,
) -> PredictBody:
    """Classify one picture.

    Send it as the multipart field `file`, or as the raw body with an `image/*` type or
    `application/octet-stream`. JPEG, PNG, WebP, GIF (first frame), BMP and AVIF are read; EXIF
    orientation is applied, transparency laid over white. Scores are probabilities, best first.
    """
    data = await _read_upload(request)
    request.state.log_fields = {"picture_bytes": len(data)}
    answer = await service.classify(data, max_pixels=request.app.state.settings.max_pixels)
    response.headers["Server-Timing"] = f"decode;dur={answer.decode_ms:.2f}, infer;dur={answer.infer_ms:.2f}"
    record = service.checkpoint.record
    predictions = rank(answer.probabilities, record.labels, top_k=top_k)
    threshold = record.calibration.abstain_threshold
    return PredictBody(
        predictions=[
            PredictionBody(label=item.label, class_index=item.class_index, score=item.score)
            for item in predictions
        ],
        abstain=threshold is not None and predictions[0].score < threshold,
        image=ImageBody(format=answer.picture_format, width=answer.width, height=answer.height),
        model=ModelReference(name=record.name, digest=service.checkpoint.digest),
        request_id=request.state.request_id,
    )


async def _read_upload(request: Request) -> bytes:
    """Return the bytes of the one picture, however it was sent; no type at all counts as raw."""
    media_type = request.headers.get("content-type", _RAW).partition(";")[0].strip().lower()
    if media_type == _FORM:
        return await _read_form(request)
    if media_type == _RAW or media_type.startswith("image/"):
        return await request.body()
    raise UnsupportedMediaTypeError(
        f"The body's Content-Type is {media_type!r}; {_FORM} with a field `file`, image/* or {_RAW} is read. "
        "With curl: -F file=@cat.jpg, or --data-binary @cat.jpg -H 'Content-Type: image/jpeg'."
    )


async def _read_form(request: Request) -> bytes:
    try:
        async with request.form(max_files=8, max_fields=8) as form:
            return await _single_file(form).read()
    except (HTTPException, FormParserError, ValueError, LookupError) as error:
        # which of the first two depends on Starlette's version; the others come from a form's own charset
        reason = error.detail if isinstance(error, HTTPException) else str(error)
        raise MalformedFormError(f"The multipart form cannot be read: {reason} Send it again.") from error


def _single_file(form: FormData) -> UploadFile:
    found = form.getlist("file")
    files = [item for item in found if isinstance(item, UploadFile)]
    if len(files) == 1 == len(found):
        return files[0]
    received = f"{len(files)} files and {len(found) - len(files)} texts in it" if found else "none"
    names = ", ".join(sorted(set(form.keys()))) or "none"
    raise MissingFileError(
        f"One picture is expected in the form's field `file`; received: {received} (fields: {names}). "
        "With curl: -F file=@cat.jpg"
    )
