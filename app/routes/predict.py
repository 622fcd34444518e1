"""POST and PUT /predict, POST /predict/batch: pictures in, their labels out."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.answers import DEFAULT_TOP_K
from app.routes.lean import LeanRoute, through_framework
from app.routes.openapi import MANY_PICTURES, OF_PICTURES, ONE_PICTURE, TIMEOUT, problems
from app.schemas import BatchBody, PredictBody

router = APIRouter(tags=["predict"], route_class=LeanRoute)

_TOP_K = {
    "name": "top_k",
    "in": "query",
    "schema": {"type": "integer", "minimum": 1, "default": DEFAULT_TOP_K},
    "description": "how many labels; more than there are returns all",
}


_ONE: dict[str, Any] = {
    "response_model": PredictBody,
    "responses": problems(*OF_PICTURES, 500, 504),
    "openapi_extra": {"parameters": [_TOP_K, TIMEOUT], "requestBody": ONE_PICTURE},
}


@router.put("/predict", **_ONE)
@router.post("/predict", **_ONE)
async def predict(request: Request) -> Response:
    """Classify one picture.

    Send it as the multipart field `file`, or as the raw body with an `image/*` type or
    `application/octet-stream`; `curl -T cat.jpg` sends it by PUT and without a type, and both are accepted.
    JPEG, PNG, WebP, GIF (first frame), BMP and AVIF are read; EXIF orientation is applied, transparency laid over
    white. Scores are probabilities, best first.
    """
    return await through_framework(request)


@router.post(
    "/predict/batch",
    response_model=BatchBody,
    responses=problems(*OF_PICTURES),
    openapi_extra={"parameters": [_TOP_K, TIMEOUT], "requestBody": MANY_PICTURES},
)
async def predict_batch(request: Request) -> Response:
    """Classify many pictures, sent as repeated multipart fields `files`.

    There is one result for each file, in order: its labels, or the problem that it would have had alone.
    A bad file costs its neighbours nothing.
    """
    return await through_framework(request)
