"""The tensor lab over HTTP: what is shown is what runs, and what is wrong is told."""

import ast
import asyncio
import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from torch.utils.flop_counter import FlopCounterMode

from app.lifespan import lifespan
from app.main import create_app
from app.settings import Settings
from app.tensors.catalogue import DEMOS, Devices
from app.tensors.lab import DemoRun, Served, run_demo
from app.tensors.turns import Turns
from models import checkpoint
from models.networks import ARCHITECTURES, Architecture, build
from models.record import Record
from tests.integration.conftest import ADMIN_KEY

ROOT = Path(__file__).parents[2]
EXAMPLES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "creation": ({}, {"rows": 16, "columns": 1, "dtype": "bfloat16", "seed": 7}),
    "arithmetic": ({}, {"rows": 1, "columns": 16, "dtype": "float16", "seed": 9999}),
    "reshaping": ({}, {"rows": 16, "columns": 16, "dtype": "uint8"}),
    "numpy-bridge": ({}, {"rows": 1, "dtype": "int64"}),
    "dynamic-graph": ({}, {"size": 8, "target": 1000, "most_steps": 12, "seed": 3}),
    "devices": ({}, {"largest": 100, "repeats": 1, "dtype": "float64", "seed": 1}),
    "anatomy": ({}, {"picture": 7}),
}
RUNS = [(demo, values) for demo, examples in EXAMPLES.items() for values in examples]


def _get(client: TestClient, path: str, **query: Any) -> dict[str, Any]:
    response = client.get(path, params=query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize(("demo", "values"), RUNS)
def test_the_code_shown_prints_the_output_shown(
    client: TestClient, checkpoint_path: Path, demo: str, values: Mapping[str, Any]
) -> None:
    """A fresh interpreter, in the folder of the checkpoint, prints the same to the last character."""
    answer = _get(client, f"/tensors/{demo}", **values)
    fresh = subprocess.run(
        [sys.executable, "-W", "error", "-c", answer["code"]],
        capture_output=True,
        encoding="utf-8",
        check=True,
        cwd=checkpoint_path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert "".join(step["output"] for step in answer["steps"]) == fresh.stdout
    assert fresh.stdout
    whole = ast.parse(answer["code"])
    del whole.body[0]  # the docstring
    assert ast.dump(ast.parse("\n".join(step["code"] for step in answer["steps"]))) == ast.dump(whole)
    assert values.items() <= answer["parameters"].items()


def test_every_demo_has_examples() -> None:
    """The test above leaves none out."""
    assert list(EXAMPLES) == list(DEMOS)


def test_the_list_is_what_the_table_says(client: TestClient) -> None:
    """Names in order, with everything that a page needs to draw a form."""
    body = _get(client, "/tensors")
    assert [demo["name"] for demo in body["demos"]] == list(DEMOS)
    assert (body["devices"], body["torch"]) == (["cpu"], torch.__version__)
    assert body["demos"][0]["parameters"][0] == {
        "name": "rows",
        "kind": "integer",
        "default": 5,
        "minimum": 1,
        "maximum": 16,
        "step": 1,
        "choices": None,
        "help": "rows of each tensor",
    }
    assert body["demos"][0]["parameters"][2]["choices"] == ["float32", "float64", "float16", "bfloat16"]
    assert body["demos"][4]["parameters"][1] == {
        "name": "target",
        "kind": "number",
        "default": 4.0,
        "minimum": 0.1,
        "maximum": 1000.0,
        "step": None,
        "choices": None,
        "help": "the length until which the loop goes on",
    }


@pytest.mark.parametrize("demo", DEMOS)
def test_both_ends_of_every_parameter_run(client: TestClient, demo: str) -> None:
    """What the list allows is answered, at its least and at its most."""
    parameters = next(d for d in _get(client, "/tensors")["demos"] if d["name"] == demo)["parameters"]
    for end in (0, -1):
        query = {
            parameter["name"]: (parameter["choices"] or (parameter["minimum"], parameter["maximum"]))[end]
            for parameter in parameters
        }
        answer = _get(client, f"/tensors/{demo}", **query)
        assert answer["parameters"] == query


def test_an_answer_has_the_agreed_shape(client: TestClient) -> None:
    """Steps, tensors and graph by the names of docs/api.md."""
    answer = _get(client, "/tensors/dynamic-graph")
    assert set(answer) == {"demo", "title", "summary", "parameters", "torch", "duration_ms", "code", "steps"}
    for step in answer["steps"]:
        assert set(step) == {"title", "explanation", "code", "output", "duration_ms", "tensors", "graph"}
        for tensor in step["tensors"]:
            assert set(tensor) == {
                "name",
                "kind",
                "shape",
                "dtype",
                "device",
                "strides",
                "values",
                "note",
                "memory",
                "shares_memory_with",
                "requires_grad",
            }
    graph = next(step["graph"] for step in answer["steps"] if step["graph"])
    ids = {node["id"] for node in graph["nodes"]}
    assert {node["kind"] for node in graph["nodes"]} == {"function", "leaf"}
    assert all(set(edge) == {"from", "to"} and set(edge.values()) <= ids for edge in graph["edges"])
    assert not any(edge["from"] == "n0" for edge in graph["edges"])


def test_no_path_of_the_server_leaves(client: TestClient, checkpoint_path: Path) -> None:
    """The checkpoint is shown by its file's name."""
    text = client.get("/tensors/anatomy").text
    assert 'load(Path(\\"tiny.safetensors\\"))' in text
    assert str(checkpoint_path.parent) not in text
    assert str(checkpoint_path.parent) not in client.get("/tensors/report").text


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_anatomy_counts_what_pytorch_counts(settings: Settings, record: Record, tmp_path: Path, name: str) -> None:
    """For every network: a row for each layer, and the parameters and operations that PyTorch counts itself."""
    arguments = {} if name == "tutorial" else {"widths": [8, 12, 16]}
    its_record = dataclasses.replace(record, architecture=Architecture(name, arguments))
    network = build(its_record.architecture, classes=len(record.labels), spec=record.input)
    path = tmp_path / f"{name}.safetensors"
    checkpoint.save(path, network, its_record)
    with TestClient(create_app(settings.model_copy(update={"checkpoint": path}))) as client:
        answer = _get(client, "/tensors/anatomy")
    tensors = {tensor["name"]: tensor for step in answer["steps"] for tensor in step["tensors"]}
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert sum(tensors["flops"]["values"]) == counter.get_total_flops()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    outputs = {step["title"]: step["output"] for step in answer["steps"]}
    assert outputs["Parameters"].splitlines()[-1].split() == ["in", "all", f"{parameters:,}"]
    layers = {module for module, child in network.named_modules() if not list(child.children())}
    assert {line.split()[0] for line in outputs["Layer by layer"].splitlines()} == layers


def test_looking_at_the_network_leaves_it_alone(client: TestClient) -> None:
    """It is a copy that runs; no hook stays, and pictures are answered as before."""
    app: Any = client.app
    served = app.state.service.model.checkpoint
    network, ran = served.network, []
    hook = network.register_forward_hook(lambda module, *_: ran.append(module))  # a copy has it, too
    _get(client, "/tensors/anatomy")
    assert network not in ran
    with torch.inference_mode():
        network(torch.from_numpy(served.golden_images[:1]))
    assert network in ran
    hook.remove()
    assert not any(module._forward_hooks for module in network.modules())
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("rows=0", "The parameter rows is '0'; allowed is a whole number from 1 to 16."),
        ("rows=4&rows=4", "The parameter rows came more than once. Send it once."),
        ("shape=4", "The demo creation has no parameter 'shape'; it has rows, columns, dtype, seed, device."),
        ("dtype=torch.float32", "The parameter dtype is 'torch.float32'; allowed is one of float32, "),
        ("rows=", "The parameter rows is ''; allowed is a whole number from 1 to 16."),
        ("device=cuda", "The parameter device is 'cuda'; allowed is one of cpu. There is no CUDA device here, or"),
        ("device=cpu%22);print(1", "The parameter device is 'cpu\");print(1'; allowed is one of cpu"),
    ],
)
def test_a_bad_parameter_is_a_sentence(client: TestClient, query: str, sentence: str) -> None:
    """422 with the stable code, what came in and what is allowed."""
    response = client.get(f"/tensors/creation?{query}")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_parameter")
    assert response.json()["detail"].startswith(sentence)


@pytest.mark.parametrize("path", ["/tensors", "/tensors/report"])
def test_what_has_no_parameters_refuses_them(client: TestClient, path: str) -> None:
    """As a demo does: a mistyped address is told, not ignored."""
    response = client.get(f"{path}?rows=4")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_parameter")
    assert response.json()["detail"] == f"{path} has no parameters, and 'rows' came. Leave it out."


def test_the_service_on_the_cpu_leaves_a_gpu_alone(client: TestClient) -> None:
    """The operator's choice of a device is the lab's, too, and the code says what ran."""
    answer = _get(client, "/tensors/devices", largest=32)
    assert "use_cuda = False" in answer["code"]
    assert _get(client, "/tensors/creation")["parameters"]["device"] == "cpu"


def test_a_reload_during_a_run_changes_nothing_for_it(
    client: TestClient, checkpoint_path: Path, network: torch.nn.Module, record: Record
) -> None:
    """It ends with the checkpoint that it began with, and the next one has the new checkpoint."""
    app: Any = client.app
    began, may_end = threading.Event(), threading.Event()
    served = Served(checkpoint_path.name, app.state.service.model.checkpoint)

    def work() -> DemoRun:
        began.set()
        assert may_end.wait(timeout=20)
        return run_demo("anatomy", {}, served)

    assert client.portal is not None
    running = client.portal.start_task_soon(app.state.lab.turns.run, work)
    try:
        assert began.wait(timeout=20)
        checkpoint.save(checkpoint_path, network, dataclasses.replace(record, name="other"))
        key = {"Authorization": f"Bearer {ADMIN_KEY.get_secret_value()}"}
        assert client.post("/model/reload", headers=key).status_code == 200
    finally:
        may_end.set()
    assert running.result(timeout=20).steps[0].output.startswith("tiny · ")
    assert _get(client, "/tensors/anatomy")["steps"][0]["output"].startswith("other · ")


def test_a_shutdown_waits_for_the_run_in_progress(settings: Settings) -> None:
    """The run gets its answer, and its thread ends with the application."""

    async def scenario() -> None:
        began, may_end = threading.Event(), threading.Event()

        def work() -> threading.Thread:
            began.set()
            assert may_end.wait(timeout=20)
            return threading.current_thread()

        app = create_app(settings)
        async with lifespan(settings, None)(app):
            running = asyncio.create_task(app.state.lab.turns.run(work))
            assert await asyncio.to_thread(began.wait, 20)
            asyncio.get_running_loop().call_later(
                0.2, may_end.set
            )  # a shutdown that does not wait is over by then
        assert running.done()
        thread = await running
        assert not thread.is_alive()

    asyncio.run(scenario())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("demo", [demo for demo, parameters in DEMOS.items() if "device" in parameters])
def test_on_cuda_too_the_code_shown_prints_the_output_shown(demo: str) -> None:
    """With the device of the service as the default."""
    ran = run_demo(demo, {}, None, Devices("cuda", ("cpu", "cuda")))
    assert 'device = "cuda"' in ran.code
    fresh = subprocess.run([sys.executable, "-c", ran.code], capture_output=True, encoding="utf-8", check=True)
    assert "".join(step.output for step in ran.steps) == fresh.stdout


@pytest.mark.parametrize("demo", ["numpy_bridge", "Creation", "..%2Fdemos", "x" * 300])
def test_an_unknown_demo_is_told_what_there_is(client: TestClient, demo: str) -> None:
    """404 in the one shape, with all names, and no more of a long name than is needed."""
    response = client.get(f"/tensors/{demo}")
    assert (response.status_code, response.json()["code"]) in {(404, "unknown_demo"), (404, "not_found")}
    detail = response.json()["detail"]
    assert len(detail) < 250
    if "%2F" not in demo:
        assert detail.endswith(f"There are: {', '.join(DEMOS)}.")


def test_the_report_has_every_demo(client: TestClient) -> None:
    """As one Markdown document."""
    response = client.get("/tensors/report")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/markdown; charset=utf-8")
    for demo in _get(client, "/tensors")["demos"]:
        assert f"\n## {demo['title']}\n" in response.text


def test_a_busy_lab_sends_away(client: TestClient) -> None:
    """503 with Retry-After; pictures and the list are answered meanwhile."""
    app: Any = client.app
    turns = Turns(max_wait_s=0.02)
    app.state.lab = app.state.lab._replace(turns=turns)
    began, may_end = threading.Event(), threading.Event()

    def busy() -> None:
        began.set()
        assert may_end.wait(timeout=20)

    assert client.portal is not None
    running = client.portal.start_task_soon(turns.run, busy)
    try:
        assert began.wait(timeout=20)
        response = client.get("/tensors/creation")
        assert (response.status_code, response.json()["code"]) == (503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
        assert client.get("/tensors").status_code == 200
        assert client.get("/health/ready").status_code == 200
    finally:
        may_end.set()
    running.result(timeout=20)
    assert client.get("/tensors/creation").status_code == 200


def test_the_openapi_page_names_every_parameter(client: TestClient) -> None:
    """Once each, with the demos that have it."""
    operation = client.get("/openapi.json").json()["paths"]["/tensors/{demo}"]["get"]
    shown = [parameter["name"] for parameter in operation["parameters"]]
    assert shown == ["demo", *dict.fromkeys(name for parameters in DEMOS.values() for name in parameters)]
    assert list(operation["responses"]["404"]["content"]) == ["application/problem+json"]


def test_before_the_start_nothing_runs(settings: Settings) -> None:
    """503, as everywhere."""
    client = TestClient(create_app(settings))
    assert client.get("/tensors/creation").status_code == 503
    assert client.get("/tensors/report").status_code == 503
