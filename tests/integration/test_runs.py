"""Runs in folders: start, refuse, extend; through the real command line."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from models.checkpoint import load
from models.networks import Architecture
from tests.trainings import train, weights_of, write_bright
from training.carry_out import Keeping, carry_out
from training.cli import run
from training.configuration import Request
from training.plan import choose_computing, prepare
from training.recipes import FAST, RECIPES, LargeBatchRecipe
from training.runs.resume import ask_again, asked_before
from training.runs.run_lock import alone_in

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `fast`, 4 epochs of 3 steps."""
    folder = tmp_path_factory.mktemp("runs") / "short"
    assert train("--recipe", "fast", "--data", data, "--run", folder, "--epochs", 4) == 0
    return folder


@pytest.fixture
def stopped(finished: Path, tmp_path: Path) -> Path:
    """A copy of it whose last state is the snapshot and which has no result yet."""
    folder = tmp_path / "stopped"
    shutil.copytree(finished, folder)
    shutil.copy(folder / "snapshot.pt", folder / "state.pt")
    (folder / "checkpoint.safetensors").unlink()
    return folder


def test_a_run_leaves_a_folder_that_tells_everything(finished: Path) -> None:
    """Configuration for people, metrics a line at a time, the state, the snapshot and the checkpoint."""
    assert sorted(path.name for path in finished.iterdir()) == [
        "checkpoint.safetensors",
        "configuration.json",
        "metrics.jsonl",
        "report.html",
        "snapshot.pt",
        "state.pt",
    ]
    written = json.loads((finished / "configuration.json").read_text())
    assert written["request"]["recipe"] == "fast"
    assert written["configuration"]["recipe"]["epochs"] == 4
    assert set(written["environment"]) >= {"torch", "threads", "hardware", "commit"}
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1, 2, 3, 4]
    assert load(finished / "checkpoint.safetensors").record.name == "short"


def test_the_snapshot_is_from_before_the_rates_fell_low(finished: Path) -> None:
    """Of four epochs of three steps at one resolution it is the end of the second: the nearest to 0.6 of a run."""
    assert torch.load(finished / "snapshot.pt", weights_only=True)["step"] == 6


def test_the_seed_decides_the_weights(data: Path, tmp_path: Path) -> None:
    """Also of trainings that learn from the same pictures, all of them."""
    heads = []
    for seed in (3, 4):
        out = tmp_path / f"{seed}.safetensors"
        options = ("--recipe", "fast", "--data", data, "--epochs", 1, "--held-out", 0)
        assert train(*options, "--seed", seed, "--out", out) == 0
        heads.append(load(out).network.get_parameter("head.weight"))
    assert not torch.equal(*heads)


def test_a_run_goes_on_from_its_state(stopped: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Resumed from the middle, it ends with the weights that the whole run has."""
    assert train("--resume", stopped) == 0
    assert "few to learn from" not in capsys.readouterr().err  # it can no longer begin otherwise
    now, then = weights_of(stopped), weights_of(finished)
    assert all(torch.equal(now[name], then[name]) for name in then)


def test_the_result_can_also_go_elsewhere(stopped: Path, tmp_path: Path) -> None:
    """--out names a second file, and the model."""
    out = tmp_path / "elsewhere" / "mine.safetensors"
    assert train("--resume", stopped, "--out", out) == 0
    assert out.read_bytes() == (stopped / "checkpoint.safetensors").read_bytes()
    assert load(out).record.name == "mine"


def _edit(folder: Path, old: str, new: str) -> None:
    path = folder / "configuration.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda run: _edit(run, '"label_smoothing": 0.2', '"label_smoothing": 0.1'), "recipe.label_smoothing is"),
        (lambda run: _edit(run, '"seed": 0', '"seed": 1'), "seed is 1 and was 0"),
        (
            lambda run: _edit(run, '"recipe": "fast"', '"recipe": "fats"'),
            "names the recipe 'fats'; there are tutorial",
        ),
        (lambda run: (run / "configuration.json").unlink(), "holds no run"),
        (lambda run: (run / "configuration.json").write_text("{"), "is no JSON text"),
        (lambda run: (run / "configuration.json").write_text("{}"), "is not what Glimpse wrote"),
        (lambda run: (run / "state.pt").write_bytes(b"junk"), "state.pt cannot be read"),
    ],
)
def test_a_run_that_changed_is_refused(
    change: Change, sentence: str, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, what differs or is broken, and no checkpoint."""
    change(stopped)
    assert train("--resume", stopped) == 1
    assert sentence in capsys.readouterr().err
    assert not (stopped / "checkpoint.safetensors").exists()


def test_other_data_are_refused(stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same file elsewhere is fine; other pictures are named by their fingerprint."""
    other = write_bright(tmp_path / "bright.npz", seed=1)
    assert train("--resume", stopped, "--data", other) == 1
    assert "data_fingerprint is" in capsys.readouterr().err
    assert train("--resume", stopped, "--data", write_bright(tmp_path / "copy.npz")) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--seed", "1"], "seed is 1 and was 0"),
        (["--epochs", "9"], "epochs is 9 and was 4"),
        (["--recipe", "accurate"], "recipe is 'accurate' and was 'fast'"),
        (["--held-out", "5"], "held_out is 5 and was 0"),
        (["--input-size", "16"], "input_size is 16 and was 12"),
        (["--photographs", "0.5"], "photographs is 0.5 and was 0.0"),
        (["--trivial-augment", "0.5"], "trivial_augment is 0.5 and was 0.0"),
        (["--accept", "0.8"], "accept is 0.8 and was 0.95"),
    ],
)
def test_options_that_contradict_the_run_are_refused(
    options: list[str], sentence: str, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each by name, with both values."""
    assert train("--resume", stopped, *options) == 1
    assert sentence in capsys.readouterr().err


def test_minutes_are_the_epochs_that_they_come_to(data: Path, finished: Path, tmp_path: Path) -> None:
    """To the bit, and in all that the folder says: a run that goes on knows nothing of minutes."""
    folder, seconds = tmp_path / "timed", iter(range(1_000))
    request = Request(recipe="fast", data=str(data), device="cpu", minutes=0.21)  # four passes of three seconds
    folder.mkdir()
    carry_out(
        request,
        Keeping(folder),
        targets=[folder / "checkpoint.safetensors"],
        console=Console(quiet=True),
        clock=lambda: float(next(seconds)),
    )
    now, then = weights_of(folder), weights_of(finished)
    assert all(torch.equal(now[name], then[name]) for name in then)
    written, typed = (json.loads((run / "configuration.json").read_text()) for run in (folder, finished))
    assert written == typed
    assert (written["request"]["epochs"], written["request"]["minutes"]) == (4, None)


def test_what_minutes_come_to_is_told_and_trained(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever number it is on this machine, by its own clock."""
    out = tmp_path / "m.safetensors"
    assert train("--recipe", "fast", "--data", data, "--minutes", 0.002, "--out", out) == 0
    told = re.search(r"--minutes 0\.002 comes to --epochs (\d+)", capsys.readouterr().err)
    assert told is not None
    assert load(out).record.training.configuration["epochs"] == int(told[1])


def test_minutes_are_for_new_runs(
    stopped: Path, finished: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And for who names no epochs; nothing is read or trained."""
    asked = ("--recipe", "fast", "--data", data, "--out", stopped / "m.safetensors", "--minutes", 5)
    for arguments, sentence in (
        ((*asked, "--epochs", 9), "--minutes chooses the passes that --epochs names; give one of the two."),
        (("--resume", stopped, "--minutes", 5), f"those of {stopped} were chosen when it began"),
        (("--resume", finished, "--minutes", 5), f"those of {finished} were chosen when it began"),
        (("--resume", finished, "--extend", 7, "--minutes", 5), "--extend says how many passes are added"),
    ):
        assert train(*arguments) == 2
        assert sentence in capsys.readouterr().err
    assert not finished.with_name("short-plus-7").exists()


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_no_time_is_refused(minutes: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is endless time any."""
    out = tmp_path / "m.safetensors"
    assert train("--recipe", "fast", "--data", data, "--out", out, "--minutes", minutes) == 2
    assert f"{minutes} is no time to train in" in capsys.readouterr().err


def test_a_seed_above_the_largest_is_for_runs_that_have_it(
    finished: Path, stopped: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Older versions took one: their runs may be named with it, a new one may not begin so."""
    large = str(2**32)
    shutil.copy(finished / "checkpoint.safetensors", stopped)
    _edit(stopped, '"seed": 0', f'"seed": {large}')
    assert train("--resume", stopped, "--seed", large) == 0
    assert f"The run in {stopped} is finished" in " ".join(capsys.readouterr().err.split())
    assert train("--resume", finished, "--seed", large) == 1
    assert "seed is 4294967296 and was 0" in capsys.readouterr().err
    assert train("--recipe", "fast", "--data", data, "--out", stopped / "m.safetensors", "--seed", large) == 2
    assert "--seed is 4294967296; 4294967295 is the largest." in capsys.readouterr().err


def test_who_wants_more_epochs_is_told_how(
    stopped: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--epochs contradicts the run; the option that was meant is --extend, once the run is finished."""
    assert train("--resume", stopped, "--epochs", 9) == 1
    advice = f"For more epochs finish it, then: train --resume {stopped} --extend EPOCHS"
    assert advice in capsys.readouterr().err
    assert train("--resume", finished, "--epochs", 9) == 1
    assert f"For more epochs: train --resume {finished} --extend EPOCHS" in capsys.readouterr().err
    assert train("--resume", finished, "--seed", 9) == 1
    assert "--extend" not in capsys.readouterr().err


def test_a_damaged_state_is_replaced_by_the_snapshot(
    stopped: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the sentence says is true: copied over it, the run ends with the weights that it would have had."""
    state, snapshot = stopped / "state.pt", stopped / "snapshot.pt"
    state.write_bytes(b"junk")
    assert train("--resume", stopped) == 1
    assert f"copy {snapshot} over it to go on from there, or delete it" in capsys.readouterr().err
    shutil.copy(snapshot, state)
    assert train("--resume", stopped) == 0
    now, then = weights_of(stopped), weights_of(finished)
    assert all(torch.equal(now[name], then[name]) for name in then)


def test_a_damaged_state_without_a_snapshot_is_begun_again(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is there to copy, and nothing of the kind is advised."""
    (stopped / "snapshot.pt").unlink()
    (stopped / "state.pt").write_bytes(b"junk")
    assert train("--resume", stopped) == 1
    assert "not written by Glimpse; delete it to start this run from the beginning" in capsys.readouterr().err


def test_options_that_say_what_the_run_has_are_taken(stopped: Path, finished: Path) -> None:
    """Nothing was typed of these when it began; what recipe, data and device made of them may be typed now."""
    has = json.loads((stopped / "configuration.json").read_text())["configuration"]
    shown = ("--input-size", 12, "--photographs", 0, "--trivial-augment", 0)
    assert train("--resume", stopped, "--epochs", 4, "--held-out", 0, *shown, "--dtype", has["dtype"]) == 0
    now, then = weights_of(stopped), weights_of(finished)
    assert all(torch.equal(now[name], then[name]) for name in then)


def test_a_run_is_neither_overwritten_nor_finished_twice(
    finished: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--run on a folder with a run, and --resume of a finished one, say what to do instead."""
    assert train("--recipe", "fast", "--data", data, "--run", finished) == 1
    assert f"Go on with it: train --resume {finished}" in capsys.readouterr().err
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert train("--resume", finished) == 0
    assert (
        f"is finished; its result is {finished / 'checkpoint.safetensors'}. For more epochs: train --resume "
        in (capsys.readouterr().err)
    )
    assert train("--resume", finished, "--seed", 1) == 1
    assert "seed is 1 and was 0" in capsys.readouterr().err
    assert train("--resume", finished, "--out", finished.parent / "second.safetensors") == 2
    assert f"copy {finished / 'checkpoint.safetensors'} to" in capsys.readouterr().err
    copied = shutil.copy(finished / "checkpoint.safetensors", finished.parent / "second.safetensors")
    assert train("--resume", finished, "--out", copied) == 0
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "state.pt", "snapshot.pt"])
def test_a_run_does_not_begin_where_another_training_wrote(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would take a strange checkpoint for its own end."""
    (tmp_path / name).write_bytes(b"strange")
    assert train("--recipe", "fast", "--data", data, "--run", tmp_path) == 1
    assert f"{tmp_path} holds {name} of another training" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_stop_while_the_page_is_made_says_that_the_checkpoint_is_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such a run cannot be gone on with: it is finished, but for its page."""
    import training.finish

    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.finish, "write_page", interrupt)
    assert train("--recipe", "fast", "--data", data, "--run", tmp_path / "run", "--epochs", 1) == 130
    error = capsys.readouterr().err
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    told, _, command = error.splitlines()[-1].partition(" -m training ")
    assert f"{checkpoint} is written; its page is made with: " in told
    monkeypatch.undo()
    assert train("--resume", tmp_path / "run") == 0
    assert f"Its page is made with: {told.split()[-1]} -m training {command} For more" in capsys.readouterr().err
    assert run(shlex.split(command)) == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_a_run_goes_on_with_another_cache(stopped: Path, tmp_path: Path) -> None:
    """The old one may be gone, or be full; whatever is not typed stays as it was."""
    configuration = json.loads((stopped / "configuration.json").read_text())
    configuration["request"] |= {"cache": "/proc/nowhere"}
    (stopped / "configuration.json").write_text(json.dumps(configuration))
    asked = asked_before(stopped)
    assert ask_again(asked, {"cache": str(tmp_path)}, folder=stopped) == replace(asked, cache=str(tmp_path))
    assert ask_again(asked, {}, folder=stopped).cache == "/proc/nowhere"


def test_a_run_that_goes_on_remembers_what_was_typed(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved data and another --out, in whole paths: without its result it goes on with `--resume` alone."""
    before = json.loads((stopped / "configuration.json").read_text())
    moved, out = write_bright(tmp_path / "moved.npz"), tmp_path / "mine.safetensors"
    monkeypatch.chdir(tmp_path)
    assert train("--resume", stopped, "--data", moved.name, "--out", out.name) == 0
    after = json.loads((stopped / "configuration.json").read_text())
    assert after == before | {"request": before["request"] | {"data": str(moved), "out": str(out)}}
    for path in (out, stopped / "checkpoint.safetensors"):
        path.unlink()
    assert train("--resume", stopped) == 0
    assert load(out).record.name == "mine"


def test_a_run_goes_on_from_another_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was typed from one folder is found again from another, and nothing is written there."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    write_bright(tmp_path / "here" / "bright.npz")
    monkeypatch.chdir(tmp_path / "here")
    options = ("--recipe", "fast", "--data", "bright.npz", "--out", "m.safetensors", "--epochs", 1)
    assert train(*options, "--run", "run") == 0
    for name in ("m.safetensors", "run/checkpoint.safetensors"):
        Path(name).unlink()
    monkeypatch.chdir(tmp_path / "there")
    assert train("--resume", "../here/run") == 0
    assert (tmp_path / "here" / "m.safetensors").exists()
    assert list((tmp_path / "there").iterdir()) == []


def test_a_run_without_a_place_for_its_result_is_wrong_usage(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither --out nor --run, both --run and --resume, --extend or --save-every alone: usage, exit code 2."""
    for options, word in (
        (("--recipe", "fast", "--data", data), "--out"),
        (("--resume", tmp_path, "--run", tmp_path), "--run"),
        (("--extend", "3"), "--resume"),
        (("--run", tmp_path), "--recipe"),
        (("--recipe", "fast", "--data", data, "--out", "x.safetensors", "--save-every", 5), "--save-every"),
    ):
        assert train(*options) == 2
        assert word in capsys.readouterr().err


def test_a_run_that_is_at_work_is_left_alone(
    stopped: Path, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither gone on with nor, before its configuration is there, begun a second time; nothing changes."""
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}
    new = tmp_path / "new"
    new.mkdir()
    with alone_in(stopped), alone_in(new):
        assert train("--resume", stopped) == 1
        assert f"Another training is at work in {stopped}" in capsys.readouterr().err
        assert train("--recipe", "fast", "--data", data, "--run", new) == 1
        assert f"Another training is at work in {new}" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before
    assert list(new.iterdir()) == []


def test_an_extension_is_a_longer_run_beside_the_old_one(finished: Path, data: Path) -> None:
    """It starts with the snapshot, ends later, can be resumed, and leaves the old result as it was."""
    before = (finished / "checkpoint.safetensors").read_bytes()
    assert train("--resume", finished, "--extend", 2) == 0
    longer = finished.with_name("short-plus-2")
    assert (finished / "checkpoint.safetensors").read_bytes() == before
    lines = [json.loads(line) for line in (longer / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1, 2, 3, 4, 5, 6]
    shared = torch.load(finished / "snapshot.pt", weights_only=True)["step"]
    first = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line for line in lines if line["step"] <= shared] == [line for line in first if line["step"] <= shared]
    assert load(longer / "checkpoint.safetensors").record.training.configuration["epochs"] == 6

    (longer / "checkpoint.safetensors").rename(longer / "kept.safetensors")
    shutil.copy(longer / "snapshot.pt", longer / "state.pt")
    assert train("--resume", longer) == 0
    again, then = weights_of(longer), load(longer / "kept.safetensors").network.state_dict()
    assert all(torch.equal(again[name], then[name]) for name in then)


def test_a_run_is_extended_from_within_its_folder(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dot has no name of its own; the longer run lies beside the folder that it stands for."""
    monkeypatch.chdir(finished)
    assert train("--resume", ".", "--extend", 1) == 0
    assert (finished.with_name("short-plus-1") / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [("archive", "data_fingerprint is"), ("recipe", "recipe.label_smoothing is 0.1 and was 0.2")],
)
def test_a_run_that_changed_is_not_extended(
    changed: str,
    sentence: str,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The longer run would go on with other pictures, or in another way, than its first epochs; none begins."""
    longer, options = tmp_path / "longer", []
    if changed == "archive":
        options = ["--data", write_bright(tmp_path / "other.npz", seed=1)]
    else:
        monkeypatch.setitem(RECIPES, "fast", replace(FAST, label_smoothing=0.1))
    assert train("--resume", finished, "--extend", 2, "--run", longer, *options) == 1
    told = capsys.readouterr().err
    assert f"{finished} cannot be extended, because it changed since: " in told
    assert sentence in told
    assert list(longer.iterdir()) == []


def test_an_unfinished_run_is_not_extended(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says what to do first."""
    assert train("--resume", stopped, "--extend", 2) == 1
    assert f"finish it first: train --resume {stopped}" in capsys.readouterr().err


def test_a_run_is_not_extended_by_a_slip_of_the_keyboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No more epochs are added than --epochs takes; this is seen before the run is looked for."""
    assert train("--resume", tmp_path, "--extend", 100_001) == 2
    assert "--extend" in capsys.readouterr().err


def test_a_run_that_selects_goes_on_to_the_bit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With changed pictures, a selection and a slow copy; from the snapshot."""
    table = RECIPES["compact"]
    assert isinstance(table, LargeBatchRecipe)
    assert table.selection
    widths = (8, 8, 8)
    tiny = replace(
        table,
        architecture=Architecture(table.architecture.name, {"widths": widths}),
        batch_size=32,
        selection=replace(table.selection, widths=widths),
    )
    monkeypatch.setitem(RECIPES, "compact", tiny)
    whole, again = tmp_path / "whole", tmp_path / "again"
    changed = ("--photographs", 0.5, "--trivial-augment", 0.5)
    assert train("--recipe", "compact", "--data", data, *changed, "--epochs", 4, "--run", whole) == 0
    assert load(whole / "checkpoint.safetensors").record.training.configuration["selection"] is not None
    shutil.copytree(whole, again)
    shutil.copy(again / "snapshot.pt", again / "state.pt")
    (again / "checkpoint.safetensors").unlink()
    assert train("--resume", again) == 0
    now, then = weights_of(again), weights_of(whole)
    assert all(torch.equal(now[name], then[name]) for name in then)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [(("--dtype", "bfloat16"), "leave --dtype bfloat16 out"), (("--compile",), "leave --compile out")],
)
def test_the_tutorial_computes_in_no_other_way(
    option: tuple[str, ...],
    sentence: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What its loop would not do is refused."""
    options = ("--recipe", "tutorial", "--data", data, "--out", tmp_path / "m.safetensors", *option)
    assert train(*options) == 1
    assert sentence in capsys.readouterr().err


def test_the_tutorials_record_says_float32(tmp_path: Path) -> None:
    """Whatever dtype is chosen for the other recipes: bfloat16 on a processor that multiplies faster in it."""
    larger = write_bright(tmp_path / "large.npz", side=32)
    request = Request(recipe="tutorial", data=str(larger), dtype="bfloat16")
    planned = prepare(request, choose_computing(request, torch.device("cpu")), tell=lambda _: None)
    assert planned.configuration["dtype"] == "float32"
    out = tmp_path / "m.safetensors"
    assert train("--recipe", "tutorial", "--data", larger, "--out", out, "--epochs", 1) == 0
    assert load(out).record.training.configuration["dtype"] == "float32"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("more", [(), ("--compile",)])
def test_a_gpu_learns_what_a_cpu_learns(more: tuple[str, ...], tmp_path: Path) -> None:
    """Half precision on CUDA, compiled or not: the three brightnesses are told apart, and a run resumes."""
    data, folder = write_bright(tmp_path / "large.npz", side=32), tmp_path / "cuda"
    assert (
        run(["train", "--device", "cuda", "--recipe", "fast", "--data", str(data), "--run", str(folder), *more])
        == 0
    )
    assert load(folder / "checkpoint.safetensors").record.metrics.accuracy["single_view"] > 0.9
    (folder / "checkpoint.safetensors").unlink()
    shutil.copy(folder / "snapshot.pt", folder / "state.pt")
    assert run(["train", "--resume", str(folder)]) == 0


def test_a_run_ends_with_a_page_about_itself(finished: Path) -> None:
    """Beside its checkpoint, with the curves of its own steps."""
    page = (finished / "report.html").read_text("utf-8")
    assert load(finished / "checkpoint.safetensors").digest in page
    assert "12 steps; the loss went from" in page
    assert 'aria-label="Loss and learning rate over the steps"' in page


def test_tensorboard_gets_the_lines_of_the_metrics(data: Path, tmp_path: Path) -> None:
    """In a folder of the run's own; without a run there is nowhere to put them."""
    folder = tmp_path / "watched"
    options = ("--recipe", "fast", "--data", data, "--epochs", 1, "--tensorboard")
    assert train(*options, "--run", folder) == 0
    assert list((folder / "tensorboard").iterdir())
    assert train(*options, "--out", tmp_path / "out.safetensors") == 2


@pytest.mark.parametrize("name", ["photographs", "trivial_augment"])
def test_the_share_of_changed_pictures_is_part_of_what_a_run_is(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes into the record and decides the weights; a run cannot go on with another one."""
    option = f"--{name.replace('_', '-')}"
    field = {"photographs": "photograph_share", "trivial_augment": "trivial_augment_share"}[name]
    folders = {share: tmp_path / f"share-{share}" for share in (0.0, 0.5)}
    for share, folder in folders.items():
        assert train("--recipe", "fast", "--data", data, "--epochs", 2, option, share, "--run", folder) == 0
        assert load(folder / "checkpoint.safetensors").record.training.configuration[field] == share
    plain, changed = (weights_of(folder) for folder in folders.values())
    assert any(not torch.equal(plain[weight], changed[weight]) for weight in plain)
    (folders[0.5] / "checkpoint.safetensors").unlink()
    assert train("--resume", folders[0.5], option, 0.25) == 1
    assert f"{name} is 0.25 and was 0.5" in capsys.readouterr().err
    out = tmp_path / "t.safetensors"
    assert train("--recipe", "tutorial", "--data", data, option, 0.5, "--out", out) == 1
    assert f"leave {option} out" in capsys.readouterr().err
