"""POST /pixels and POST /explain: what the network saw of a picture, and what its score rests on."""

from fastapi import APIRouter, Request, Response

from app.routes.lean import LeanRoute, through_framework
from app.routes.openapi import OF_PICTURES, ONE_PICTURE, TIMEOUT, problems
from app.schemas import ExplanationBody

router = APIRouter(tags=["explain"], route_class=LeanRoute)

_CLASS_INDEX = {
    "name": "class_index",
    "in": "query",
    "schema": {"type": "integer", "minimum": 0},
    "description": "of the class to be explained; the best one if it is left out",
}


@router.post(
    "/pixels",
    responses={200: {"content": {"image/png": {}}}, **problems(*OF_PICTURES, 504)},
    response_class=Response,
    openapi_extra={"parameters": [TIMEOUT], "requestBody": ONE_PICTURE},
)
async def pixels(request: Request) -> Response:
    """Return the very pixels that the network is fed for a picture, as a PNG of its input's size.

    The picture is sent as to POST /predict.
    """
    return await through_framework(request)


@router.post(
    "/explain",
    response_model=ExplanationBody,
    responses=problems(*OF_PICTURES, 500, 501, 504),
    openapi_extra={"parameters": [_CLASS_INDEX, TIMEOUT], "requestBody": ONE_PICTURE},
)
async def explain(request: Request) -> Response:
    """Return a heat map of what a class's score rests on, by integrated gradients.

    The picture is sent as to POST /predict. `heat` lies over `window`, the part of the picture that the network
    sees. It tells where the evidence is, not whether it is good evidence. Without the extra `explain` this is 501.
    """
    return await through_framework(request)
