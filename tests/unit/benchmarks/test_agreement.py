"""How two engines' answers are compared."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.agreement import as_served, compare, main
from models.calibration import Calibration
from tests.trainings import train, write_bright


def test_labels_and_moves_are_counted() -> None:
    """Two of 2,000 labels change, both among the first thousand; a distance is no probability, and may move."""
    exact = np.tile(np.array([[0.6, 0.4, 7.0]], np.float32), (2_000, 1))
    found = exact.copy()
    found[[3, 999], :2] = (0.45, 0.55)
    found[:, 2] = 9.0
    assert compare(exact, found, classes=2) == {
        "pictures": 2_000,
        "same_label": 1_998,
        "least_same_of_a_thousand": 998,
        "largest_move": pytest.approx(0.15, abs=1e-6),
    }


def test_what_is_served_is_what_the_rule_leaves() -> None:
    """Of four pictures one has too low a score and one is too far: half stand, and one of these is right."""
    answers = np.array([[0.9, 0.1, 1.0], [0.9, 0.1, 1.0], [0.55, 0.45, 1.0], [0.9, 0.1, 5.0]], np.float32)
    rule = Calibration(abstain_threshold=0.6, distance_threshold=2.0)
    figures = as_served(answers, torch.tensor([0, 1, 0, 0]), rule, classes=2)
    assert (figures["accuracy"], figures["accepted"], figures["accuracy_of_accepted"]) == (0.75, 0.5, 0.5)


def test_an_engine_agrees_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole command, on a network that was trained for a moment: two rows, though both engines are torch's."""
    data = write_bright(tmp_path / "bright.npz", side=16)
    assert train("--recipe", "tutorial", "--epochs", "1", "--data", data, "--out", tmp_path / "m.safetensors") == 0
    capsys.readouterr()
    main(
        [
            "--data",
            str(data),
            "--checkpoint",
            str(tmp_path / "m.safetensors"),
            "--engine",
            "torch",
            "--device",
            "cpu",
        ]
    )
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["pictures"], found["same_label"], found["largest_move"]) == (30, 30, 0.0)
    assert found["worth"]["torch"] == found["worth"]["exact"]
