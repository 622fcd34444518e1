"""Asking held-out pictures during a training tells how it goes, and leaves no trace in it."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from models.networks.network import Network
from models.preprocessing import InputSpec
from training.data.dataset import Split
from training.devices import Computing
from training.fitting import fit_to_data
from training.loop import train
from training.recipes import COMPACT, FAST, LargeBatchRecipe
from training.runs.run import METRICS, Run
from training.validation import Validation

_CPU = Computing(torch.device("cpu"), torch.float32)


class _Darkness(nn.Module):
    """Says 1 for dark pictures; in training mode it counts what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        self.norm(images.permute(0, 3, 1, 2).float())
        darkness = 100 - images.float().mean(dim=(1, 2, 3))
        return torch.stack([-darkness, darkness], dim=1)


def _brightnesses(n: int, *, wrong: int = 0) -> Split:
    """Every second picture is dark, and so it is labelled, but for some."""
    targets = torch.arange(n) % 2
    images = torch.where(targets == 1, 10, 200).to(torch.uint8)[:, None, None, None].repeat(1, 12, 12, 3)
    targets[:wrong] = 1 - targets[:wrong]
    return Split(images, targets)


def test_the_accuracy_is_that_of_the_pictures() -> None:
    """And the network is as it was: in training mode, with the averages that it had."""
    network = _Darkness().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert Validation(_brightnesses(40, wrong=10), _CPU).accuracy(network) == 0.75
    assert network.training
    assert network.norm.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_of_many_pictures_some_of_each_class_are_asked() -> None:
    """1,000 of 3,000 that stand class by class; the share that is wrong is about the same."""
    many = _brightnesses(3_000, wrong=600)
    order = many.targets.argsort(stable=True)
    asked = Validation(Split(many.images[order], many.targets[order]), _CPU)
    seen: list[Tensor] = []
    network = _Darkness().train()
    network.register_forward_hook(lambda *given: seen.append(given[-1]))
    assert asked.accuracy(network) == pytest.approx(0.8, abs=0.03)
    assert sum(map(len, seen)) == 1_000


def _trained(recipe: LargeBatchRecipe, *, held_out: Split | None, folder: Path) -> Network:
    folder.mkdir()
    data = _brightnesses(64)
    noise = torch.randint(0, 40, data.images.shape, generator=torch.Generator().manual_seed(0))
    trained = train(
        fit_to_data(recipe, len(data), size=(12, 12), epochs=3),
        replace(data, images=data.images + noise.to(torch.uint8)),
        classes=2,
        spec=InputSpec(height=12, width=12),
        seed=0,
        computing=_CPU,
        console=Console(file=io.StringIO()),
        run=Run(folder, configuration={}, environment={}, warn=print),
        held_out=held_out,
    )
    return trained.network


@pytest.mark.parametrize("recipe", [FAST, COMPACT], ids=lambda recipe: recipe.name)
def test_a_training_that_is_watched_ends_with_the_same_weights(recipe: LargeBatchRecipe, tmp_path: Path) -> None:
    """Each epoch's line has the accuracy, without held-out pictures there is none."""
    watched = _trained(recipe, held_out=_brightnesses(20), folder=tmp_path / "watched")
    alone = _trained(recipe, held_out=None, folder=tmp_path / "alone")
    ours, theirs = watched.state_dict(), alone.state_dict()  # with the averages of batch norms
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    lines = [json.loads(line) for line in (tmp_path / "watched" / METRICS).read_text().splitlines()]
    accuracies = [line["held_out_accuracy"] for line in lines if line["kind"] == "epoch"]
    assert len(accuracies) == 3
    assert all(0 <= accuracy <= 1 for accuracy in accuracies)
    assert "held_out_accuracy" not in (tmp_path / "alone" / METRICS).read_text()
