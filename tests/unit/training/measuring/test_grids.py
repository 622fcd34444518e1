"""Grids of pictures with their words."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
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


def _grey(pictures: int) -> Split:
    """Pictures of one grey each, all of the first class."""
    levels = torch.arange(pictures)[:, None, None, None] * 60
    return Split(levels.expand(-1, 4, 4, 3).to(torch.uint8), torch.zeros(pictures, dtype=torch.int64))


def _has_red(path: Path) -> bool:
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return bool((pixels[..., 0] - pixels[..., 1] > 100).any())


def test_mistakes_are_red_and_right_answers_are_not(tmp_path: Path) -> None:
    """Of grey pictures, words in red are the only colour."""
    for answer, is_wrong in ((0, False), (1, True)):
        path, said = tmp_path / f"{answer}.png", torch.eye(2)[[answer, answer]]
        draw_predictions(_grey(2), said, labels=("cat", "dog"), seed=0, path=path)
        assert _has_red(path) == is_wrong


def test_the_seed_chooses_the_pictures(tmp_path: Path) -> None:
    """The same one draws the same file, another one another."""
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        draw_samples(_grey(4), labels=("cat",), seed=seed, path=tmp_path / name)
    one, again, other = ((tmp_path / name).read_bytes() for name in ("one", "again", "other"))
    assert one == again != other


def test_a_grid_that_cannot_be_drawn_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every other result: whole or not at all."""

    def stop(_figure: object, target: BinaryIO, **_: object) -> None:
        target.write(b"half a picture")
        raise KeyboardInterrupt

    path = tmp_path / "grid.png"
    path.write_bytes(b"the one before")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", stop)
    split = Split(torch.zeros(2, 8, 8, 3, dtype=torch.uint8), torch.tensor([0, 1]))
    with pytest.raises(KeyboardInterrupt):
        draw_samples(split, labels=("a", "b"), seed=0, path=path)
    assert path.read_bytes() == b"the one before"
