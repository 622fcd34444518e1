"""GET /tensors and below: the tensor lab, run live."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from app.routes import RunningService, problems
from app.schemas import DemoBody, DemoParameterBody, DemoRunBody, DemosBody
from app.service import Service
from app.tensors.catalogue import DEMOS, Value, devices, read_values
from app.tensors.lab import ANATOMY, Demo, DemoRun, Served, demos, run_demo
from app.tensors.report import to_markdown
from app.tensors.turns import Turns

router = APIRouter(prefix="/tensors", tags=["tensors"])


class Markdown(Response):
    """A document."""

    media_type = "text/markdown"


def _query_parameters() -> list[dict[str, Any]]:
    """For the OpenAPI page, each name once; what a demo allows differs, and GET /tensors tells it."""
    used: dict[str, list[str]] = {}
    for demo, parameters in DEMOS.items():
        for name in parameters:
            used.setdefault(name, []).append(demo)
    return [
        {"name": name, "in": "query", "schema": {"type": "string"}, "description": f"of {', '.join(names)}"}
        for name, names in used.items()
    ]


@router.get("")
async def list_demos() -> DemosBody:
    """List the demos of the tensor lab, with what can be changed in each and how far."""
    described = [_body(demo) for demo in demos()]
    return DemosBody(demos=described, devices=list(devices()), torch=str(torch.__version__))


@router.get("/report", response_class=Markdown, responses=problems(503))
async def report(request: Request, service: RunningService) -> Response:
    """Run all demos with their defaults, and return them as one Markdown document."""
    runs = [await _run(request, service, demo, {}) for demo in DEMOS]
    return Markdown(to_markdown(runs))


@router.get("/{demo}", responses=problems(404, 422, 503), openapi_extra={"parameters": _query_parameters()})
async def run(demo: str, request: Request, service: RunningService) -> DemoRunBody:
    """Run a demo, and return it step by step: the code that ran, what it printed, and every tensor that it names.

    GET /tensors lists the demos, and the query parameters of each with their bounds; what is left out has its
    default. The code is what ran: in a Python of your own it prints the same. Tensors with the same `memory` look
    at the same bytes, which is found out by pointer. Values of uninitialised memory, and of more than 256
    elements, are null, with a note. One demo runs at a time; who would wait long gets 503 with Retry-After.
    """
    if demo not in DEMOS:
        raise HTTPException(404, f"There is no demo {demo[:40]!r}. There are: {', '.join(DEMOS)}.")
    values = read_values(demo, request.query_params.multi_items(), devices())
    return DemoRunBody.model_validate(asdict(await _run(request, service, demo, values)))


async def _run(request: Request, service: Service, demo: str, values: Mapping[str, Value]) -> DemoRun:
    turns: Turns = request.app.state.turns
    served = Served(service.settings.checkpoint.name, service.model.checkpoint) if demo == ANATOMY else None
    return await turns.run(partial(run_demo, demo, values, served))


def _body(demo: Demo) -> DemoBody:
    parameters = [
        DemoParameterBody(
            name=name,
            kind=parameter.kind,
            default=demo.defaults[name],
            minimum=parameter.minimum,
            maximum=parameter.maximum,
            choices=None if parameter.choices is None else list(parameter.choices),
            help=parameter.help,
        )
        for name, parameter in demo.parameters.items()
    ]
    return DemoBody(name=demo.name, title=demo.title, summary=demo.summary, parameters=parameters)
