"""`python -m training predict`: files in, labels out, as the service answers them."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from models.checkpoint import CHECKPOINTS, load, save
from tests.drawing import encode, gradient, solid
from training.cli import run
from training.predict import predict


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with two pictures, one of them below another folder, beside what is none."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    (folder / "a.png").write_bytes(encode(gradient()))
    (folder / "more" / "b.jpg").write_bytes(encode(solid("red", 640), "JPEG"))
    (folder / ".hidden.png").write_bytes(encode(solid("blue")))
    return folder


def _predict(*arguments: object) -> int:
    return run(["predict", "--device", "cpu", *map(str, arguments)])


def test_answers_are_those_of_the_service(
    trained_checkpoint: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels, scores, `abstain` and `image` are those that `POST /predict` of the engine torch gives."""
    files = [pictures / "a.png", pictures / "more" / "b.jpg"]
    assert _predict(trained_checkpoint, pictures, "--top-k", "2", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    settings = Settings(checkpoint=trained_checkpoint, device="cpu", engine="torch")
    with TestClient(create_app(settings)) as client:
        served = [client.post("/predict?top_k=2", files={"file": file.read_bytes()}).json() for file in files]
    for line, file, answer in zip(lines, files, served, strict=True):
        assert line.pop("file") == str(file)
        for item in line["predictions"]:
            item["score"] = pytest.approx(item["score"], abs=1e-5)
        assert {key: answer[key] for key in line} == line


def test_a_bad_file_costs_its_neighbours_nothing(
    trained_checkpoint: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is none, is gone, or is a pipe, which would block, is named; the rest is answered, the code is 1."""
    (pictures / "c.txt").write_text("no picture")
    os.mkfifo(pictures / "pipe")
    status = _predict(trained_checkpoint, pictures / "gone.png", pictures / "c.txt", pictures / "pipe", pictures)
    told = capsys.readouterr()
    assert status == 1
    answered = [line.partition(": ")[0] for line in told.out.splitlines()]
    assert answered == [str(pictures / "a.png"), str(pictures / "more" / "b.jpg")]
    *refused, counted = told.err.splitlines()
    assert [line.partition(": ")[0] for line in refused] == [
        *(str(pictures / name) for name in ("gone.png", "c.txt", "pipe", "c.txt"))
    ]
    assert refused[0].endswith("It cannot be read: No such file or directory.")
    assert refused[2].endswith("It is no regular file.")
    assert counted == "4 of 6 files could not be answered."


def test_what_the_model_is_not_sure_of_is_said(
    trained_checkpoint: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a word behind the label, which is there all the same."""
    loaded = load(trained_checkpoint)
    calibration = replace(loaded.record.calibration, abstain_threshold=1.0)
    save(trained_checkpoint, loaded.network, replace(loaded.record, calibration=calibration))
    assert _predict(trained_checkpoint, pictures / "a.png") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{pictures / 'a.png'}: ")
    assert told.endswith(" % (not sure)\n")


def test_nothing_to_answer_is_a_sentence(
    trained_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder without files is named."""
    (tmp_path / "empty").mkdir()
    assert _predict(trained_checkpoint, tmp_path / "empty") == 1
    assert capsys.readouterr().err == f"Error: There is no file in {tmp_path / 'empty'}. Name pictures.\n"


@torch.inference_mode()
def test_all_that_answers_is_brought_to_the_device(pictures: Path) -> None:
    """The distance lies beside the network in a checkpoint; `meta` computes nothing, and says so."""
    loaded = load(CHECKPOINTS / "cifar10.safetensors")
    assert loaded.distance is not None
    with pytest.raises(NotImplementedError, match=r"(?i)meta"):
        next(iter(predict(loaded, [pictures / "a.png"], top_k=1, device=torch.device("meta"))))
    assert {tensor.device.type for tensor in loaded.graph.state_dict().values()} == {"meta"}
