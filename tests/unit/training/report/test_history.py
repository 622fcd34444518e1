"""Reading how a run went from its metrics."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from models.checkpoint import save
from models.record import Record
from training.errors import TrainingError
from training.report.history import check_origin, read_history


def _line(step: int, loss: float = 2.0) -> str:
    return json.dumps({"kind": "step", "step": step, "epoch": 1, "loss": loss, "lr": 0.5, "pictures_per_s": 100.0})


def test_steps_are_read_in_order(tmp_path: Path) -> None:
    """Lines about an epoch, lines with NaN and a line that was cut off by a kill are no steps."""
    lines = [
        _line(1),
        json.dumps({"kind": "epoch", "step": 1, "loss": 2.1}),
        _line(2, float("nan")),
        _line(10, 1.5),
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, _line(20)[:25]]))
    history = read_history(tmp_path)
    assert history.steps == [1, 10]
    assert history.losses == [2.0, 1.5]
    assert history.rates == [0.5, 0.5]
    assert history.pictures_per_s == [100.0, 100.0]
    assert history.held_out == []


def test_what_was_asked_after_each_epoch_is_read(tmp_path: Path) -> None:
    """At its step; an epoch without it has none, and neither has a damaged line."""
    epochs = [
        {"kind": "epoch", "step": step, "epoch": step, "loss": 2.0, "held_out_accuracy": accuracy}
        for step, accuracy in ((5, 0.5), (10, None), (15, 0.75))
    ]
    lines = [_line(1), *map(json.dumps, epochs), _line(20)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    history = read_history(tmp_path)
    assert history.held_out == [(5, 0.5), (15, 0.75)]
    assert history.steps == [1, 20]


@pytest.mark.parametrize("step", ["[]", "null", '"ten"', "Infinity", "NaN", "{}"])
def test_a_damaged_line_is_left_out(tmp_path: Path, step: str) -> None:
    """A step that is no number, or a loss beyond all numbers, costs its line and nothing else."""
    lines = [_line(1), _line(2).replace('"step": 2', f'"step": {step}'), _line(3, 10**400), _line(4)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert read_history(tmp_path).steps == [1, 4]


def test_a_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    """A sentence says which file is missing, or that nothing is in it."""
    with pytest.raises(TrainingError, match=r"metrics\.jsonl cannot be read"):
        read_history(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("[]\n3\n")
    with pytest.raises(TrainingError, match="no line about a step"):
        read_history(tmp_path)


def test_a_run_that_made_another_checkpoint_is_refused(tmp_path: Path, network: nn.Module, record: Record) -> None:
    """And one that has made none; one whose result was calibrated again is taken."""
    with pytest.raises(TrainingError, match=r"holds no checkpoint\.safetensors.*leave --run out"):
        check_origin(tmp_path, record)
    save(tmp_path / "checkpoint.safetensors", network, record)
    check_origin(tmp_path, record)
    check_origin(tmp_path, replace(record, calibration=replace(record.calibration, abstain_threshold=0.5)))
    shared = replace(record.training, configuration={**record.training.configuration, "accept": 0.8})
    check_origin(tmp_path, replace(record, training=shared))
    for other in (
        replace(record, created_at="2026-01-02T00:00:00+00:00"),
        replace(record, training=replace(record.training, seed=1)),
    ):
        with pytest.raises(TrainingError, match=r"made another checkpoint: tiny of 2026-01-01.*leave --run out"):
            check_origin(tmp_path, other)


def test_the_run_behind_a_quantized_checkpoint_is_taken(
    tmp_path: Path, network: nn.Module, record: Record
) -> None:
    """Made from the run's result, by its digest, or by its time where that one was calibrated before or after."""
    digest = save(tmp_path / "checkpoint.safetensors", network, record)

    def quantized(origin: object) -> Record:
        training = replace(record.training, configuration={**record.training.configuration, "quantized": origin})
        return replace(record, training=training, created_at="2026-01-02T00:00:00+00:00")

    check_origin(tmp_path, quantized({"from": digest, "commit": "unknown"}))
    check_origin(tmp_path, quantized({"from": "calibrated", "from_created_at": record.created_at}))
    other_time = {"from": "calibrated", "from_created_at": "2026-01-03T00:00:00+00:00"}
    for origin in ({"from": digest[:-1], "commit": "unknown"}, other_time, {}, digest):
        with pytest.raises(TrainingError, match="made another checkpoint"):
            check_origin(tmp_path, quantized(origin))
