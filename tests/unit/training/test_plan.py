"""What a recipe becomes for a request and its data."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import load, save
from models.networks import build
from models.preprocessing import InputSpec
from models.record import Record
from tests.drawing import encode, write_archive
from training.configuration import Request
from training.data.dataset import Dataset, Split, fingerprint
from training.devices import Computing
from training.errors import TrainingError
from training.plan import Plan, adapt, choose_computing, prepare, with_epochs
from training.recipes import COMPACT, RECIPES, LargeBatchRecipe

REQUEST = Request(recipe="compact", data="cifar10")
SPLIT = Split(torch.zeros(100, 24, 32, 3, dtype=torch.uint8), torch.arange(100) % 3)
DATASET = Dataset("made", ("a", "b", "c"), SPLIT, SPLIT)


def _adapt(request: Request, dataset: Dataset = DATASET) -> LargeBatchRecipe:
    adapted = adapt(COMPACT, request, dataset)
    assert isinstance(adapted, LargeBatchRecipe)
    return adapted


def test_what_is_typed_goes_before_the_table() -> None:
    """Epochs and the shares of changed pictures, and each extension adds its epochs."""
    adapted = _adapt(replace(REQUEST, epochs=7, photographs=0.25, trivial_augment=0.75, extensions=(2, 3)))
    assert (adapted.epochs, adapted.photograph_share, adapted.trivial_augment_share) == (12, 0.25, 0.75)
    untouched, table = _adapt(REQUEST), COMPACT
    assert untouched.photograph_share == table.photograph_share
    assert untouched.trivial_augment_share is table.trivial_augment_share is None


def test_the_norms_of_flat_pictures_divide_by_more() -> None:
    """Of grey ones a fresh network makes channels that are almost constant; of noise it does not."""
    noise = torch.randint(0, 256, (40, 24, 32, 3), generator=torch.Generator().manual_seed(0)).byte()
    split = Split(noise, torch.arange(40) % 3)
    assert _adapt(REQUEST).architecture.arguments["norm_epsilon"] == 1e-3
    assert "norm_epsilon" not in _adapt(REQUEST, replace(DATASET, train=split)).architecture.arguments


def test_a_plan_takes_the_epochs_that_are_chosen_later() -> None:
    """As if they had been typed: recipe and configuration, and nothing else, in the order that it was written."""
    own, asked = _adapt(REQUEST), replace(REQUEST, epochs=1)
    configuration = {"seed": 3, "recipe": {}, "held_out": 0}
    plan = Plan(DATASET, own, InputSpec(), configuration, start=None, wanted=None, commit="")
    chosen = with_epochs(plan, asked)
    assert chosen.recipe == _adapt(asked) != own
    assert list(chosen.configuration) == ["seed", "recipe", "held_out"]
    assert chosen.configuration["recipe"]["epochs"] == 1
    assert chosen.configuration["recipe"]["architecture"]["arguments"]["widths"] == [64, 192, 256]
    assert replace(chosen, recipe=own, configuration=configuration) == plan


@pytest.mark.parametrize(("recipe", "copies"), [("fast", 2), ("compact", 3)])
def test_room_for_states_is_counted(recipe: str, copies: int) -> None:
    """Weights, momentum and the slow copy, three times at most: the next state, the last one, the snapshot."""
    table = RECIPES[recipe]
    spec = InputSpec(height=24, width=32)
    plan = Plan(DATASET, table, spec, configuration={}, start=None, wanted=None, commit="")
    assert plan.states_bytes == 3 * copies * plan.checkpoint_bytes > 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_tutorial_alone_computes_in_float32_whatever_is_fast(recipe: str) -> None:
    """The others take the dtype that is typed, and compile if that is."""
    request = replace(REQUEST, recipe=recipe, dtype="bfloat16", is_compiled=True)
    computing = choose_computing(request, torch.device("cpu"))
    is_free = recipe != "tutorial"
    assert (computing.dtype, computing.is_compiled) == (torch.bfloat16 if is_free else torch.float32, is_free)


def test_teachers_are_remembered_by_what_they_are(checkpoint_path: Path, tmp_path: Path) -> None:
    """By digest, not by path: a run goes on where the file has moved, and not where it is another one."""
    labels = load(checkpoint_path).record.labels
    images, targets = np.zeros((60, 32, 32, 3), np.uint8), np.arange(60) % 3
    arrays: dict[str, np.ndarray] = {"x_train": images, "y_train": targets, "x_test": images, "y_test": targets}
    write_archive(tmp_path / "made.npz", {**arrays, "labels": np.array(labels)})
    moved = checkpoint_path.rename(tmp_path / "moved.safetensors")
    request = Request(recipe="taught", data=str(tmp_path / "made.npz"), teachers=(str(moved),))
    plan = prepare(request, Computing(torch.device("cpu"), torch.float32), tell=lambda _: None)
    assert plan.configuration["teachers"] == [load(moved).digest]


def _write_folder(root: Path, labels: tuple[str, ...]) -> Path:
    """Four pictures of noise in each class, 16 × 16, and no test part."""
    random = np.random.default_rng(0)
    for label in labels:
        (root / label).mkdir(parents=True)
        for number in range(4):
            noise = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            (root / label / f"{number}.png").write_bytes(encode(Image.fromarray(noise)))
    return root


def test_a_start_of_another_seed_may_know_the_test_part_of_a_folder(record: Record, tmp_path: Path) -> None:
    """The seed drew it, so that the start was measured on other pictures, and has learnt some of these."""
    table, start = RECIPES["fast"], tmp_path / "start.safetensors"
    spec = InputSpec(height=16, width=16, mean=table.mean, std=table.std)
    earlier = replace(
        record, architecture=table.architecture, input=spec, training=replace(record.training, seed=1)
    )
    save(start, build(table.architecture, classes=len(record.labels), spec=spec), earlier)
    request = Request(
        recipe="fast",
        data=str(_write_folder(tmp_path / "pictures", record.labels)),
        held_out=0,
        cache=str(tmp_path / "cache"),
        start=str(start),
    )
    told: list[str] = []
    plan = prepare(request, Computing(torch.device("cpu"), torch.float32), tell=told.append)
    assert any(" 0 held out to calibrate on, " in sentence for sentence in told)
    (warning,) = [sentence for sentence in told if "the start was trained with" in sentence]
    assert "the seed 1 instead of 0, so it may know what is measured on here" in warning
    assert plan.configuration["may_know_held_out"] is True


@pytest.fixture
def three_parts(tmp_path: Path) -> Path:
    """12 pictures to learn from, 4 to measure on, and 6 between them, of which one equals a learnt one."""
    random = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 2), ("Valid", 3)):
        for label in ("cat", "dog"):
            (tmp_path / "pets" / part / label).mkdir(parents=True)
            for number in range(count):
                noise = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                (tmp_path / "pets" / part / label / f"{number}.png").write_bytes(encode(Image.fromarray(noise)))
    shutil.copy(tmp_path / "pets" / "train" / "cat" / "1.png", tmp_path / "pets" / "Valid" / "cat" / "1.png")
    return tmp_path / "pets"


def _prepare(data: Path, **asked: Any) -> tuple[Plan, list[str]]:
    told: list[str] = []
    request = Request(**{"recipe": "fast", "data": str(data), "cache": str(data.parent / "cache"), **asked})
    return prepare(request, Computing(torch.device("cpu"), torch.float32), tell=told.append), told


def test_a_val_part_is_held_out(three_parts: Path) -> None:
    """Less what was learnt: told with the folder's name, and written down so that it is found again."""
    plan, told = _prepare(three_parts)
    assert "pets: 12 pictures to learn from, 5 held out to calibrate on (from Valid/), 4 to measure on" in told[-1]
    assert told[-3].startswith("1 of the 6 pictures of Valid/ equal or look like learnt ones, and are left out: ")
    assert told[-2].startswith(
        "warning: 5 pictures of Valid/ are too few to fit a temperature and an abstain rule; "
    )
    assert told[-2].endswith(" --held-out 100")
    assert plan.dataset.held_out is not None
    assert not [line for line in told if line.startswith("not used")]
    assert plan.configuration["held_out"] == 5
    assert plan.configuration["held_out_part"] == "val"
    found = fingerprint(plan.dataset.labels, plan.dataset.held_out)
    assert plan.configuration["held_out_fingerprint"] == found
    assert "copies_together" not in plan.configuration


@pytest.mark.parametrize(
    ("asked", "learnt"), [({"held_out": 0}, 12), ({"held_out": 2}, 10), ({"recipe": "tutorial"}, 12)]
)
def test_who_asks_for_a_number_does_not_use_the_val_part(
    asked: dict[str, Any], learnt: int, three_parts: Path
) -> None:
    """It comes from the training pictures, and a line names what is not used; the tutorial holds out none."""
    (plan, told), size = _prepare(three_parts, input_size=32, **asked), 12 - learnt
    assert f"{learnt} pictures to learn from, {size} held out to calibrate on, 4 to measure on" in told[-1]
    assert "not used: Valid/" in told
    assert not [field for field in plan.configuration if field.startswith("held_out_")]


def test_a_val_part_of_copies_alone_is_as_good_as_none(three_parts: Path) -> None:
    """Nothing is held out, and the checkpoint does not claim that something was."""
    for path in (three_parts / "Valid").rglob("*.png"):
        shutil.copy(three_parts / "train" / path.parent.name / path.name, path)
    plan, told = _prepare(three_parts)
    assert "12 pictures to learn from, 0 held out to calibrate on (from Valid/), 4 to measure on" in told[-1]
    assert plan.configuration["held_out"] == 0
    assert "held_out_part" not in plan.configuration


def test_a_share_to_accept_is_refused_of_data_that_give_no_rule(tmp_path: Path) -> None:
    """Nobody said how many are held out, and of 60 pictures none are; the default asks for nothing."""
    images, targets = np.zeros((60, 32, 32, 3), np.uint8), np.arange(60) % 3
    write_archive(
        tmp_path / "few.npz", {"x_train": images, "y_train": targets, "x_test": images, "y_test": targets}
    )
    computing = Computing(torch.device("cpu"), torch.float32)
    request = Request(recipe="fast", data=str(tmp_path / "few.npz"), accept=0.9)
    with pytest.raises(TrainingError, match="pictures; here 0 are held out"):
        prepare(request, computing, tell=lambda _: None)
    prepare(replace(request, accept=0.95), computing, tell=lambda _: None)
