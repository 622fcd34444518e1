"""Grids of pictures with their words."""

from pathlib import Path

import torch
from PIL import Image

from training.data.dataset import Split
from training.measuring.grids import draw_predictions, draw_samples


def test_a_class_may_be_called_anything(tmp_path: Path) -> None:
    """Dollars, braces and backslashes are drawn as they are, not read as a formula; unknown letters are boxes."""
    split = Split(torch.zeros((2, 4, 4, 3), dtype=torch.uint8), torch.tensor([0, 1]))
    labels = ("$\\frac{$", "under $5_000 or over $6^ 三角")
    draw_samples(split, labels=labels, seed=0, path=tmp_path / "samples.png")
    draw_predictions(split, torch.eye(2), labels=labels, seed=0, path=tmp_path / "answers.png")
    for name in ("samples.png", "answers.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 1_000
