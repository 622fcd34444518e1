"""GET /tensors and below: the tensor lab, run live."""

from dataclasses import asdict
from typing import Annotated, Any

import torch
from fastapi import APIRouter, Depends, Request, Response

from app.errors import ParameterError, UnknownDemoError
from app.lifespan import running_service
from app.routes.dependencies import RunningService
from app.routes.openapi import problems
from app.schemas import DemoBody, DemoParameterBody, DemoRunBody, DemosBody
from app.service import Service
from app.tensors.catalogue import DEMOS, read_values
from app.tensors.lab import Demo, Lab, Served, demos, run_demo
from app.tensors.report import to_markdown
from app.wire.headers import shortened

router = APIRouter(prefix="/tensors", tags=["tensors"])


async def _lab(request: Request) -> Lab:
    running_service(request.scope)
    lab: Lab = request.app.state.lab
    return lab


OpenLab = Annotated[Lab, Depends(_lab)]


class Markdown(Response):
    """An answer in Markdown."""

    media_type = "text/markdown"


def _query_parameters() -> list[dict[str, Any]]:
    """Describe the demos' parameters for the OpenAPI page, each name once; GET /tensors tells what each allows."""
    used: dict[str, list[str]] = {}
    for demo, parameters in DEMOS.items():
        for name in parameters:
            used.setdefault(name, []).append(demo)
    return [
        {"name": name, "in": "query", "schema": {"type": "string"}, "description": f"of {', '.join(names)}"}
        for name, names in used.items()
    ]


@router.head("", include_in_schema=False)
@router.get("", responses=problems(422, 503))
async def list_demos(request: Request, lab: OpenLab) -> DemosBody:
    """List the demos of the tensor lab, with what can be changed in each and how far."""
    _refuse_parameters(request)
    described = [_body(demo) for demo in demos(lab.devices)]
    return DemosBody(demos=described, devices=list(lab.devices.available), torch=str(torch.__version__))


@router.head("/report", include_in_schema=False)
@router.get("/report", response_class=Markdown, responses=problems(422, 503))
async def report(request: Request, service: RunningService, lab: OpenLab) -> Response:
    """Run all demos with their defaults, and return them as one Markdown document."""
    _refuse_parameters(request)
    served = _served(service)

    def work() -> str:
        return to_markdown(run_demo(demo, {}, served, lab.devices) for demo in DEMOS)

    return Markdown(await lab.turns.run(work))


@router.head("/{demo}", include_in_schema=False)
@router.get(
    "/{demo}",
    response_model=DemoRunBody,
    responses=problems(404, 422, 503),
    openapi_extra={"parameters": _query_parameters()},
)
async def run(demo: str, request: Request, service: RunningService, lab: OpenLab) -> Response:
    """Run a demo, and return it step by step: the code that ran, what it printed, and every tensor that it names.

    GET /tensors lists the demos, and the query parameters of each with their bounds; what is left out has its
    default. The code is what ran: in a Python of your own it prints the same. Tensors with the same `memory` look
    at the same bytes, which is found out by pointer. Values of uninitialised memory, and of more than 256
    elements, are null, with a note. One demo runs at a time; who would wait long gets 503 with Retry-After.
    """
    if demo not in DEMOS:
        raise UnknownDemoError(f"There is no demo {shortened(demo)}. There are: {', '.join(DEMOS)}.")
    values = read_values(demo, request.query_params.multi_items(), lab.devices.available)
    served = _served(service)

    def work() -> str:
        ran = asdict(run_demo(demo, values, served, lab.devices))
        return DemoRunBody.model_validate(ran).model_dump_json(by_alias=True)

    return Response(await lab.turns.run(work), media_type="application/json")


def _served(service: Service) -> Served:
    return Served(service.settings.checkpoint.name, service.model.checkpoint)


def _refuse_parameters(request: Request) -> None:
    for name in request.query_params:
        raise ParameterError(f"{request.url.path} has no parameters, and {shortened(name)} came. Leave it out.")


def _body(demo: Demo) -> DemoBody:
    parameters = [
        DemoParameterBody(
            name=name,
            kind=parameter.kind,
            default=demo.defaults[name],
            minimum=parameter.minimum,
            maximum=parameter.maximum,
            step=parameter.step,
            choices=None if parameter.choices is None else list(parameter.choices),
            help=parameter.help,
        )
        for name, parameter in demo.parameters.items()
    ]
    return DemoBody(name=demo.name, title=demo.title, summary=demo.summary, parameters=parameters)
