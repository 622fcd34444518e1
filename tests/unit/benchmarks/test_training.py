"""The benchmark of trainings: it runs with every kind of recipe, and tells whether a goal was reached."""

import statistics
import time
from dataclasses import replace

import pytest
import torch

from benchmarks import training
from benchmarks.training import full_line, full_run, sum_up, summary_line, time_recipe
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


@pytest.mark.parametrize(
    ("name", "six_views", "single_view", "said"),
    [
        (
            "fast",
            0.9401,
            0.93,
            "fast, seed 1: 12.34 s to 94.01% with six views, 93.00% with one; 94% with six views is reached",
        ),
        ("fast", 0.9399, 0.95, "94% with six views is NOT reached"),
        ("tutorial", 0.60, 0.5399, "54% with single view is NOT reached"),
        ("tutorial", 0.50, 0.54, "54% with single view is reached"),
    ],
)
def test_a_whole_run_tells_whether_its_goal_was_reached(
    name: str, six_views: float, single_view: float, said: str
) -> None:
    """In words and among the fields: a short time below the goal is no time."""
    run = full_run(name, seed=1, seconds=12.341, accuracy={"single_view": single_view, "six_views": six_views})
    assert run["is_reached"] == ("NOT" not in said)
    assert (run["seconds"], run["six_views"], run["goal"]) == (12.34, six_views, {"fast": 0.94}.get(name, 0.54))
    assert full_line(run).endswith(said)


@pytest.mark.parametrize(("last", "verdict"), [(0.964, "is"), (0.962, "is NOT")])
def test_the_mean_of_several_runs_is_held_against_the_goal(last: float, verdict: str) -> None:
    """One of them may miss it; what the first run of the process took longer stands apart."""
    runs = [
        full_run("accurate", seed=seed, seconds=seconds, accuracy={"single_view": 0.95, "six_views": six_views})
        for seed, seconds, six_views in ((0, 20.0, 0.959), (1, 22.0, 0.958), (2, 21.0, last))
    ]
    found = sum_up(29.5, runs)
    assert (found["n"], found["median_s"], found["before_s"]) == (3, 21.0, 29.5)
    assert found["six_views"] == pytest.approx((0.959 + 0.958 + last) / 3)
    assert found["six_views_deviation"] == pytest.approx(statistics.stdev([0.959, 0.958, last]))
    assert (found["single_view"], found["single_view_deviation"]) == (pytest.approx(0.95), pytest.approx(0))
    assert found["is_reached"] == (verdict == "is")
    assert summary_line(found).startswith("accurate, n = 3: median 21.0 s (the run before them 29.5 s); ")
    assert summary_line(found).endswith(f"96% with six views {verdict} reached by the mean")


def test_one_run_more_than_the_seeds_is_trained_and_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of several; where there is one seed only, nothing comes before it and nothing is summed up."""
    trained: list[tuple[str, int]] = []

    def train(name: str, *, seed: int, **_: object) -> dict[str, object]:
        trained.append((name, seed))
        accuracy = {"single_view": 0.93, "six_views": 0.94}
        return full_run(name, seed=seed, seconds=10.0 / len(trained), accuracy=accuracy)

    monkeypatch.setattr(training, "train_to_the_end", train)
    full, (summary,) = training.train_several(["fast"], seeds=2, data="", device="cpu", is_compiled=False)
    assert trained == [("fast", 0), ("fast", 0), ("fast", 1)]
    assert [run["seconds"] for run in full] == [5.0, 3.33]
    assert (summary["before_s"], summary["n"]) == (10.0, 2)
    full, summaries = training.train_several(["fast"], seeds=1, data="", device="cpu", is_compiled=False)
    assert (len(full), summaries, trained[3:]) == (1, [], [("fast", 0)])
