"""What is answered to requests that bring pictures, whoever carries them: the framework, or the desk.

The routes of FastAPI (`app/routes/`) declare these paths for the OpenAPI page; what they do stands here.
"""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

from PIL import Image
from starlette.datastructures import QueryParams

from app.callers import Caller
from app.decoding import INLINE_BYTES
from app.errors import BodyTooLargeError, ParameterError, UnavailableError
from app.explanation import METHOD
from app.problems import log_fault, to_body, to_reply
from app.served_model import ServedModel
from app.service import Classified, Service
from app.settings import PREFIX, Settings
from app.wire.exchange import SERVER_TIMING, Asked, Reply
from app.wire.headers import shortened, whole_number
from app.wire.multipart import Part
from app.wire.uploads import picture_of, pictures_of, require_unpacked
from models.checkpoint import Checkpoint
from models.errors import GlimpseError
from models.prediction import rank
from models.preprocessing import seen_box

DEFAULT_TOP_K = 5
_NOT_QUOTED = 10**9
"""From here on a number is not told again: of a very long one only the first digits were read."""


async def answer_one(service: Service, asked: Asked, caller: Caller) -> Reply:
    """Answer a request with one picture.

    Raises:
        GlimpseError: the request cannot be answered; `app.problems` says what of it the caller is told.
    """
    top_k = _top_k(asked.admitted.query)
    data = _picture(service, asked)
    answer = await service.classify(data, caller, asked.timing)
    return _reply(_labels(service, answer, top_k), answer.checkpoint, asked)


async def answer_many(service: Service, asked: Asked, caller: Caller) -> Reply:
    """Answer a request with many pictures: a result or a problem for each, in order.

    Raises:
        GlimpseError: the request as a whole cannot be answered.
    """
    top_k = _top_k(asked.admitted.query)
    files = pictures_of(asked.body, asked.admitted.content_type, max_files=service.settings.max_batch_files)
    asked.log_fields["pictures"] = len(files)
    asked.log_fields["picture_bytes"] = sum(len(file.data) for file in files)
    sizes = (len(file.data) for file in files)
    decoding_bytes = [size if INLINE_BYTES < size <= service.settings.max_body_bytes else 0 for size in sizes]
    turn, model = asyncio.Lock(), service.model
    with model.in_use(), service.admission.reserve(decoding_bytes, within_s=asked.admitted.timeout_s) as give_up:
        outcomes = await asyncio.gather(
            *(
                _outcome(service, model, file, caller, asked, turn=turn, give_up=partial(give_up, place))
                for place, file in enumerate(files)
            )
        )
    results = [
        {"filename": file.filename}
        | (
            {"problem": to_body(outcome, asked.admitted.request_id)}
            if isinstance(outcome, Exception)
            else _labels(service, outcome, top_k)
        )
        for file, outcome in zip(files, outcomes, strict=True)
    ]
    return _reply({"results": results}, model.checkpoint, asked)


async def answer_pixels(service: Service, asked: Asked, caller: Caller) -> Reply:
    """Answer a request with what the network would see of its picture, as a PNG.

    Raises:
        GlimpseError: the request cannot be answered; `app.problems` says what of it the caller is told.
    """
    data = _picture(service, asked)
    image = await service.pixels(data, caller, asked.timing)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return Reply(200, "image/png", {}, buffer.getvalue())


async def answer_explanation(service: Service, asked: Asked, caller: Caller) -> Reply:
    """Answer a request with where the evidence for a class is in its picture.

    Raises:
        GlimpseError: the request cannot be answered; `app.problems` says what of it the caller is told.
    """
    service.explainer.require_room()
    wanted = _parameter("class_index", asked.admitted.query, least=0)
    _require_class(wanted, service.model.checkpoint)
    data = _picture(service, asked)
    answer = await service.classify(data, caller, asked.timing)
    _require_class(wanted, answer.checkpoint)  # a reload may have come between
    record, prepared = answer.checkpoint.record, answer.prepared
    class_index = int(answer.probabilities.argmax()) if wanted is None else wanted
    explanation = await service.explainer.explain(answer.checkpoint, prepared.image, class_index, caller=caller)
    left, top, right, bottom = seen_box(prepared.width, prepared.height, record.input)
    body: dict[str, object] = {
        "label": record.labels[class_index],
        "class_index": class_index,
        "score": float(answer.probabilities[class_index]),
        "method": METHOD,
        "layer": explanation.layer,
        "heat": [[round(float(value), 3) for value in row] for row in explanation.heat],
        "window": {
            "left": left / prepared.width,
            "top": top / prepared.height,
            "right": right / prepared.width,
            "bottom": bottom / prepared.height,
        },
    }
    return _reply(body, answer.checkpoint, asked)


class PicturePath(NamedTuple):
    """A path that takes pictures.

    Attributes:
        answer: answers a request to the path.
        limit: name of the setting that holds the most bytes of a body there.
        methods: with which pictures come there.
    """

    answer: Callable[[Service, Asked, Caller], Awaitable[Reply]]
    limit: Literal["max_body_bytes", "max_batch_bytes"]
    methods: tuple[str, ...] = ("POST",)


PATHS: Mapping[str, PicturePath] = {
    "/predict": PicturePath(answer_one, "max_body_bytes", ("POST", "PUT")),
    "/predict/batch": PicturePath(answer_many, "max_batch_bytes"),
    "/pixels": PicturePath(answer_pixels, "max_body_bytes"),
    "/explain": PicturePath(answer_explanation, "max_body_bytes"),
}
"""Every path that takes pictures; requests to all others are let in whatever the load."""


class Limit(NamedTuple):
    """How long a body may be.

    Attributes:
        size_bytes: most bytes of the body.
        variable: name of the environment variable that raises it.
    """

    size_bytes: int
    variable: str


def body_limits(settings: Settings) -> dict[str, Limit]:
    """Read the limit of each path that takes pictures from the settings."""
    return {path: Limit(getattr(settings, row.limit), PREFIX + row.limit.upper()) for path, row in PATHS.items()}


async def reply_to(service: Service, asked: Asked, caller: Caller) -> Reply:
    """Answer a request for pictures: with labels, or with the problem that it has; both say where the time went.

    Raises:
        ClientDisconnect: nobody waits any more.
        Exception: a fault that nobody foresaw.
    """
    try:
        async with caller:
            require_unpacked(asked.admitted.content_encoding)
            reply = await PATHS[asked.admitted.path].answer(service, asked, caller)
    except GlimpseError as error:
        if isinstance(error, UnavailableError):
            service.refusals.count(error)
        log_fault(error, asked.admitted.request_id)
        reply = to_reply(error, asked.admitted.request_id)
    finally:
        if "picture_bytes" in asked.log_fields:
            asked.log_fields.update(asked.timing.to_fields())
    return reply._replace(headers={**reply.headers, SERVER_TIMING: asked.timing.to_header()})


def _reply(body: dict[str, object], checkpoint: Checkpoint, asked: Asked) -> Reply:
    body["model"] = checkpoint.reference
    body["request_id"] = asked.admitted.request_id
    return Reply(200, "application/json", {}, json.dumps(body).encode())


async def _outcome(
    service: Service,
    model: ServedModel,
    file: Part,
    caller: Caller,
    asked: Asked,
    *,
    turn: asyncio.Lock,
    give_up: Callable[[], None],
) -> Classified | Exception:
    """Answer one file, or return what is wrong with it; each begins in a turn of the event loop of its own.

    Until its turn room is kept for it, which `give_up` gives back: from then on `classify` counts it. All files of
    a request are answered by the model that it began with, whatever is loaded meanwhile.
    """
    limit_bytes = service.settings.max_body_bytes
    if len(file.data) > limit_bytes:
        give_up()
        return BodyTooLargeError(
            f"The file is {len(file.data):,} bytes; the limit is {limit_bytes:,} bytes. Send a smaller picture, "
            "or raise GLIMPSE_MAX_BODY_BYTES."
        )
    async with turn:
        await asyncio.sleep(0)
    give_up()
    try:
        caller.require_waiting()
        return await service.classify(file.data, caller, asked.timing, model)
    except (GlimpseError, MemoryError) as error:
        log_fault(error, asked.admitted.request_id)
        return error


def _picture(service: Service, asked: Asked) -> bytes:
    """Return the bytes of the one picture of a request, if it can still be answered in time."""
    data = picture_of(asked.body, asked.admitted.content_type)
    asked.log_fields["picture_bytes"] = len(data)
    service.admission.check(within_s=asked.admitted.timeout_s)  # others may have come while the body did
    return data


def _require_class(class_index: int | None, checkpoint: Checkpoint) -> None:
    labels = checkpoint.record.labels
    if class_index is not None and class_index >= len(labels):
        raise ParameterError(
            f"The query parameter class_index is {'too large' if class_index >= _NOT_QUOTED else class_index}; "
            f"the model has {len(labels)} classes, from 0. GET /model lists them."
        )


def _top_k(query: bytes) -> int:
    asked = _parameter("top_k", query, least=1)
    return DEFAULT_TOP_K if asked is None else asked


def _parameter(name: str, query: bytes, *, least: int) -> int | None:
    asked = QueryParams(query).get(name) if query else None
    if asked is None:
        return None
    value = whole_number(asked)
    if value is None or value < least:
        raise ParameterError(
            f"The query parameter {name} is {shortened(asked)}; a whole number from {least} is understood."
        )
    return value


def _labels(service: Service, answer: Classified, top_k: int) -> dict[str, object]:
    """Tell the labels of a picture, and count that it was answered."""
    record, prepared = answer.checkpoint.record, answer.prepared
    predictions = rank(answer.probabilities, record.labels, top_k=top_k)
    best = predictions[0]
    abstains = record.calibration.abstains(best.score, answer.distance)
    service.predictions.count(best, abstains=abstains)
    return {
        "predictions": [
            {"label": item.label, "class_index": item.class_index, "score": item.score} for item in predictions
        ],
        "abstain": abstains,
        "image": {"format": prepared.picture_format, "width": prepared.width, "height": prepared.height},
    }
