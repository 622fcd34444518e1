"""The folder of a training: when states are saved, and what the metrics say."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from training.errors import TrainingError
from training.runs.run import Run

CPU = torch.device("cpu")


@dataclass
class _Learning:
    """A training of 3 epochs of 4 steps that learns nothing."""

    step: int = 0
    seconds: float = 0.0
    steps: int = 12
    steps_per_epoch: int = 4
    batch_size: int = 100
    log_every: int = 3
    lr: float = 0.5
    epoch_loss: float = 8.0
    weight: float = 1.0

    def state(self) -> dict[str, Any]:
        return {"step": self.step, "network": {"w": torch.tensor([0.0, self.weight])}}


@dataclass
class _Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class _Told:
    sentences: list[str] = field(default_factory=list)


def _open(folder: Path, *, told: _Told | None = None, **changed: Any) -> Run:
    heard = told or _Told()
    options: dict[str, Any] = {
        "configuration": {"seed": 0, "recipe": {"epochs": 3}},
        "environment": {"torch": "1", "threads": 2},
        "warn": heard.sentences.append,
        "clock": _Clock(),
    }
    return Run(folder, **(options | changed))


def _make_steps(
    run: Run, *, until: int, learning: _Learning, clock: _Clock | None = None, step_s: float = 1
) -> None:
    while learning.step < until:
        learning.step += 1
        if clock is not None:
            clock.now_s += step_s
        run.note_step(learning, loss=2.0, must_save=False)


def _saved(run: Run) -> int | None:
    state = run.load_state(device=CPU)
    return None if state is None else int(state["step"])


def test_a_state_is_saved_every_so_many_steps(tmp_path: Path) -> None:
    """With --save-every 5, a run killed at step 11 goes on from 10."""
    run = _open(tmp_path, save_every=5)
    _make_steps(run, until=4, learning=_Learning())
    assert _saved(run) is None
    _make_steps(run, until=11, learning=_Learning(step=4))
    assert _saved(run) == 10


def test_a_state_is_saved_about_once_a_minute_by_itself(tmp_path: Path) -> None:
    """Steps of 25 s: after the third, then after the sixth."""
    clock = _Clock()
    run = _open(tmp_path, clock=clock)
    _make_steps(run, until=5, learning=_Learning(), clock=clock, step_s=25)
    assert _saved(run) == 3


def test_the_last_step_and_a_stop_are_saved(tmp_path: Path) -> None:
    """Whatever the interval."""
    run = _open(tmp_path, save_every=1_000)
    run.note_step(_Learning(step=7), loss=1.0, must_save=True)
    assert _saved(run) == 7
    run.note_step(_Learning(step=12), loss=1.0, must_save=False)
    assert _saved(run) == 12


@pytest.mark.parametrize("must_save", [False, True])
def test_a_state_that_diverged_does_not_replace_a_good_one(must_save: bool, tmp_path: Path) -> None:
    """Neither when it is due nor at a stop: the run goes on from the last state whose weights are numbers."""
    run = _open(tmp_path, save_every=5)
    run.note_step(_Learning(step=5), loss=2.0, must_save=False)
    run.note_step(_Learning(step=10, weight=math.nan), loss=2.0, must_save=must_save)
    assert _saved(run) == 5
    run.note_step(_Learning(step=10), loss=2.0, must_save=False)
    assert _saved(run) == 10


def test_a_snapshot_that_diverged_is_not_kept(tmp_path: Path) -> None:
    """A longer run would start with it."""
    run = _open(tmp_path)
    run.keep_snapshot(_Learning(step=5, weight=math.inf))
    assert not (tmp_path / "snapshot.pt").exists()
    run.keep_snapshot(_Learning(step=5))
    assert (tmp_path / "snapshot.pt").exists()


def test_metrics_have_a_line_every_few_steps_and_each_epoch(tmp_path: Path) -> None:
    """Step, epoch, seconds, loss, rate; the epoch's loss is the mean of its steps."""
    clock = _Clock()
    _make_steps(_open(tmp_path, clock=clock), until=4, learning=_Learning(), clock=clock)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    place = {"epoch": 1, "seconds": 0.0}
    assert lines == [
        {"kind": "step", "step": 1, **place, "loss": 2.0, "lr": 0.5, "pictures_per_s": 100.0},
        {"kind": "step", "step": 3, **place, "loss": 2.0, "lr": 0.5, "pictures_per_s": 100.0},
        {"kind": "epoch", "step": 4, **place, "loss": 2.0},
    ]


def test_the_rate_of_a_run_that_goes_on_counts_its_own_steps(tmp_path: Path) -> None:
    """A step of 100 pictures a second after five that were made before: 100 a second, not 600."""
    _open(tmp_path).save_state(_Learning(step=5))
    clock = _Clock()
    run = _open(tmp_path, clock=clock)
    assert _saved(run) == 5
    _make_steps(run, until=6, learning=_Learning(step=5), clock=clock)
    (line,) = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert (line["step"], line["pictures_per_s"]) == (6, 100.0)


def test_the_last_step_has_a_line(tmp_path: Path) -> None:
    """The report tells from it how long a run was, and where its loss ended."""
    clock = _Clock()
    _make_steps(_open(tmp_path, clock=clock), until=4, learning=_Learning(steps=4), clock=clock)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "step"] == [1, 3, 4]


def test_metrics_after_the_state_are_forgotten(tmp_path: Path) -> None:
    """Steps that are made again are not told twice, and half a line at the end does no harm."""
    run = _open(tmp_path, save_every=5)
    _make_steps(run, until=9, learning=_Learning())
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "st')
    assert _saved(run) == 5
    _make_steps(run, until=12, learning=_Learning(step=5))
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 3, 4, 6, 8, 9, 12, 12]


def test_damaged_lines_of_metrics_are_dropped(tmp_path: Path) -> None:
    """A crash of the disk in the middle of the file costs these lines, not the run."""
    run = _open(tmp_path, save_every=5)
    _make_steps(run, until=5, learning=_Learning())
    path = tmp_path / "metrics.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, b"\0\xff\xfe\n", b"7\n", b'{"step": "two"}\n', *others]))
    assert _saved(run) == 5
    assert path.read_bytes().splitlines(keepends=True) == [first, *others]


def test_a_line_about_the_end_is_written_again_and_stands_once(tmp_path: Path) -> None:
    """It has no step, so a run that goes on forgets it before it comes to its end a second time."""
    run = _open(tmp_path, save_every=5)
    _make_steps(run, until=5, learning=_Learning())
    before = (tmp_path / "metrics.jsonl").read_text()
    for _ in range(2):
        assert _saved(run) == 5
        run.log(kind="held_out", n=3)
    assert (tmp_path / "metrics.jsonl").read_text() == before + '{"kind": "held_out", "n": 3}\n'


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    """The sentence lists each field that differs, with both values."""
    _open(tmp_path).save_state(_Learning(step=5))
    other = _open(tmp_path, configuration={"seed": 1, "recipe": {"epochs": 4}})
    with pytest.raises(TrainingError, match=r"seed is 1 and was 0; recipe\.epochs is 4 and was 3\. Restore"):
        other.load_state(device=CPU)


def test_other_threads_are_a_warning(tmp_path: Path) -> None:
    """The run goes on, and the user knows that its last bits will differ."""
    _open(tmp_path).save_state(_Learning(step=5))
    told = _Told()
    assert _saved(_open(tmp_path, told=told, environment={"torch": "1", "threads": 4})) == 5
    assert told.sentences == ["The run goes on, but not to the last bit as it would have: threads is 4 and was 2."]
