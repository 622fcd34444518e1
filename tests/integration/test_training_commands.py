"""The real commands on pictures that the tests draw: train, evaluate, samples, and every refusal."""

import io
import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from torch import nn

from app.main import create_app
from app.settings import Settings
from models.checkpoint import load
from models.record import Record
from tests.drawing import encode, solid, write_archive
from tests.trainings import write_bright
from training.cli import run
from training.commands.options import RecipeName
from training.data.dataset import fingerprint
from training.data.rereading import read_as_trained
from training.errors import DataError
from training.measuring.corruptions import KINDS
from training.recipes import RECIPES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of 12 pictures in several sizes and formats, easy to tell apart; the cache is beside them."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for label, colour in (("dark", 40), ("light", 200)):
        for number in range(12):
            side = int(random.integers(20, 90))
            pixels = np.clip(random.normal(colour, 25, (side, side + 7, 3)), 0, 255).astype(np.uint8)
            kind = ("PNG", "JPEG", "WEBP")[number % 3]
            path = tmp_path / "pictures" / label / f"{number:02}.{kind.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(Image.fromarray(pixels), kind))
    return tmp_path / "pictures"


def _train(folder: Path, out: Path, recipe: str = "tutorial", *more: str) -> int:
    return run(["train", "--recipe", recipe, "--data", str(folder), "--out", str(out), "--device", "cpu", *more])


@pytest.mark.parametrize("recipe", ["tutorial", "fast", "accurate"])
def test_from_a_folder_to_an_answer(
    folder: Path, tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Train on a folder, evaluate the file, serve it: labels come from the folders' names."""
    out = tmp_path / "out" / f"{recipe}.safetensors"
    assert _train(folder, out, recipe, "--epochs", "2", "--seed", "3") == 0
    checkpoint = load(out)
    assert checkpoint.record.name == recipe
    assert checkpoint.record.labels == ("dark", "light")
    assert checkpoint.record.training.seed == 3
    assert checkpoint.record.training.configuration["epochs"] == 2
    trained = capsys.readouterr().out
    assert f"wrote {out.relative_to(tmp_path)} ({checkpoint.digest})" in trained

    assert run(["evaluate", str(out), "--data", str(folder), "--device", "cpu", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert list(measured) == [
        "n",
        "accuracy",
        "per_class",
        "confusion_matrix",
        "expected_calibration_error",
        "accepted",
        "accuracy_of_accepted",
        "reliability_bins",
        "coverage",
        "balanced_accuracy",
        "without_copies",
        "area_under_risk_coverage",
        "second_look",
        "reliability",
    ]
    assert measured["balanced_accuracy"] == measured["accuracy"]["single_view"]  # two of each class
    assert measured["n"] == checkpoint.record.metrics.n == 4
    assert measured["accuracy"] == dict(checkpoint.record.metrics.accuracy)

    with TestClient(create_app(Settings(checkpoint=out, engine="torch", device="cpu"))) as client:
        body = client.post("/predict", files={"file": encode(solid("white"))}).json()
    assert {item["label"] for item in body["predictions"]} == {"dark", "light"}


def test_service_and_evaluation_agree_on_the_same_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file posted to the service gets the label that `evaluate` counted, whatever size and format."""
    out = tmp_path / "m.safetensors"
    assert _train(folder, out, "tutorial", "--epochs", "1") == 0
    elsewhere = folder.rename(tmp_path / "test_files")
    (elsewhere / "dark" / "extra.png").write_bytes(encode(solid("black", 70)))  # another fingerprint: all count
    capsys.readouterr()
    assert run(["evaluate", str(out), "--data", str(elsewhere), "--device", "cpu", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    confusion = np.zeros((2, 2), int)
    with TestClient(create_app(Settings(checkpoint=out, engine="torch", device="cpu"))) as client:
        for row, label in enumerate(("dark", "light")):
            for path in sorted((elsewhere / label).iterdir()):
                answer = client.post("/predict", files={"file": path.read_bytes()}).json()
                confusion[row, answer["predictions"][0]["class_index"]] += 1
    assert confusion.tolist() == measured["confusion_matrix"]
    assert measured["n"] == 25


def test_evaluate_prints_a_line_for_each_class(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the beginner's tutorial does: Accuracy of LABEL : NN %."""
    out = tmp_path / "m.safetensors"
    assert _train(folder, out, "tutorial", "--epochs", "1") == 0
    capsys.readouterr()
    assert run(["evaluate", str(out), "--data", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pictures, the test part of its training: 4 pictures"
    assert lines[1].endswith("(single view)")
    assert lines[2].endswith("(six views)")
    assert lines[3].startswith("95 % interval of the single view: ")
    assert lines[4].startswith("Mean of the classes (balanced accuracy): ")
    assert [line.split(":")[0].split() for line in lines[7:]] == [
        ["Accuracy", "of", "dark"],
        ["Accuracy", "of", "light"],
        ["Calibration,", "at", "temperature", "1", "→", "as", "it", "is"],
        ["single", "view"],
        ["six", "views"],
        ["Area", "under", "the", "risk-coverage", "curve", "(AURC)"],
    ]


def test_evaluate_measures_on_spoilt_copies(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--corruptions` adds accuracy per kind and severity beside the clean one, as text and as JSON."""
    out = tmp_path / "m.safetensors"
    assert _train(folder, out, "tutorial", "--epochs", "1") == 0
    capsys.readouterr()
    command = ["evaluate", str(out), "--data", str(folder), "--corruptions", "--corruption-pictures", "3"]
    assert run(command) == 0
    text = capsys.readouterr().out
    assert "Spoilt copies of 3 pictures (seed 0, single view)" in text
    assert run([*command, "--json"]) == 0
    spoilt = json.loads(capsys.readouterr().out)["corruptions"]
    assert list(spoilt) == ["n", "seed", "clean", "accuracy", "mean"]
    assert spoilt["n"] == 3
    assert list(spoilt["accuracy"]) == list(KINDS)
    assert all(len(row) == 5 for row in spoilt["accuracy"].values())


def test_report_writes_one_page(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Class names, spoilt copies and the curves of the run are on it; a wrong --run is refused first."""
    out, run_folder = tmp_path / "m.safetensors", tmp_path / "run"
    assert _train(folder, out, "tutorial", "--epochs", "1") == 0
    command = ["report", str(out), "--data", str(folder), "--out", str(tmp_path / "page")]
    command += ["--run", str(run_folder), "--corruption-pictures", "2"]
    assert run(command) == 1
    assert "metrics.jsonl cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
    run_folder.mkdir()
    line = {"kind": "step", "step": 1, "epoch": 1, "loss": 0.7, "lr": 1.0, "pictures_per_s": 50.0}
    (run_folder / "metrics.jsonl").write_text(json.dumps(line))
    shutil.copy(out, run_folder / "checkpoint.safetensors")
    assert run(command) == 0
    page = tmp_path / "page" / "report.html"
    told = capsys.readouterr()
    assert told.out == f"wrote {page}\n"
    assert "for the report: spoilt copies, gaussian noise 1 · step 1/55 · " in told.err
    text = page.read_text("utf-8")
    for expected in ("dark", "light", "gaussian noise", 'id="run"', "pictures, the test part of its training"):
        assert expected in text


def test_the_help_of_train_tells_what_is_taken_where_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets are markup to rich, which leaves out what it does not know."""
    assert run(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for default in ("0", "a minute's", "auto", "data"):
        assert f"[default: {default}]" in text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_cuda_what_looks_at_a_checkpoint_looks_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accuracy is that of the CPU, in float32; outliers and the page need only come to their ends."""
    out = tmp_path / "m.safetensors"
    assert _train(folder, out, "fast", "--epochs", "2") == 0
    accuracies = []
    for device in ("cpu", "cuda"):
        capsys.readouterr()
        assert run(["evaluate", str(out), "--data", str(folder), "--device", device, "--json"]) == 0
        accuracies.append(json.loads(capsys.readouterr().out)["accuracy"])
    assert accuracies[0] == accuracies[1]
    looked = [str(out), "--data", str(folder), "--device", "cuda"]
    assert run(["outliers", *looked]) == 0
    assert run(["report", *looked, "--out", str(tmp_path / "page"), "--corruption-pictures", "2"]) == 0


def test_grids_are_drawn(folder: Path, tmp_path: Path) -> None:
    """`samples` and `evaluate --grid` write pictures that can be opened."""
    out = tmp_path / "m.safetensors"
    assert _train(folder, out, "tutorial", "--epochs", "1") == 0
    grid, answers = tmp_path / "new" / "grid.png", tmp_path / "new" / "answers.png"
    assert run(["samples", "--data", str(folder), "--out", str(grid)]) == 0
    assert run(["evaluate", str(out), "--data", str(folder), "--grid", str(answers)]) == 0
    for path in (grid, answers):
        with Image.open(path) as picture:
            assert picture.width > 1_000


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["train", "--recipe", "fast", "--data", "nowhere", "--out", "x.safetensors"], 1, "neither 'cifar10'"),
        (["train", "--recipe", "fast", "--data", "nowhere", "--out", "x.pt"], 1, "must end in .safetensors"),
        (["train", "--recipe", "faster", "--data", "nowhere", "--out", "x.safetensors"], 2, "faster"),
        (["train", "--recipe", "fast", "--data", "nowhere"], 2, "--out"),
        (["train", "--recipe", "fast", "--data", "x", "--out", "x.safetensors", "--epochs", "0"], 2, "epochs"),
        (["evaluate", "nothing.safetensors", "--data", "nowhere"], 1, "cannot be read"),
        (["evaluate", "--bogus"], 2, "bogus"),
        (["train", "--recipe", "acurate"], 2, "'taught'. Did you mean 'accurate'?"),
        (["mistakes", "--recipe", "Fast", "--data", "x"], 2, "Did you mean 'fast'?"),
        (["inspect", "--data", "cifra10"], 1, "nor a folder. Did you mean cifar10? Check the path"),
        (["evaluate", "x.safetensors", "--data", "x", "--corruption-pictures", "9"], 2, "--corruptions"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str],
    code: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A refused input ends with 1, a wrong command line with 2, each with a sentence on stderr."""
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["evaluate", "tiny.safetensors", "--data", "nowhere", "--grid", "taken/grid.png"],
            "taken is a file; name a",
        ),
        (
            ["evaluate", "tiny.safetensors", "--data", "nowhere", "--grid", "here.png"],
            "here.png is a folder; name a",
        ),
        (["samples", "--data", "nowhere", "--out", "taken/grid.png"], "taken is a file; name a folder"),
        (["report", "tiny.safetensors", "--data", "nowhere", "--out", "taken"], "taken is a file; name a folder"),
        (["export", "tiny.safetensors", "--out", "here.onnx"], "here.onnx is a folder; name a file in it"),
        (
            ["calibrate", "tiny.safetensors", "--data", "nowhere", "--out", "taken/m.safetensors"],
            "taken is a file",
        ),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    arguments: list[str],
    sentence: str,
    checkpoint_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not after minutes of measuring: the data that are named do not even exist."""
    monkeypatch.chdir(checkpoint_path.parent)
    Path("taken").touch()
    Path("here.png").mkdir()
    Path("here.onnx").mkdir()
    assert run(arguments) == 1
    assert sentence in capsys.readouterr().err


def _arrow(random: np.random.Generator, *, points_right: bool) -> np.ndarray:
    """A bright wedge on noise, 16 × 16, somewhere in the middle."""
    picture = random.integers(0, 60, (16, 16, 3), dtype=np.uint8)
    row, column = random.integers(3, 6, 2)
    for step in range(7):
        place = column + (step if points_right else 6 - step)
        picture[row + step // 2 : row + 7 - step // 2, place] = 230
    return picture


def test_arrows_are_told_apart_without_their_mirror_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--no-mirror is in the checkpoint, whose six views then lack mirror images wherever it is measured."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    sides = np.arange(160) % 2
    arrows = np.stack([_arrow(random, points_right=bool(side)) for side in sides])
    write_archive(
        tmp_path / "arrows.npz",
        {"x_train": arrows[:120], "y_train": sides[:120], "x_test": arrows[120:], "y_test": sides[120:]},
    )
    data, out = tmp_path / "arrows.npz", tmp_path / "arrows.safetensors"
    told = ("--epochs", "6", "--no-mirror", "--device", "cpu")
    run_folder, again = tmp_path / "run", tmp_path / "again.safetensors"
    arguments = ("--data", str(data), "--held-out", "20", "--recipe")
    assert run(["train", *arguments, "fast", "--run", str(run_folder), "--out", str(out), *told]) == 0
    record = load(out).record
    assert record.training.configuration["unmirrored"] is True
    assert min(record.metrics.accuracy.values()) > 0.9
    assert "six views average a picture with shifted copies" in (run_folder / "report.html").read_text()
    capsys.readouterr()
    assert run(["evaluate", str(out), "--data", str(data), "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == dict(record.metrics.accuracy)
    assert run(["calibrate", str(out), "--data", str(data), "--device", "cpu", "--out", str(again)]) == 0
    assert load(again).record.calibration == record.calibration
    capsys.readouterr()
    assert run(["train", *arguments, "taught", "--teacher", str(out), "--out", str(again)]) == 1
    assert "was trained with --no-mirror, and cannot tell what a mirror image shows" in capsys.readouterr().err
    assert run(["mistakes", "--data", str(data), "--folds", "2", *told]) == 0
    assert capsys.readouterr().out == "no label looks wrong\n"


def test_a_broken_folder_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single class, and a class of junk: a sentence each, and no file is written."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "pictures"
    (root / "only").mkdir(parents=True)
    (root / "only" / "a.png").write_bytes(encode(solid("red")))
    assert _train(root, tmp_path / "m.safetensors") == 1
    assert "has 1 class folder (only); at least 2 are needed" in capsys.readouterr().err
    (root / "cifar10.npz").touch()
    assert _train(root, tmp_path / "m.safetensors") == 1
    assert f"or read the archive in it with --data {root / 'cifar10.npz'}." in capsys.readouterr().err
    (root / "junk").mkdir()
    (root / "junk" / "a.txt").write_text("no picture")
    assert _train(root, tmp_path / "m.safetensors") == 1
    error = capsys.readouterr().err
    assert "junk/a.txt: The file is no picture format" in error
    assert "A class has no picture that can be read in " in error
    assert ": 'junk' (1 file). Add pictures" in error
    assert not (tmp_path / "m.safetensors").exists()


def test_an_earlier_checkpoint_survives_a_failed_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends with 130 and a sentence, and the file that was there is untouched."""
    import training.carry_out

    out = tmp_path / "m.safetensors"
    out.write_bytes(b"yesterday's")

    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.carry_out, "train", interrupt)
    assert _train(folder, out) == 130
    assert "Stopped by Ctrl-C; nothing was written." in capsys.readouterr().err
    assert out.read_bytes() == b"yesterday's"


def test_a_result_whose_place_is_gone_is_rescued(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its folder was there before the training and is not after it: exit code 1, but the weights are kept."""
    import training.carry_out
    from training.finish import finish

    out, rescue = tmp_path / "out" / "m.safetensors", tmp_path / "rescue"
    rescue.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(rescue))

    def finish_elsewhere(*arguments: Any, **options: Any) -> Any:
        out.parent.rmdir()
        out.parent.touch()
        return finish(*arguments, **options)

    monkeypatch.setattr(training.carry_out, "finish", finish_elsewhere)
    assert _train(folder, out, "tutorial", "--epochs", "1") == 1
    (rescued,) = rescue.glob("glimpse-*/m.safetensors")
    assert f"The checkpoint is {rescued};" in capsys.readouterr().err
    assert load(rescued).record.name == "m"


def test_a_disk_without_room_is_refused_before_the_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tutorial's network has 0.2 MB; of a run nothing is left behind."""
    free = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    run_folder = tmp_path / "run"
    assert _train(folder, tmp_path / "m.safetensors", "tutorial", "--run", str(run_folder)) == 1
    told = capsys.readouterr().err
    assert "m.safetensors needs 0.2 MB with all that goes to its disk, which has 0.1 MB left" in told
    assert list(run_folder.iterdir()) == []


@pytest.mark.parametrize("stage", ["prepare", "finish"])
def test_sigterm_is_heard_before_and_after_the_steps(
    stage: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While data are read, and while the result is measured: 143, a sentence, and no file."""
    import training.carry_out

    def terminate(*_args: object, **_options: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training.carry_out, "train", lambda *_args, **_options: None)
    monkeypatch.setattr(training.carry_out, stage, terminate)
    out = tmp_path / "m.safetensors"
    assert _train(folder, out) == 143
    assert "Stopped by SIGTERM; nothing was written." in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_is_looked_at_before_it_is_trained_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`inspect` tells counts, a double in another class and a broken file, in words and as JSON; `train` too."""
    double = (folder / "dark" / "03.png").read_bytes()
    (folder / "light" / "double.png").write_bytes(double)
    (folder / "light" / "cut.png").write_bytes(double[:90])
    assert run(["inspect", "--data", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "warning: 1 file left out, no readable picture" in text
    warning = "warning: 1 group of equal pictures, each in several classes: labels are wrong"
    assert f"{warning}\n  dark/03.png = light/double.png" in text
    assert run(["inspect", "--data", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"dark": {"train": 10, "test": 2}, "light": {"train": 10, "test": 3}}
    assert [group["is_contradiction"] for group in told["copies"]] == [True]
    out = folder.parent / "m.safetensors"
    assert _train(folder, out, "tutorial", "--epochs", "1") == 0
    captured = capsys.readouterr()
    assert "dark/03.png = light/double.png" in captured.err
    assert "Among the pictures that were measured on, " in captured.out


def test_a_file_name_need_not_be_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no UTF-8 are told with backslashes, also where stdout and stderr refuse them."""
    (folder / "dark" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"no picture")
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert run(["inspect", "--data", str(folder)]) == 0
    assert _train(folder, folder.parent / "m.safetensors", "tutorial", "--epochs", "1") == 0
    for stream in streams.values():
        stream.flush()
        assert b"dark/caf\\udce9.png: The file is no picture" in stream.buffer.getvalue()


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_names_of_data_and_result_need_not_be_text(kind: str, folder: Path) -> None:
    """A run writes them down, and the service tells what it serves, with question marks."""
    data, run_folder = (folder.parent / os.fsdecode(name) for name in (b"data-\xe9", b"run-\xff"))
    if kind == "folder":
        folder.rename(data)
    else:
        data = data.with_suffix(".npz")
        images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
        targets = np.arange(12) % 2
        write_archive(data, {"x_train": images, "y_train": targets, "x_test": images, "y_test": targets})
    options = ["--recipe", "fast", "--data", str(data), "--run", str(run_folder), "--epochs", "1"]
    assert run(["train", "--device", "cpu", *options]) == 0
    with TestClient(
        create_app(Settings(checkpoint=run_folder / "checkpoint.safetensors", engine="torch"))
    ) as client:
        answer = client.get("/model")
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["metrics"]["split"]) == ("run-?", "data-? test")


def test_an_archive_is_looked_at_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A test picture that was learnt is a leak, told by its place."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    targets = np.arange(6) % 2
    learnt: dict[str, np.ndarray] = {"x_train": images, "y_train": targets}
    arrays = learnt | {"x_test": images[3:4], "y_test": targets[3:4]}
    write_archive(tmp_path / "a.npz", arrays)
    assert run(["inspect", "--data", str(tmp_path / "a.npz")]) == 0
    assert "train[3] (train) = test[0] (test)" in capsys.readouterr().out


def test_test_pictures_that_were_learnt_are_left_out_of_a_second_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the training, after it, and by `evaluate`; none are no unknown number, as those of other data are."""
    random = np.random.default_rng(0)
    images, targets = random.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8), np.arange(40) % 2
    learnt: dict[str, np.ndarray] = {"x_train": images[:30], "y_train": targets[:30]}
    data, out = tmp_path / "a.npz", tmp_path / "m.safetensors"
    write_archive(data, learnt | {"x_test": images[28:], "y_test": targets[28:]})
    assert _train(data, out, "fast", "--epochs", "1") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "warning: 2 of 12 pictures to measure on equal one that is learnt: test[0], test[1]." in told
    line = "Without the 2 test pictures that equal learnt ones: "
    assert line in told
    command = ["evaluate", str(out), "--device", "cpu", "--data", str(data)]
    assert run(command) == 0
    assert line in capsys.readouterr().out
    assert run([*command, "--json"]) == 0
    without = json.loads(capsys.readouterr().out)["without_copies"]
    assert (without["n"], without["copies"], list(without["accuracy"])) == (10, 2, ["single_view", "six_views"])
    assert without["has_alike"] is False
    write_archive(data, learnt | {"x_test": images[30:], "y_test": targets[30:]})
    assert run(command) == 0
    assert "Without the" not in capsys.readouterr().out
    assert run([*command, "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["without_copies"] == {
        "n": 10,
        "copies": 0,
        "accuracy": measured["accuracy"],
        "has_alike": False,
    }
    write_archive(data, {"x_train": images[1:29], "y_train": targets[1:29], "x_test": images, "y_test": targets})
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["without_copies"] is None
    write_archive(data, {"x_test": images, "y_test": targets})
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["without_copies"] is None


def test_of_a_folder_they_are_found_again_while_it_is_decoded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `evaluate`, which does not decode the other part for it; one of six was saved in another format."""
    data, out = folder.parent / "parts", folder.parent / "m.safetensors"
    shutil.copytree(folder, data / "train")
    for label in ("dark", "light"):
        (data / "test" / label).mkdir(parents=True)
        for number in ("00", "03", "06"):
            (data / "train" / label / f"{number}.png").rename(data / "test" / label / f"{number}.png")
    with Image.open(data / "test" / "dark" / "03.png") as picture:
        picture.save(data / "train" / "dark" / "again.bmp")
    assert _train(data, out, "fast", "--epochs", "1") == 0
    line = "Without the 1 test picture that equals or looks like a learnt one: "
    assert line in " ".join(capsys.readouterr().err.split())
    command = ["evaluate", str(out), "--data", str(data), "--device", "cpu"]
    assert run(command) == 0
    told = capsys.readouterr()
    assert line in told.out
    assert "looking for test pictures that equal or look like learnt ones" in " ".join(told.err.split())
    assert run(["report", *command[1:], "--out", str(folder.parent), "--corruption-pictures", "0"]) == 0
    assert "of the 5 pictures that neither equal nor" in (folder.parent / "report.html").read_text("utf-8")
    shutil.rmtree(folder.parent / "data" / "pictures")
    assert run(command) == 0
    assert line not in capsys.readouterr().out


def test_the_input_size_can_be_asked_for(folder: Path) -> None:
    """It goes into the checkpoint, so that evaluation and service use it."""
    out = folder.parent / "m.safetensors"
    assert _train(folder, out, "fast", "--epochs", "1", "--input-size", "40") == 0
    record = load(out).record
    assert (record.input.height, record.input.width) == (40, 40)
    assert run(["evaluate", str(out), "--data", str(folder), "--device", "cpu", "--json"]) == 0


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_pictures_of_an_asked_size_are_found_again(kind: str, folder: Path) -> None:
    """What was held out of a folder, or of an archive that was resized, is found again to calibrate on it."""
    data, out = folder, folder.parent / "m.safetensors"
    if kind == "archive":
        images = np.random.default_rng(0).integers(0, 256, (24, 16, 12, 3), dtype=np.uint8)
        targets = np.arange(24) % 2
        data = folder.parent / "a.npz"
        write_archive(data, {"x_train": images, "y_train": targets, "x_test": images, "y_test": targets})
    assert _train(data, out, "fast", "--epochs", "1", "--input-size", "24", "--held-out", "6") == 0
    again = folder.parent / "again.safetensors"
    arguments = ["calibrate", str(out), "--data", str(data), "--out", str(again), "--device", "cpu"]
    assert run(arguments) == 0
    assert load(again).record.input == load(out).record.input


def test_the_accepted_share_is_chosen_without_training_again(tmp_path: Path) -> None:
    """`train` takes it, `calibrate` and `quantize` keep it or choose another; the file says what came out."""
    random = np.random.default_rng(0)
    images, targets = random.integers(0, 256, (240, 16, 16, 3), dtype=np.uint8), np.arange(240) % 2
    data = tmp_path / "a.npz"
    write_archive(data, {"x_train": images, "y_train": targets, "x_test": images[:9], "y_test": targets[:9]})
    out, again = tmp_path / "m.safetensors", tmp_path / "again.safetensors"
    assert _train(data, out, "fast", "--epochs", "1", "--held-out", "120", "--accept", "0.8") == 0
    assert 0.8 <= _accepted(out) < 0.83
    assert load(out).record.training.configuration["accept"] == 0.8
    for command in ("calibrate", "quantize"):
        arguments = [command, str(out), "--data", str(data), "--device", "cpu", "--out", str(again)]
        assert run([*arguments, "--accept", "0.9"]) == 0
        assert 0.9 <= _accepted(again) < 0.93
        assert load(again).record.training.configuration["accept"] == 0.9
        assert run(arguments) == 0
        assert 0.8 <= _accepted(again) < 0.83
        assert run([*arguments, "--accept", "0.95"]) == 0
        assert 0.95 <= _accepted(again) < 0.98
        assert "accept" not in load(again).record.training.configuration
    for wrong in ("0.5", "1", "nan"):
        assert run(["calibrate", str(out), "--data", str(data), "--out", str(again), "--accept", wrong]) == 2


def _accepted(path: Path) -> float:
    held_out = load(path).record.calibration.held_out
    assert held_out is not None
    return held_out.accepted


def test_a_share_is_refused_where_there_is_no_rule(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Too few pictures were held out: the sentence says how many, and nothing is written."""
    out, again = folder.parent / "m.safetensors", folder.parent / "again.safetensors"
    assert _train(folder, out, "fast", "--epochs", "1", "--held-out", "4") == 0
    for command in ("calibrate", "quantize"):
        assert run([command, str(out), "--data", str(folder), "--out", str(again), "--accept", "0.9"]) == 1
        assert "needs 100 held-out pictures; the training held out 4." in capsys.readouterr().err
        assert not again.exists()
    assert _train(folder, again, "fast", "--epochs", "1", "--accept", "0.9") == 1
    assert "needs 100 held-out pictures; here 0 are held out." in " ".join(capsys.readouterr().err.split())
    assert not again.exists()


def test_copies_are_held_out_together_and_found_again(folder: Path) -> None:
    """The checkpoint remembers that they were; of a file from before that they are drawn as they were then."""
    for number in range(8):
        shutil.copy(folder / "dark" / "03.png", folder / "dark" / f"03 copy {number}.png")
    out, again = folder.parent / "m.safetensors", folder.parent / "again.safetensors"
    assert _train(folder, out, "fast", "--epochs", "1", "--held-out", "6") == 0
    record = load(out).record
    assert record.training.configuration["copies_together"] is True
    together = read_as_trained(str(folder), record, cache=folder.parent / "data", report=lambda _: None).held_out
    assert together is not None
    assert len(together) == record.training.configuration["held_out"]
    assert not [file for file in together.files if file.startswith("dark/03")]
    arguments = ["calibrate", str(out), "--data", str(folder), "--out", str(again), "--device", "cpu"]
    assert run(arguments) == 0
    aside = ("copies_together", "held_out_fingerprint")
    older = {key: value for key, value in record.training.configuration.items() if key not in aside}
    before = replace(record, training=replace(record.training, configuration=older))
    apart = read_as_trained(str(folder), before, cache=folder.parent / "data", report=lambda _: None).held_out
    assert apart is not None
    assert apart.files != together.files
    other = replace(record.training, configuration={**record.training.configuration, "held_out_fingerprint": "0"})
    with pytest.raises(DataError, match="does not hold out what the training of the checkpoint did"):
        read_as_trained(
            str(folder), replace(record, training=other), cache=folder.parent / "data", report=lambda _: None
        )


@pytest.fixture
def three_parts(folder: Path) -> Path:
    """Two classes in the layout of Kaggle: 24 to learn from, 24 to validate with, 8 to measure on."""
    random = np.random.default_rng(1)
    root = folder.parent / "parts"
    root.mkdir()
    folder.rename(root / "train")
    for part, count in (("val", 12), ("test", 4)):
        for label, colour in (("dark", 40), ("light", 200)):
            (root / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(random.normal(colour, 25, (40, 40, 3)), 0, 255).astype(np.uint8)
                (root / part / label / f"{number:02}.png").write_bytes(encode(Image.fromarray(pixels)))
    return root


def test_a_val_part_is_held_out_and_found_again(three_parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All is chosen and calibrated on it, but for the copy of a learnt one; whoever changed it is told."""
    shutil.copy(three_parts / "train" / "dark" / "00.png", three_parts / "val" / "dark" / "copy.png")
    run_folder, again = three_parts.parent / "run", three_parts.parent / "again.safetensors"
    arguments = ["--data", str(three_parts), "--device", "cpu"]
    assert run(["train", "--recipe", "fast", "--epochs", "1", "--run", str(run_folder), *arguments]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "1 of the 25 pictures of val/ equal or look like learnt ones, and are left out" in told
    assert "24 pictures to learn from, 24 held out to calibrate on (from val/), 8 to measure on" in told
    assert "held-out part, 24 pictures" in told
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["n"] for line in lines if line["kind"] == "held_out"] == [24]
    assert all("held_out_accuracy" in line for line in lines if line["kind"] == "epoch")
    out = run_folder / "checkpoint.safetensors"
    record = load(out).record
    assert record.calibration.held_out is not None
    assert record.calibration.held_out.n == record.training.configuration["held_out"] == 24
    assert record.training.configuration["held_out_part"] == "val"

    for command in ("calibrate", "quantize"):
        assert run([command, str(out), "--out", str(again), *arguments]) == 0
        found = load(again).record
        assert found.training.configuration["held_out_fingerprint"] == _fingerprint_of_held_out(
            three_parts, record
        )
        assert found.calibration.held_out is not None
        assert found.calibration.held_out.n == 24
        if command == "calibrate":
            assert found == record
    assert run(["evaluate", str(out), *arguments]) == 0
    assert "not used" not in capsys.readouterr().err

    (three_parts / "val" / "light" / "03.png").unlink()
    for command in ("calibrate", "quantize"):
        assert run([command, str(out), "--out", str(again), *arguments]) == 1
        refused = " ".join(capsys.readouterr().err.split())
        assert (
            "does not hold out what the training of the checkpoint did (pictures of the val part: 24 then"
            in refused
        )
    assert run(["evaluate", str(out), *arguments]) == 0


def test_a_val_part_of_an_archive_is_held_out_and_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As that of a folder, but for pictures that only look alike: these are not looked for."""
    random = np.random.default_rng(2)
    data, run_folder, again = tmp_path / "a.npz", tmp_path / "run", tmp_path / "again.safetensors"
    arrays: dict[str, np.ndarray] = {}
    for part, n in (("train", 24), ("val", 25), ("test", 8)):
        targets = np.arange(n) % 2
        pixels = random.integers(0, 90, (n, 16, 16, 3)) + 120 * targets[:, None, None, None]
        arrays |= {f"x_{part}": pixels.astype(np.uint8), f"y_{part}": targets}
    arrays["x_val"][24] = arrays["x_train"][0]
    arrays["x_test"][0] = arrays["x_val"][0]  # was not learnt
    write_archive(data, arrays)
    arguments = ["--data", str(data), "--device", "cpu"]
    assert run(["train", "--recipe", "fast", "--epochs", "1", "--run", str(run_folder), *arguments]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "1 of the 25 pictures of x_val equal learnt ones, and are left out" in told
    assert "warning: 24 pictures of x_val are too few to fit an abstain rule" in told
    assert "24 pictures to learn from, 24 held out to calibrate on (from x_val), 8 to measure on" in told
    assert "pictures to measure on equal" not in told
    out = run_folder / "checkpoint.safetensors"
    record = load(out).record
    assert record.training.configuration["held_out_part"] == "val"
    assert record.calibration.held_out is not None
    assert record.calibration.held_out.n == record.training.configuration["held_out"] == 24
    assert run(["calibrate", str(out), "--out", str(again), *arguments]) == 0
    assert load(again).record == record
    assert run(["quantize", str(out), "--out", str(again), *arguments]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(out), *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["without_copies"]["copies"] == 0
    assert run(["train", "--resume", str(run_folder)]) == 0

    write_archive(data, arrays | {"x_val": arrays["x_val"][:20], "y_val": arrays["y_val"][:20]})
    assert run(["calibrate", str(out), "--out", str(again), *arguments]) == 1
    assert "pictures of the val part: 24 then, 20 now" in " ".join(capsys.readouterr().err.split())
    write_archive(data, {name: array for name, array in arrays.items() if not name.endswith("val")})
    assert run(["calibrate", str(out), "--out", str(again), *arguments]) == 1
    assert "has no x_val and y_val, and the training of the checkpoint held that out" in " ".join(
        capsys.readouterr().err.split()
    )


def _fingerprint_of_held_out(data: Path, record: Record) -> str:
    """Of the pictures that are held out when the data are read again."""
    again = read_as_trained(str(data), record, cache=data.parent / "data", report=lambda _: None)
    assert again.held_out is not None
    assert {file.split("/")[0] for file in again.held_out.files} == {"val"}
    return fingerprint(again.labels, again.held_out)


@pytest.mark.parametrize("held_out", [0, 4])
def test_a_number_is_held_out_instead_of_the_val_part(
    held_out: int, three_parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the byte what is trained where the folder has none; a line says that it is not used."""
    out, without = three_parts.parent / "m.safetensors", three_parts.parent / "without.safetensors"
    asked = ("--epochs", "1", "--held-out", str(held_out))
    assert _train(three_parts, out, "fast", *asked) == 0
    told = capsys.readouterr().err
    assert "not used: val/" in told
    assert f"{24 - held_out} pictures to learn from, {held_out} held out to calibrate on, 8" in " ".join(
        told.split()
    )
    (three_parts / "val").rename(three_parts.parent / "val")
    assert _train(three_parts, without, "fast", *asked) == 0
    one, other = load(out), load(without)
    assert one.record.training.configuration == other.record.training.configuration
    assert one.record.calibration == other.record.calibration
    weights, others = one.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_inspect_counts_all_parts(three_parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words and as JSON; all are judged, too, and the grid of samples stays with what is learnt."""
    assert run(["inspect", "--data", str(three_parts)]) == 0
    assert "parts: 24 pictures to learn from, 24 to calibrate on, 8 to measure on" in capsys.readouterr().out
    assert run(["inspect", "--data", str(three_parts), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["dark"] == {"train": 12, "val": 12, "test": 4}
    assert run(["samples", "--data", str(three_parts), "--out", "samples.png"]) == 0
    assert "not used: val/" in capsys.readouterr().err
    arguments = ["--folds", "2", "--epochs", "1", "--device", "cpu"]
    assert run(["mistakes", "--data", str(three_parts), *arguments]) == 0
    assert "network 2 of 2: 28 pictures to learn from, 28 to judge" in capsys.readouterr().err


def test_weights_that_are_no_numbers_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No loss has seen what the last update left; nothing is written."""

    def spoil(network: nn.Module, *_given: object, **_more: object) -> None:
        next(network.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr("training.loop.settle_norms", spoil)  # the last that happens to the weights
    out = folder.parent / "m.safetensors"
    assert _train(folder, out, "fast", "--epochs", "1") == 1
    assert "weights that are no finite numbers" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("arguments", [["--data", ""], ["--data="], ["--data", "x", "--run", ""]])
def test_an_empty_argument_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A variable that is not set would name the working folder."""
    assert run(["train", "--recipe", "fast", *arguments]) == 2
    assert capsys.readouterr().err == "Error: an argument is empty; is it a variable that is not set?\n"


def test_an_argument_that_ends_as_an_empty_one_is_not_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder may be called so."""
    assert run(["train", "--recipe", "fast", "--data=no/such=", "--out", "m.safetensors"]) == 1
    assert "no/such= is neither" in capsys.readouterr().err


def test_mistakes_has_no_use_for_a_teacher(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipe that learns from one is refused before anything is read."""
    assert run(["mistakes", "--data", str(folder), "--recipe", "taught", "--device", "cpu"]) == 1
    assert (
        "taught learns from a teacher, who has learnt the pictures already; take fast" in capsys.readouterr().err
    )


def test_mistakes_judges_every_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dark picture among the light ones is named, by networks that have not learnt it."""
    (folder / "dark" / "01.jpeg").rename(folder / "light" / "wrong.jpeg")
    assert (
        run(["mistakes", "--data", str(folder), "--folds", "3", "--epochs", "6", "--device", "cpu", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found[0]["file"] == "light/wrong.jpeg"
    assert (found[0]["label"], found[0]["likelier"]) == ("light", "dark")


def test_as_many_mistakes_are_listed_as_were_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Five labels of 126 are wrong; of those that are found two are told."""
    with np.load(write_bright(tmp_path / "bright.npz")) as archive:
        arrays = dict(archive)
    arrays["y_train"][:5] = (arrays["y_train"][:5] + 1) % 3
    write_archive(tmp_path / "wrong.npz", arrays)
    command = ["mistakes", "--data", str(tmp_path / "wrong.npz"), "--folds", "2", "--epochs", "6", "--json"]
    assert run([*command, "--device", "cpu", "--count", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2
    assert {item["file"] for item in found} < {f"train[{place}]" for place in range(5)}


def test_judges_start_with_a_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that learnt these pictures, or may have, is warned of; what cannot be a start is refused."""
    (folder / "dark" / "01.jpeg").rename(folder / "light" / "wrong.jpeg")
    out = folder.parent / "m.safetensors"
    assert _train(folder, out, "fast", "--epochs", "3") == 0
    capsys.readouterr()
    command = ["mistakes", "--data", str(folder), "--folds", "2", "--epochs", "1", "--device", "cpu", "--json"]
    assert run([*command, "--start", str(out)]) == 0
    assert "warning: the start was trained on these very pictures." in capsys.readouterr().err
    (folder / "dark" / "new.png").write_bytes(encode(solid("black")))
    assert run([*command, "--start", str(out)]) == 0
    assert "warning: the start may have learnt some of these pictures" in capsys.readouterr().err
    for label in ("dark", "light"):
        (folder / label).rename(folder / f"{label}er")
    assert run([*command, "--start", str(out)]) == 0
    assert "the start" not in capsys.readouterr().err
    assert run([*command, "--start", str(out), "--recipe", "compact"]) == 1
    assert "is the network fast" in capsys.readouterr().err
    assert run([*command, "--start", str(out), "--recipe", "tutorial"]) == 1
    assert "The tutorial starts with random weights: leave --start out." in capsys.readouterr().err


def test_the_command_line_offers_every_recipe() -> None:
    """The choices of --recipe are the keys of the table."""
    assert [name.value for name in RecipeName] == list(RECIPES)
