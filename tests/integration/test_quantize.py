"""From training to bytes: `quantize`, and what evaluates, exports, explains and serves its file."""

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from rich.console import Console

from app.engines import open_engine
from app.main import create_app
from app.settings import Settings
from models.calibration import Calibration
from models.checkpoint import load
from models.graph import answer
from models.networks.layers import Convolution
from tests.drawing import encode
from training.cli import run
from training.data.rereading import read_as_trained
from training.quantization import measure_ranges

pytestmark = pytest.mark.usefixtures("_one_thread")
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="no OpenVINO here")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coloured grain in three colours, 16 × 16: 1,200 pictures to learn from, and 300 to measure on."""
    random = np.random.default_rng(0)
    targets = (np.arange(1_500) % 3).astype(np.uint8)
    colours = np.array([[170, 90, 80], [80, 160, 90], [80, 100, 180]])[targets]
    grain = colours[:, None, None, :] + random.normal(0, 60, (1_500, 16, 16, 3))
    images = np.clip(grain, 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "colours.npz"
    np.savez(
        path,
        x_train=images[:1_200],
        y_train=targets[:1_200],
        x_test=images[1_200:],
        y_test=targets[1_200:],
        labels=["red", "green", "blue"],
    )
    return path


@pytest.fixture(scope="module", params=["fast", "accurate"])
def trained(archive: Path, request: pytest.FixtureRequest) -> Path:
    """What `train` makes of them."""
    out = archive.parent / f"{request.param}.safetensors"
    options = ["--data", str(archive), "--out", str(out), "--device", "cpu", "--epochs", "2"]
    assert run(["train", "--recipe", request.param, *options]) == 0
    return out


@pytest.fixture(scope="module")
def quantized(trained: Path, archive: Path) -> Path:
    """What `quantize` makes of that."""
    out = trained.with_suffix(".bytes.safetensors")
    assert run(["quantize", str(trained), "--data", str(archive), "--out", str(out), "--device", "cpu"]) == 0
    return out


def test_it_is_nearly_as_good_and_calibrated_anew(trained: Path, quantized: Path) -> None:
    """The record tells the same training; accuracy, calibration and golden answers are its own."""
    before, after = load(trained), load(quantized)
    configuration = dict(after.record.training.configuration)
    assert configuration.pop("quantized")["from"] == before.digest
    assert replace(after.record.training, configuration=configuration) == before.record.training
    assert after.record.architecture.arguments["input_ranges"]
    for view, accuracy in before.record.metrics.accuracy.items():
        assert after.record.metrics.accuracy[view] == pytest.approx(accuracy, abs=0.02)
    assert after.record.calibration.held_out is not None
    assert after.record.calibration.held_out != before.record.calibration.held_out
    assert not np.array_equal(after.golden_probabilities, before.golden_probabilities)


def test_its_ranges_are_those_of_pictures_that_were_learnt(trained: Path, quantized: Path, archive: Path) -> None:
    """The test part has no say in what the network computes."""
    before, after = load(trained), load(quantized)
    learnt = read_as_trained(str(archive), before.record, cache=archive.parent, report=lambda _: None).train
    convolutions = [module for module in before.network.modules() if isinstance(module, Convolution)]
    ranges = measure_ranges(before.network, convolutions, learnt.images, console=Console(quiet=True))
    stored = after.record.architecture.arguments["input_ranges"]
    assert np.asarray(stored) == pytest.approx(np.array(ranges), rel=1e-6)


@needs_openvino
def test_openvino_multiplies_bytes_and_answers_the_same(quantized: Path, archive: Path) -> None:
    """Where the processor adds up products of bytes in 32 bits; the same labels of 99 in 100 pictures at least."""
    from app.engines import openvino_cpu

    loaded = load(quantized)
    engine = open_engine(loaded, engine="openvino", device="cpu", threads=1, max_batch_size=16)
    assert engine.dtype == ("int8" if openvino_cpu.multiplies_bytes() else "float32")
    with np.load(archive) as stored:
        images = stored["x_test"]
    got = np.concatenate([engine.answer(images[at : at + 16]) for at in range(0, len(images), 16)])[:, :3]
    expected = answer(loaded.graph, images)[:, :3]
    assert np.abs(got - expected).max() < 0.05
    assert (got.argmax(1) == expected.argmax(1)).mean() >= 0.99


@needs_openvino
def test_without_byte_instructions_it_is_float32(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There OpenVINO would add up in 16 bits, and overflow; the golden answers are the same."""
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)  # as `open_engine` does
    from app.engines.openvino_cpu import OpenVinoEngine, multiplies_bytes

    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : avx2 avx512f\n")
    for path in (cpuinfo, tmp_path / "none"):
        assert not multiplies_bytes(path)
        loaded = load(quantized)
        engine = OpenVinoEngine(loaded, threads=1, max_batch_size=8, cpuinfo=path)
        assert engine.dtype == "float32"
        loaded.check_golden(engine.answer(loaded.golden_images), tolerance=engine.tolerance)
    cpuinfo.write_text("flags : avx2 avx512_vnni\n")
    assert multiplies_bytes(cpuinfo)


def test_it_is_evaluated_served_and_explained(
    quantized: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`evaluate` finds the accuracy of the record; the service answers, and explains through the rounding."""
    assert run(["evaluate", str(quantized), "--data", str(archive), "--device", "cpu"]) == 0
    accuracy = load(quantized).record.metrics.accuracy["single_view"]
    assert f"{100 * accuracy:.2f} %" in capsys.readouterr().out
    picture = encode(Image.new("RGB", (40, 40), (200, 60, 60)))
    with TestClient(create_app(Settings(checkpoint=quantized, engine="torch", device="cpu"))) as client:
        assert client.post("/predict", files={"file": picture}).json()["predictions"][0]["label"] == "red"
        explained = client.post("/explain", files={"file": picture})
    assert explained.status_code == 200


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="no onnxruntime here")
def test_it_is_exported_with_its_rounding(quantized: Path, tmp_path: Path) -> None:
    """Onnxruntime gives the golden answers, of which the command makes sure itself."""
    assert run(["export", str(quantized), "--out", str(tmp_path / "bytes.onnx")]) == 0


def test_where_nothing_was_held_out_it_is_not_calibrated(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so, and the file never abstains."""
    plain, out = tmp_path / "plain.safetensors", tmp_path / "out.safetensors"
    options = ["--data", str(archive), "--out", str(plain), "--device", "cpu", "--epochs", "1", "--held-out", "0"]
    assert run(["train", "--recipe", "fast", *options]) == 0
    capsys.readouterr()
    assert run(["quantize", str(plain), "--data", str(archive), "--out", str(out), "--device", "cpu"]) == 0
    assert "Not calibrated: 0 pictures were held out" in capsys.readouterr().err
    assert load(out).record.calibration == Calibration()


def test_quantize_refuses_what_it_cannot_do(
    quantized: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice, and over itself: a sentence each, and nothing is written."""
    before = quantized.read_bytes()
    assert run(["quantize", str(quantized), "--data", str(archive), "--out", str(quantized)]) == 1
    assert "name another file" in capsys.readouterr().err
    assert quantized.read_bytes() == before
    out = tmp_path / "out.safetensors"
    assert run(["quantize", str(quantized), "--data", str(archive), "--out", str(out)]) == 1
    assert "quantized already" in capsys.readouterr().err
    assert not out.exists()
