"""GET /model: everything the checkpoint says about itself. POST /model/reload: read it again."""

import dataclasses
import difflib
import secrets
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.errors import AdminKeyError, ParameterError
from app.pinning import DIGEST, to_digest
from app.routes.dependencies import RunningService
from app.routes.openapi import problems
from app.schemas import ModelBody, ModelReference, ReloadBody
from app.wire.headers import shortened
from models.checkpoint import Checkpoint

router = APIRouter(tags=["model"])
admin_router = APIRouter(tags=["model"])
"""The route that needs the operator's key; left out where the settings hold none."""

BearerKey = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
FileDigest = Annotated[
    str | None,
    Query(
        json_schema_extra={"pattern": DIGEST},
        description="what the file must be, sha256:…; another is refused with 409",
    ),
]


@router.head("/model", include_in_schema=False)
@router.get("/model", response_model=ModelBody, responses=problems(503))
async def model(service: RunningService) -> Response:
    """Return labels, network, input, calibration, metrics with per-class accuracy, training and digest."""
    checkpoint = service.model.checkpoint
    # as it is: a copy of the confusion matrix of 1,000 classes takes a second, in which nobody else is answered
    parts = {field.name: getattr(checkpoint.record, field.name) for field in dataclasses.fields(checkpoint.record)}
    body = ModelBody.model_validate({**parts, "digest": checkpoint.digest}, from_attributes=True)
    return Response(body.model_dump_json(), media_type="application/json")


@admin_router.post(
    "/model/reload",
    responses=problems(401, 409, 422, 503),
)
async def reload(
    request: Request, service: RunningService, key: BearerKey, digest: FileDigest = None
) -> ReloadBody:
    """Read the checkpoint file again, and answer with it from now on.

    It is loaded beside the old one, and asked the golden pictures; if anything is wrong with it the old one goes
    on, and the answer says why. No request fails: each ends with the model that it began with. Send the key as
    `Authorization: Bearer …`. With `digest` no other file is taken, whatever lies there by then; without it any
    is, unless GLIMPSE_CHECKPOINT_DIGEST names one.
    """
    wanted = service.settings.admin_key
    assert wanted is not None, "without a key there is no such route"
    offered = key.credentials if key else ""
    if not secrets.compare_digest(offered.encode(), wanted.get_secret_value().encode()):
        raise AdminKeyError("The header Authorization: Bearer … with the operator's key is missing or wrong.")
    _check_parameters([name for name, _ in request.query_params.multi_items()], digest)
    old, new = await service.reload(digest=digest)
    return _to_body(old, new)


def _check_parameters(names: Sequence[str], digest: str | None) -> None:
    """Refuse what was not understood: a mistyped digest would let any file be taken.

    Raises:
        ParameterError: there is another parameter than one digest, or it is none.
    """
    for name in names:
        if name != "digest":
            is_close = difflib.get_close_matches(name, ["digest"])
            hint = "did you mean digest?" if is_close else "a reload has only digest. Leave it out."
            raise ParameterError(f"{shortened(name)} is not a parameter; {hint}")
    if len(names) > 1:
        raise ParameterError("The parameter digest came more than once. Send it once.")
    if digest is not None:
        try:
            to_digest(digest)
        except ValueError as error:
            raise ParameterError(f"The query parameter digest is {shortened(digest)}: {error}.") from error


def _to_body(old: Checkpoint, new: Checkpoint) -> ReloadBody:
    before, after = old.record.labels, new.record.labels
    places = {label: index for index, label in enumerate(before)}
    return ReloadBody(
        model=ModelReference.model_validate(new.reference),
        previous=ModelReference.model_validate(old.reference),
        labels_added=_without(after, before),
        labels_removed=_without(before, after),
        labels_moved=[label for index, label in enumerate(after) if places.get(label, index) != index],
    )


def _without(labels: Sequence[str], others: Sequence[str]) -> list[str]:
    known = set(others)
    return [label for label in labels if label not in known]
