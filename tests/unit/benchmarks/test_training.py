"""The benchmark of trainings: it runs with every kind of recipe."""

import time
from dataclasses import replace

import pytest
import torch

from benchmarks import training
from benchmarks.training import time_recipe
from models.networks import Architecture
from training.devices import Computing
from training.epoch import Wanted
from training.recipes import RECIPES, LargeBatchRecipe, Selection

TINY = {"widths": (8, 8, 8)}


def _tiny(name: str) -> LargeBatchRecipe:
    """A recipe with its steps, selection and teaching, but small networks and batches."""
    recipe = RECIPES[name]
    assert isinstance(recipe, LargeBatchRecipe)
    return replace(
        recipe,
        architecture=Architecture(recipe.architecture.name, TINY),
        batch_size=16,
        stem_pictures=64,
        selection=recipe.selection and Selection(widths=(8, 8, 8)),
    )


@pytest.mark.parametrize(
    ("name", "pixels"), [("accurate", [32]), ("fast", [24, 28, 32]), ("compact", [32]), ("taught", [32])]
)
def test_the_steps_of_a_recipe_are_timed(name: str, pixels: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for each resolution, with a selection and with a teacher; work on the data is a part of the step."""
    monkeypatch.setattr(training, "TEACHER", Architecture("residual", TINY))
    recipe = _tiny(name)
    assert (recipe.selection is not None) == (name in ("accurate", "compact"))
    assert (recipe.teaching is not None) == (name == "taught")
    images = torch.randint(0, 256, (64, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = time_recipe(recipe, images, steps=2, computing=Computing(torch.device("cpu"), torch.float32))
    assert [row["pixels"] for row in rows] == pixels
    for row in rows:
        assert list(row) == [
            "recipe",
            "pixels",
            "dtype",
            "data_ms",
            "step_ms",
            "mean_step_ms",
            "pictures_per_s",
            "data_share",
        ]
        assert (row["recipe"], row["dtype"]) == (name, "float32")
        assert 0 < row["data_ms"] <= row["step_ms"]
        assert 0 < row["data_share"] <= 1
        assert row["mean_step_ms"] > 0
        assert row["pictures_per_s"] > 0


def test_a_teachers_answers_are_no_work_on_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a part of the step, and none of what is told of the data."""

    def slow(*_: object) -> Wanted:
        def answer(images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            time.sleep(0.2)
            return torch.zeros(len(images), training.CLASSES)

        return answer

    monkeypatch.setattr(training, "TEACHER", Architecture("residual", TINY))
    monkeypatch.setattr(training, "answers_of", slow)
    images = torch.zeros(64, 32, 32, 3, dtype=torch.uint8)
    computing = Computing(torch.device("cpu"), torch.float32)
    (row,) = time_recipe(_tiny("taught"), images, steps=2, computing=computing)
    assert row["step_ms"] - row["data_ms"] > 190
