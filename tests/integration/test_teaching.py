"""Trainings that begin with what an earlier one left: a teacher, or weights; through the real command line."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from models.checkpoint import load
from models.networks import Architecture
from models.networks.quantization import is_quantized
from tests.drawing import write_archive
from tests.trainings import train, weights_of, write_bright
from training import cli
from training.evaluate import run_views
from training.recipes import RECIPES, LargeBatchRecipe


@pytest.fixture(scope="module")
def teacher(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `fast` learnt of them."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    assert train("--recipe", "fast", "--data", data, "--out", path, "--epochs", 30) == 0
    return path


@pytest.fixture
def small_student(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the recipe `taught` a small network and batches."""
    table = RECIPES["taught"]
    assert isinstance(table, LargeBatchRecipe)
    small = replace(
        table, architecture=Architecture(table.architecture.name, {"widths": (16, 16, 16)}), batch_size=32
    )
    monkeypatch.setitem(RECIPES, "taught", small)


@pytest.mark.usefixtures("small_student")
def test_a_student_learns_from_a_teacher(data: Path, teacher: Path, tmp_path: Path) -> None:
    """Whatever the labels say, it gives its teacher's answers, and names it."""
    mislabelled = tmp_path / "m.npz"
    with np.load(data) as arrays:
        write_archive(mislabelled, {**arrays, "y_train": (arrays["y_train"] + 1) % 3})
        images = torch.from_numpy(arrays["x_test"])
    options = ("--recipe", "taught", "--data", mislabelled, "--teacher", teacher, "--epochs", 120)
    assert train(*options, "--run", tmp_path / "student") == 0
    student = load(tmp_path / "student" / "checkpoint.safetensors")
    assert student.record.architecture.arguments == {"widths": [16, 16, 16]}
    assert student.record.training.configuration["teachers"] == [load(teacher).digest]
    console = Console(quiet=True)
    taught, wanted = (
        run_views(network, images, console=console, mirrors=True).single_view
        for network in (student.network, load(teacher).network)
    )
    assert torch.equal(taught.argmax(dim=1), wanted.argmax(dim=1))


@pytest.mark.usefixtures("small_student")
def test_several_teachers_are_named_and_any_of_them_is_doubted(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each by its digest, in their order; a warning says which one it means. A run goes on with moved ones."""
    careful, moved = tmp_path / "careful.safetensors", tmp_path / "moved.safetensors"
    assert train("--recipe", "fast", "--data", data, "--held-out", 9, "--epochs", 1, "--out", careful) == 0
    moved.write_bytes(teacher.read_bytes())
    options = ("--recipe", "taught", "--data", data, "--epochs", 1, "--held-out", 9)
    run = tmp_path / "run"
    capsys.readouterr()
    assert train(*options, "--teacher", careful, "--teacher", teacher, "--run", run) == 0
    told = capsys.readouterr().err
    assert f"warning: the teacher {teacher} was trained with 0 pictures held out instead of 9" in told
    assert f"the teacher {careful} was" not in told
    named = load(run / "checkpoint.safetensors").record.training.configuration["teachers"]
    assert named == [load(careful).digest, load(teacher).digest]
    (run / "checkpoint.safetensors").unlink()
    assert train("--resume", run, "--teacher", moved, "--teacher", careful) == 1
    assert "cannot go on, because this differs from configuration.json: teachers is" in capsys.readouterr().err
    assert train("--resume", run, "--teacher", careful, "--teacher", moved) == 0


@pytest.mark.usefixtures("small_student")
def test_a_student_that_goes_on_from_other_weights_is_resumed_to_the_bit(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a start, a teacher, photographs and a slow copy; from the snapshot. The start is named and taken."""
    other = write_bright(tmp_path / "other.npz", seed=1)
    options = ("--recipe", "taught", "--teacher", teacher, "--photographs", 0.5, "--epochs", 12)
    start, alone, whole, again = (tmp_path / name for name in ("start.safetensors", "alone", "whole", "again"))
    assert train(*options, "--data", other, "--out", start) == 0
    assert train(*options, "--data", data, "--run", alone) == 0
    assert train(*options, "--data", data, "--start", start, "--run", whole) == 0
    assert load(whole / "checkpoint.safetensors").record.training.configuration["start"] == load(start).digest
    stem, fresh = (weights["stem.weight"] for weights in (weights_of(whole), weights_of(alone)))
    assert torch.equal(stem, load(start).network.state_dict()["stem.weight"])
    assert not torch.equal(stem, fresh)
    shutil.copytree(whole, again)
    shutil.copy(again / "snapshot.pt", again / "state.pt")
    (again / "checkpoint.safetensors").unlink()
    assert train("--resume", again, "--start", start.rename(tmp_path / "moved.safetensors")) == 0
    now, then = weights_of(again), weights_of(whole)
    assert all(torch.equal(now[name], then[name]) for name in then)
    capsys.readouterr()
    assert train(*options, "--data", data, "--start", teacher, "--run", tmp_path / "unfit") == 1
    assert "is the network fast; the recipe trains residual" in capsys.readouterr().err


def test_a_quantized_start_of_other_classes_and_sizes_is_gone_on_from(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is quantized no more. One class is known or none; where none is known nothing is doubted."""
    others, start, run = tmp_path / "others.npz", tmp_path / "bytes.safetensors", tmp_path / "run"
    assert cli.run(["quantize", str(teacher), "--data", str(data), "--out", str(start), "--device", "cpu"]) == 0
    with np.load(write_bright(tmp_path / "bright.npz", seed=2, side=16)) as arrays:
        for names in (["lamp", "cup", load(teacher).record.labels[0]], ["lamp", "cup", "bowl"]):
            write_archive(others, {**arrays, "labels": np.array(names)})
            options = ("--recipe", "fast", "--data", others, "--start", start, "--epochs", 2, "--held-out", 9)
            assert train(*options, "--run", run / names[-1]) == 0
            told = capsys.readouterr().err
            known = names[-1] != "bowl"
            assert f"knows of the 3 classes {names[-1] if known else 'none'}" in told
            assert ("so it may know what is held out" in told) == known
    written = load(run / "bowl" / "checkpoint.safetensors")
    assert written.record.labels == ("lamp", "cup", "bowl")
    assert not is_quantized(written.network)
    assert (written.record.input.height, written.record.training.configuration["start"]) == (
        16,
        load(start).digest,
    )
    stem = load(teacher).network.state_dict()["stem.weight"]
    assert torch.equal(weights_of(run / "bowl")["stem.weight"], stem)


@pytest.mark.usefixtures("small_student")
def test_earlier_trainings_that_learnt_what_is_held_out_are_warned_of(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Teacher and start; they are taken all the same, and whoever goes on from there is warned as well."""
    out, doubted, third = (tmp_path / f"{name}.safetensors" for name in ("first", "doubted", "third"))
    options = ("--recipe", "taught", "--data", data, "--teacher", teacher, "--epochs", 1)
    assert train(*options, "--out", out) == 0
    assert "warning: " not in capsys.readouterr().err
    assert train(*options, "--start", out, "--out", doubted, "--held-out", 9) == 0
    told = capsys.readouterr().err
    for who in ("the teacher", "the start"):
        assert f"warning: {who} was trained with 0 pictures held out instead of 9, so it may know" in told
    assert train(*options, "--start", doubted, "--out", third, "--held-out", 9) == 0
    told = capsys.readouterr().err
    assert "the start was trained with a teacher or start of which the same was feared" in told
    configurations = [load(path).record.training.configuration for path in (out, doubted, third)]
    assert [fields.get("may_know_held_out") for fields in configurations] == [None, True, True]


def test_a_teacher_is_refused_by_a_recipe_that_learns_from_none(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is trained or read."""
    options = (
        "--recipe",
        "fast",
        "--data",
        data,
        "--out",
        tmp_path / "m.safetensors",
        "--teacher",
        "any.safetensors",
    )
    assert train(*options) == 1
    assert "leave --teacher out" in capsys.readouterr().err


@pytest.mark.parametrize(("recipe", "option"), [("fast", "--start"), ("taught", "--teacher")])
def test_a_training_does_not_overwrite_what_it_begins_with(
    recipe: str, option: str, data: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused in a sentence, and the file stays as it was."""
    before = teacher.read_bytes()
    assert train("--recipe", recipe, "--data", data, option, teacher, "--out", teacher, "--epochs", 1) == 1
    assert f"{teacher}, which is {option} {teacher} itself and would be lost" in capsys.readouterr().err
    assert teacher.read_bytes() == before
