"""A few real steps of each recipe."""

import io
from dataclasses import replace
from typing import Any

import pytest
import torch
from rich.console import Console

from models.networks import Architecture, build
from models.networks.fast import FastNetwork
from models.networks.residual import ResidualNetwork
from models.networks.whitened import HEAD
from models.preprocessing import InputSpec
from training.data.dataset import Split
from training.data.sampling import draw_evenly
from training.devices import Computing, choose_dtype
from training.epoch import Epoch, draw_epoch
from training.errors import TrainingError
from training.fitting import fit_to_data
from training.fresh import Start
from training.loop import train
from training.recipes import ACCURATE, COMPACT, FAST, RECIPES, LargeBatchRecipe, Recipe, Selection, TutorialRecipe
from training.selection import Selector, make_selector


def _quiet() -> Console:
    return Console(file=io.StringIO())


def _colours(n: int) -> Split:
    """Pictures of two classes that differ in brightness."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(n) % 2
    noise = torch.randint(0, 100, (n, 32, 32, 3), generator=generator)
    return Split((noise + 120 * targets[:, None, None, None]).to(torch.uint8), targets)


def _computing() -> Computing:
    device = torch.device("cpu")
    return Computing(device, choose_dtype("auto", device))


def _train(
    recipe: Recipe, *, seed: int = 0, n: int = 64, epochs: int = 1, start: Start | None = None
) -> torch.nn.Module:
    trained = train(
        fit_to_data(recipe, n, size=(32, 32), epochs=epochs),
        _colours(n),
        classes=2,
        spec=InputSpec(mean=recipe.mean, std=recipe.std),
        seed=seed,
        computing=_computing(),
        console=_quiet(),
        start=start,
    )
    return trained.network


def test_averages_that_lag_behind_a_short_training_are_mended() -> None:
    """Three steps, of which the norms remember a quarter: half of the pictures were named; somebody is told."""
    split, out = _colours(96), io.StringIO()
    trained = train(
        fit_to_data(COMPACT, 96, size=(32, 32), epochs=1),
        split,
        classes=2,
        spec=InputSpec(),
        seed=0,
        computing=_computing(),
        console=Console(file=out, width=300),
    )
    with torch.no_grad():
        assert (trained.network(split.images).argmax(1) == split.targets).float().mean() > 0.9
    assert "averages lagged behind the weights" in out.getvalue()


def test_fast_trains_what_should_be_trained() -> None:
    """One epoch moves filters, shifts, head and the stem's bias, and leaves norm scales at 1."""
    torch.manual_seed(0)
    fresh = FastNetwork(classes=2, spec=InputSpec()).state_dict()
    trained = _train(FAST, n=64).state_dict()
    frozen = {name for name in fresh if "norm" in name and name.endswith("weight")}
    assert len(frozen) == 6
    for name, tensor in trained.items():
        assert torch.equal(tensor, fresh[name]) == (name in frozen), name


def test_the_stem_sees_pictures_of_each_class() -> None:
    """Of 64 pictures that stand class by class eight are taken, from all over; the stem is frozen afterwards."""
    data = _colours(64)
    order = data.targets.argsort(stable=True)
    recipe = fit_to_data(replace(FAST, stem_pictures=8), 64, size=(32, 32), epochs=1)
    spec = InputSpec(mean=recipe.mean, std=recipe.std)
    trained = train(
        recipe,
        Split(data.images[order], data.targets[order]),
        classes=2,
        spec=spec,
        seed=0,
        computing=_computing(),
        console=_quiet(),
    )
    expected = FastNetwork(classes=2, spec=spec)
    expected.fit_stem(data.images[order][draw_evenly(len(order), count=8, seed=0)])
    stem = trained.network.get_submodule("stem")
    torch.testing.assert_close(stem.weight, expected.stem.weight, atol=0, rtol=0)


def test_accurate_moves_everything_that_is_trained_and_keeps_its_scales() -> None:
    """Ten steps with lookahead leave the frozen stem and the norm scales exactly as they were."""
    architecture = Architecture("residual", {"widths": [8, 16, 24]})
    recipe = replace(ACCURATE, architecture=architecture, batch_size=32, selection=None)
    fitted = fit_to_data(recipe, 320, size=(32, 32), epochs=1)
    assert isinstance(fitted, LargeBatchRecipe)
    assert fitted.lookahead is not None
    trained = _train(recipe, n=320).state_dict()
    fresh = ResidualNetwork(classes=2, spec=InputSpec(mean=recipe.mean, std=recipe.std))
    fresh.fit_stem(_colours(320).images[draw_evenly(320, count=recipe.stem_pictures, seed=0)])
    torch.testing.assert_close(trained["stem.weight"], fresh.stem.weight, atol=0, rtol=0)
    for name, tensor in trained.items():
        if "norm" in name and name.endswith("weight"):
            assert torch.equal(tensor, torch.ones_like(tensor)), name
    assert trained["stem.bias"].abs().max() > 0
    assert trained["groups.0.norm1.bias"].abs().max() > 0


def test_a_start_gives_the_weights() -> None:
    """Where the rates are zero they stay, stem and all; only the batch norms learn what they see."""
    architecture = Architecture("residual", {"widths": (8, 16, 24)})
    recipe = replace(ACCURATE, architecture=architecture, schedule=((0.0, 0.0), (1.0, 0.0)), lookahead=None)
    torch.manual_seed(5)
    start = build(architecture, classes=2, spec=InputSpec(mean=recipe.mean, std=recipe.std)).state_dict()
    before = {name: tensor.clone() for name, tensor in start.items()}
    head = start.pop(HEAD)
    trained = _train(recipe, start=Start(start, dict(enumerate(head)))).state_dict()
    for name, tensor in trained.items():
        assert torch.equal(tensor, before[name]) != ("running" in name or "tracked" in name), name
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.items())


@pytest.mark.parametrize("name", ["tutorial", "fast"])
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    """Two runs of one seed are equal to the bit; another seed is not."""
    first, again, other = (_train(RECIPES[name], seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_each_epoch_is_drawn_from_the_seed_and_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise every pass would show the same shifts in the same order, whatever the seed."""
    drawn = []

    def noted(*given: Any, **named: Any) -> Epoch:
        drawn.append((named["seed"], named["number"]))
        return draw_epoch(*given, **named)

    monkeypatch.setattr("training.loop.draw_epoch", noted)
    _train(replace(FAST, architecture=Architecture("fast", {"widths": [8, 8, 8]})), seed=7, epochs=2)
    assert drawn == [(7, 0), (7, 1)]


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
        computing=_computing(),
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


def test_a_selector_that_diverged_stops_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it picks means nothing then, though the large network's own loss is a number still."""

    def broken(*given: Any, **named: Any) -> Selector:
        selector = make_selector(*given, **named)
        assert selector is not None
        torch.nn.init.constant_(selector.student.network.get_parameter(HEAD), torch.nan)
        return selector

    monkeypatch.setattr("training.loop.make_selector", broken)
    architecture = Architecture("residual", {"widths": [8, 8, 8]})
    selection = Selection(widths=(4, 4, 4))
    with pytest.raises(TrainingError, match="diverged"):
        _train(replace(ACCURATE, architecture=architecture, batch_size=16, selection=selection))
