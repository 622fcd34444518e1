"""Only what the table allows gets in, and a refusal says what came and what is allowed."""

from typing import Literal

import pytest
import torch

from app.errors import ParameterError
from app.settings import Settings
from app.tensors import scripts
from app.tensors.catalogue import (
    CPU,
    DEMOS,
    Choice,
    Integer,
    Number,
    Parameter,
    devices_of,
    parameters_of,
    read_values,
)

CPU_ALONE = ("cpu",)
CUDA = ("cpu", "cuda")
ROWS = [(demo, name) for demo, parameters in DEMOS.items() for name in parameters]


def test_the_demos_are_those_of_the_contract() -> None:
    """In the order in which a learner meets them."""
    assert list(DEMOS) == [
        "creation",
        "arithmetic",
        "reshaping",
        "numpy-bridge",
        "dynamic-graph",
        "devices",
        "anatomy",
    ]


@pytest.mark.parametrize(("demo", "name"), ROWS)
def test_a_default_stands_in_the_script_and_is_allowed(demo: str, name: str) -> None:
    """What the file says is what its own row allows, and writing it back changes nothing."""
    parameter = DEMOS[demo][name]
    written = scripts.assigned(scripts.read(demo))[name]
    default = parameter.from_source(written)
    assert default is not None
    script = scripts.replaced(scripts.read(demo), {name: parameter.to_source(default)})
    assert script == scripts.read(demo)


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("16", 16), ("007", 7), ("0", None), ("17", None), ("-1", None)]
)
def test_bounds_of_whole_numbers_are_included(text: str, value: int | None) -> None:
    """From minimum to maximum."""
    assert Integer("", 1, 16).read(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " 4", "4\n", "4.0", "1e1", "0x4", "1_0", "٤", "+4", "4" * 5_000, "__import__('os')", "nan", "True"],
)
def test_other_texts_are_no_whole_numbers(text: str) -> None:
    """Python's int() reads more than a caller should send."""
    assert Integer("", 0, 99).read(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("0.1", 0.1), ("4", 4.0), ("1000", 1000.0), (".5", 0.5), ("5.", 5.0), ("1e2", 100.0)],
        ("0.30000000000000004", 0.30000000000000004),
        *[(text, None) for text in ("0.09", "nan", "inf", "1e999", "1_0", " 4", "٤", ".", "e1", "9" * 5_000)],
    ],
)
def test_numbers_have_bounds_too(text: str, value: float | None) -> None:
    """What is no decimal number is none at all."""
    assert Number("", 0.1, 1000.0).read(text) == value


def test_a_word_is_the_tables_own() -> None:
    """What goes on into the code is the object of the table, not the text that came in."""
    parameter = Choice("", ("float32", "float64"), "torch.{}")
    sent = "".join(["float", "64"])
    value = parameter.read(sent)
    assert value is parameter.choices[1]
    assert value is not sent
    assert parameter.to_source(value) == "torch.float64"
    assert parameter.read("Float64") is None


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ([("rows", "99")], r"The parameter rows is '99'; allowed is a whole number from 1 to 16\.$"),
        ([("rows", "five")], r"The parameter rows is 'five'; allowed is a whole number from 1 to 16\.$"),
        ([("rows", "4"), ("rows", "5")], r"The parameter rows came more than once\. Send it once\.$"),
        (
            [("row", "4")],
            r"The demo creation has no parameter 'row'; it has rows, columns, dtype, seed, device\.$",
        ),
        (
            [("dtype", "int8")],
            r"The parameter dtype is 'int8'; allowed is one of float32, float64, float16, bfloat16",
        ),
        ([("device", "cuda")], r"is 'cuda'; allowed is one of cpu\. There is no CUDA device here, or"),
        ([("device", "tpu")], r"is 'tpu'; allowed is one of cpu\.$"),
        ([("rows", "9" * 5_000)], r"The parameter rows is '9{40}…'; allowed"),
        ([("x" * 5_000, "1")], r"has no parameter 'x{40}…'; it has"),
    ],
)
def test_a_refusal_says_what_came_and_what_is_allowed(sent: list[tuple[str, str]], sentence: str) -> None:
    """One sentence, with no more of the caller's text than a reader needs."""
    with pytest.raises(ParameterError, match=sentence):
        read_values("creation", sent, CPU_ALONE)


def test_what_is_allowed_comes_out_as_values() -> None:
    """Numbers as numbers, words as words."""
    sent = [("rows", "4"), ("dtype", "float64"), ("device", "cuda")]
    assert read_values("creation", sent, CUDA) == {"rows": 4, "dtype": "float64", "device": "cuda"}
    assert read_values("dynamic-graph", [("target", "2.5")], CPU_ALONE) == {"target": 2.5}
    assert read_values("anatomy", [], CPU_ALONE) == {}


@pytest.mark.parametrize("available", [CPU_ALONE, CUDA])
def test_only_devices_that_are_there_are_offered(available: tuple[str, ...]) -> None:
    """A page that shows the choices offers nothing that would be refused."""
    offered: dict[str, Parameter] = parameters_of("creation", available)
    assert offered["device"].choices == available
    assert offered["dtype"] == DEMOS["creation"]["dtype"]


def test_a_step_leaves_numbers_between_out() -> None:
    """From the lower bound on, and the sentence says so."""
    assert read_values("reshaping", [("rows", "6")], ("cpu",)) == {"rows": 6}
    with pytest.raises(ParameterError, match=r"'5'; allowed is a whole number from 2 to 16 in steps of 2\."):
        read_values("reshaping", [("rows", "5")], ("cpu",))


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_whoever_chose_the_cpu_has_no_other_device(engine: Literal["auto", "openvino"]) -> None:
    """No driver is even asked."""
    assert devices_of(Settings(device="cpu", engine=engine)) is CPU


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize(("engine", "own"), [("auto", "cuda"), ("torch", "cuda"), ("openvino", "cpu")])
def test_the_default_is_the_device_of_the_service(
    engine: Literal["auto", "torch", "openvino"],
    device: Literal["auto", "cuda"],
    own: str,
    is_there: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenVINO runs on the CPU, and leaves the GPU to whoever asks for it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    expected = (own, ("cpu", "cuda")) if is_there else CPU
    assert devices_of(Settings(device=device, engine=engine)) == expected
