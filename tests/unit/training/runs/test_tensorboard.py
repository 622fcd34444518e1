"""Metrics as TensorBoard's events, read back with its own reader."""

from pathlib import Path

import pytest

from training.errors import TrainingError
from training.runs.tensorboard import FOLDER, require_tensorboard, tensorboard_log

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="glimpse[tensorboard] is not installed"
)


def test_numbers_become_curves(tmp_path: Path) -> None:
    """Each number of a line is a curve under the line's kind, at the line's step; the place itself is none."""
    with tensorboard_log(tmp_path) as log:
        log(kind="step", step=10, epoch=1, loss=1.5, lr=0.5, pictures_per_s=100.0)
        log(kind="step", step=20, epoch=1, loss=1.25, lr=0.25, pictures_per_s=110.0)
        log(kind="epoch", step=25, epoch=1, loss=1.4)
    events = accumulators.EventAccumulator(str(tmp_path / FOLDER))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["epoch/loss", "step/loss", "step/lr", "step/pictures_per_s"]
    assert [(event.step, event.value) for event in events.Scalars("step/loss")] == [(10, 1.5), (20, 1.25)]
    assert [event.step for event in events.Scalars("epoch/loss")] == [25]


def test_a_run_that_goes_on_has_each_point_once(tmp_path: Path) -> None:
    """What was written after the state that it goes on from is written again, and counts once, as it is now."""
    with tensorboard_log(tmp_path) as log:
        for step in (10, 20, 30):
            log(kind="step", step=step, loss=1.0)
        log(kind="epoch", step=25, loss=1.0)
    (written,) = (tmp_path / FOLDER).iterdir()
    written.rename(written.with_name("events.out.tfevents.0"))  # by their names the reader knows which is older
    with tensorboard_log(tmp_path) as log:
        log(kind="step", step=20, loss=2.0)
        log(kind="epoch", step=25, loss=2.0)
    events = accumulators.EventAccumulator(str(tmp_path / FOLDER))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("step/loss")] == [(10, 1.0), (20, 2.0)]
    assert [(event.step, event.value) for event in events.Scalars("epoch/loss")] == [(25, 2.0)]


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TensorBoard there is a sentence that says what to install and where the numbers are anyway."""
    monkeypatch.setattr("training.runs.tensorboard.find_spec", lambda _name: None)
    with pytest.raises(TrainingError, match=r"pip install tensorboard.*metrics\.jsonl"):
        require_tensorboard()
