"""A folder of 300 drawn photographs from end to end, through the real commands as processes."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from models.checkpoint import load
from models.pictures import decode
from models.preprocessing import to_images
from tests.e2e.conftest import Server
from tests.e2e.processes import ROOT
from tests.photographs import draw_folder
from training.data import read_test
from training.measuring.views import single_view

SEED = 5


def _training(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m training …` to its end; it must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "training", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three classes of 100 photographs, as people have them: a sub-folder, .JPG, a double, a broken file."""
    root = tmp_path / "pictures"
    draw_folder(root, per_class=100)
    (root / "disc" / "camera").mkdir()
    (root / "disc" / "007.jpg").rename(root / "disc" / "camera" / "IMG_007.JPG")
    shutil.copy(root / "cross" / "011.jpg", root / "cross" / "011 copy.jpg")
    (root / "triangle" / "broken.jpg").write_bytes((root / "triangle" / "000.jpg").read_bytes()[:2_000])
    return root


def test_a_folder_is_inspected_trained_evaluated_reported_and_served(
    pictures: Path, tmp_path: Path, start_server: Callable[..., Server]
) -> None:
    """Everything odd is named, nine of ten are right, and the service says what the evaluation counted."""
    cache, out = ("--cache", tmp_path / "cache"), tmp_path / "shapes.safetensors"
    data = ("--data", pictures, *cache)

    found = json.loads(_training("inspect", *data, "--seed", SEED, "--json").stdout)
    assert {label: sum(parts.values()) for label, parts in found["counts"].items()} == {
        "cross": 101,
        "disc": 100,
        "triangle": 100,
    }
    assert [item["file"] for item in found["unreadable"]] == ["triangle/broken.jpg"]
    (double,) = found["copies"]
    assert (double["kind"], double["files"]) == ("equal", ["cross/011 copy.jpg", "cross/011.jpg"])
    assert not double["is_leak"]

    run = tmp_path / "run"
    to = ("--out", out, "--run", run)
    trained = _training("train", "--recipe", "fast", *data, *to, "--seed", SEED, "--epochs", 18, "--device", "cpu")
    assert json.loads((run / "data.json").read_text()) == found
    assert (run / "label_mistakes.json").exists()
    assert "decoded pictures are in" in trained.stderr  # those of inspect
    assert "broken.jpg" in trained.stderr
    assert "Calibrated on 24 held-out pictures, which is few: temperature" in trained.stderr
    measured = json.loads(_training("evaluate", out, *data, "--device", "cpu", "--json").stdout)
    assert measured["n"] == 60
    assert measured["accuracy"]["single_view"] >= 0.9
    assert f"{100 * measured['accuracy']['single_view']:.2f} % (single view)" in trained.stdout

    _training("report", out, *data, "--out", tmp_path / "report", "--corruption-pictures", 0, "--device", "cpu")
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "pictures, the test part of its training: 60 pictures of 3 classes" in page
    assert "Labels that may be wrong" in page

    record = load(out).record
    assert (record.input.height, record.input.width) == (64, 64)
    _, held_out = read_test(str(pictures), record, cache=tmp_path / "cache", report=lambda _sentence: None)
    server = start_server("--checkpoint", str(out))
    confusion = np.zeros((3, 3), int)
    with httpx.Client(base_url=server.url) as client:
        for file, target in zip(held_out.files, held_out.targets.tolist(), strict=True):
            answer = client.post("/predict", files={"file": (pictures / file).read_bytes()}).json()
            confusion[target, answer["predictions"][0]["class_index"]] += 1
    assert confusion.tolist() == measured["confusion_matrix"]

    image = to_images([decode((pictures / file).read_bytes(), at_least=(64, 64))], record.input)
    assert torch.equal(torch.from_numpy(image[0]), held_out.images[-1])
    (expected,) = single_view(load(out).network, torch.from_numpy(image))
    scores = {item["class_index"]: item["score"] for item in answer["predictions"]}
    # bfloat16; what is sharpened has its rounding sharpened too, as the service allows for (models/checkpoint.py)
    allowed = 0.02 / min(1, record.calibration.temperature)
    assert [scores[place] for place in range(3)] == pytest.approx(expected.tolist(), abs=allowed)
    assert server.stop(signal.SIGTERM) == 0
