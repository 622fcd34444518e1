"""Schedules, the recipe's adaption to the data, and that a few steps learn something."""

import io

import pytest
import torch
from rich.console import Console

from models.networks.fast import FastNetwork
from models.preprocessing import InputSpec
from training.data import Split
from training.errors import TrainingError
from training.loop import Schedule, fit_to_data, make_optimizers, resolution, train
from training.recipes import RECIPES, FastRecipe, TutorialRecipe


def _quiet() -> Console:
    return Console(file=io.StringIO())


def _colours(n: int) -> Split:
    """Pictures of two classes that differ in brightness."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(n) % 2
    noise = torch.randint(0, 100, (n, 32, 32, 3), generator=generator)
    return Split((noise + 120 * targets[:, None, None, None]).to(torch.uint8), targets)


def _train(recipe: FastRecipe | TutorialRecipe, *, seed: int = 0, n: int = 64) -> torch.nn.Module:
    trained = train(
        recipe,
        _colours(n),
        classes=2,
        spec=InputSpec(mean=recipe.mean, std=recipe.std),
        seed=seed,
        device=torch.device("cpu"),
        console=_quiet(),
        epochs=1,
    )
    return trained.network


def test_cifar10_gets_the_recipe_as_it_stands() -> None:
    """50,000 pictures change nothing in the table."""
    recipe = FastRecipe()
    assert fit_to_data(recipe, 50_000, shorter_side=32, epochs=None) == recipe


@pytest.mark.parametrize("pictures", [2, 10, 40, 300, 3_000])
def test_a_small_data_set_gets_enough_steps(pictures: int) -> None:
    """Batches shrink and passes multiply until the recipe's fewest steps are made."""
    recipe = fit_to_data(FastRecipe(), pictures, shorter_side=32, epochs=None)
    assert 1 <= recipe.batch_size <= pictures
    assert recipe.epochs * (pictures // recipe.batch_size) >= recipe.fewest_steps


def test_larger_pictures_are_shifted_further_in_smaller_batches() -> None:
    """At twice the side the shift is twice as long, a batch fills the same memory."""
    recipe = fit_to_data(FastRecipe(), 50_000, shorter_side=64, epochs=None)
    assert (recipe.shift, recipe.batch_size) == (4, 500)
    assert fit_to_data(FastRecipe(), 50_000, shorter_side=512, epochs=None).batch_size == 32
    assert fit_to_data(FastRecipe(), 300, shorter_side=96, epochs=None).batch_size == 37


def test_epochs_asked_for_are_the_epochs_made() -> None:
    """--epochs wins over both the table and the data's size."""
    assert fit_to_data(FastRecipe(), 100, shorter_side=32, epochs=1).epochs == 1


def test_tiny_pictures_keep_their_size() -> None:
    """Nine pixels, the smallest that the network takes, are never shrunk; 24 are."""
    for shorter_side, smallest in ((9, 1.0), (23, 1.0), (24, 0.75)):
        recipe = fit_to_data(FastRecipe(), 100, shorter_side=shorter_side, epochs=None)
        assert resolution(recipe, 0) == smallest


def test_resolution_grows_to_the_full_size() -> None:
    """Ten epochs run three at 3/4, three at 7/8 and four at full size; one epoch runs in the middle."""
    recipe = FastRecipe()
    assert [resolution(recipe, epoch) for epoch in range(10)] == [0.75] * 3 + [0.875] * 3 + [1.0] * 4


def test_learning_rates_fall_linearly_and_the_stem_sooner() -> None:
    """At half time a rate is half; the stem's is zero from its own end on."""
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": [parameters[0]], "lr": 1.0, "is_stem": True}, {"params": [parameters[1]], "lr": 2.0}]
    )
    schedule = Schedule((optimizer,), steps=100, stem_steps=30)
    seen = []
    for step in (0, 15, 30, 50, 99):
        schedule.set(step)
        seen.append([group["lr"] for group in optimizer.param_groups])
    assert seen == [[1.0, 2.0], [0.5, 1.7], [0.0, 1.4], [0.0, 1.0], [0.0, pytest.approx(0.02)]]


def test_fast_trains_what_should_be_trained() -> None:
    """One epoch moves filters, shifts, head and the stem's bias, and leaves norm scales at 1."""
    torch.manual_seed(0)
    fresh = FastNetwork(classes=2, spec=InputSpec()).state_dict()
    trained = _train(FastRecipe(), n=64).state_dict()
    frozen = {name for name in fresh if "norm" in name and name.endswith("weight")}
    assert len(frozen) == 6
    for name, tensor in trained.items():
        assert torch.equal(tensor, fresh[name]) == (name in frozen), name


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    """Two runs of one seed are equal to the bit; another seed is not."""
    first, again, other = (_train(RECIPES[name], seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_tutorial_reports_every_so_many_mini_batches() -> None:
    """The loss line has the tutorial's form: [epoch, mini-batch] loss: mean."""
    console = _quiet()
    recipe = TutorialRecipe(report_every=8)
    train(
        recipe,
        _colours(64),
        classes=2,
        spec=InputSpec(mean=recipe.mean, std=recipe.std),
        seed=0,
        device=torch.device("cpu"),
        console=console,
    )
    assert isinstance(console.file, io.StringIO)
    lines = [line for line in console.file.getvalue().splitlines() if line.startswith("[")]
    assert [line[: line.index("]") + 1] for line in lines] == [
        "[1,     8]",
        "[1,    16]",
        "[2,     8]",
        "[2,    16]",
    ]
    assert all(0 < float(line.split("loss: ")[1]) < 1 for line in lines)


def test_a_diverged_training_stops_with_a_sentence() -> None:
    """A loss that is no number ends the run; nothing goes on with broken weights."""
    with pytest.raises(TrainingError, match=r"diverged.*Try another --seed"):
        _train(TutorialRecipe(lr=1e30))


def test_each_parameter_has_the_rate_and_decay_of_the_recipe() -> None:
    """Stem bias and shifts 0.053, head 0.67, filters 0.24; a decay step is 2e-6 × batch × schedule for each."""
    recipe = FastRecipe()
    network = FastNetwork(classes=10, spec=InputSpec())
    sgd, muon = make_optimizers(recipe, network, dtype=torch.float32)
    sizes = [[tuple(p.shape) for p in group["params"]] for group in sgd.param_groups]
    assert sizes == [[(24,)], [(64,), (64,), (256,), (256,), (256,), (256,)], [(10, 256)]]
    assert [group["lr"] for group in sgd.param_groups] == [0.053, 0.053, 0.67]
    for group in sgd.param_groups:
        assert group["lr"] * group["weight_decay"] == pytest.approx(0.004)
        assert (group["momentum"], group["nesterov"]) == (0.85, True)
    assert [group.get("is_stem") for group in sgd.param_groups] == [True, False, False]
    (filters,) = muon.param_groups
    assert [p.shape[:2] for p in filters["params"]] == [(64, 24), (64, 64), (256, 64), *[(256, 256)] * 3]
    assert (filters["lr"], filters["momentum"]) == (0.24, 0.6)
