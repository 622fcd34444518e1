"""A checkpoint as ONNX, through the real command and onnxruntime."""

import json
from pathlib import Path

import numpy as np
import pytest

from models import golden
from models.checkpoint import CHECKPOINTS, load
from models.errors import HeaderError
from models.graph import answer
from training.cli import run
from training.errors import ExportError
from training.export import OPSET, export_onnx

onnx = pytest.importorskip("onnx", reason="the extra glimpse[export] is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra glimpse[export] is not installed")


@pytest.fixture
def exported(trained_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The file that the command wrote."""
    out = tmp_path / "new" / "tiny.onnx"
    assert run(["export", str(trained_checkpoint), "--format", "onnx", "--out", str(out)]) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    return out


def test_the_file_answers_as_the_checkpoint_does(exported: Path, trained_checkpoint: Path) -> None:
    """Any batch size, raw pixels in, the checkpoint's probabilities out; who made it stands in its metadata."""
    checkpoint = load(trained_checkpoint)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    for count in (1, 2, 5, 17):
        images = golden.draw(32, 32, count)
        (answers,) = session.run(None, {"images": images})
        assert answers.shape == (count, 3)
        np.testing.assert_allclose(answers, answer(checkpoint.graph, images), atol=1e-5)
        np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
    notes = session.get_modelmeta().custom_metadata_map
    assert json.loads(notes["labels"]) == list(checkpoint.record.labels)
    assert notes["digest"] == checkpoint.digest
    assert notes["name"] == "tiny"
    assert json.loads(notes["input"])["mean"] == [0.5, 0.5, 0.5]
    assert json.loads(notes["abstain_threshold"]) is None

    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert str(Path(__file__).parents[2]).encode() not in exported.read_bytes()  # no path of this machine


def test_the_file_is_told_from_a_checkpoint(exported: Path) -> None:
    """Who names it to a command is told what it is."""
    with pytest.raises(HeaderError, match="is an ONNX file, as `training export` writes, and no checkpoint"):
        load(exported)


@pytest.mark.parametrize("name", ["cifar10", "tutorial"])
def test_a_shipped_checkpoint_is_exported(name: str, tmp_path: Path) -> None:
    """With temperature and floor inside: onnxruntime answers what the service answers."""
    checkpoint = load(CHECKPOINTS / f"{name}.safetensors")
    out = tmp_path / f"{name}.onnx"
    assert run(["export", str(CHECKPOINTS / f"{name}.safetensors"), "--out", str(out)]) == 0
    images = golden.draw(32, 32, 17)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, {"images": images})
    expected = answer(checkpoint.graph, images)[:, : len(checkpoint.record.labels)]
    allowed = checkpoint.golden_tolerance(1e-5)
    np.testing.assert_allclose(answers, expected, rtol=0, atol=allowed)


def test_another_answer_is_not_written(
    trained_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where onnxruntime differs from the golden answers, the old file stays."""
    checkpoint = load(trained_checkpoint)
    checkpoint.golden_probabilities[2] = checkpoint.golden_probabilities[2, ::-1].copy()
    out = tmp_path / "m.onnx"
    out.write_bytes(b"yesterday's")
    with pytest.raises(ExportError, match="answers a batch of 3 otherwise than PyTorch"):
        export_onnx(checkpoint, out)
    assert out.read_bytes() == b"yesterday's"
    assert [path.name for path in tmp_path.glob("*m.onnx*")] == ["m.onnx"]


def test_a_missing_package_is_said(
    trained_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extra there is one sentence with the command that installs it."""
    monkeypatch.setattr("training.export._PACKAGES", ("onnx", "not_there_at_all"))
    assert run(["export", str(trained_checkpoint), "--out", str(tmp_path / "m.onnx")]) == 1
    assert "what is not installed: pip install not_there_at_all" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--out", "m.pt"], 1, "must end in .onnx"),
        (["--out", "m.onnx", "--format", "tflite"], 2, "tflite"),
    ],
)
def test_a_wrong_command_is_refused(
    arguments: list[str],
    code: int,
    sentence: str,
    trained_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another ending or another format is refused before anything is converted."""
    monkeypatch.chdir(tmp_path)
    assert run(["export", str(trained_checkpoint), *arguments]) == code
    assert sentence in capsys.readouterr().err
