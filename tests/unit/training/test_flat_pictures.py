"""Drawings and grey pictures are found, photographs are not, and both are learnt."""

import io
from collections.abc import Callable

import pytest
import torch
from rich.console import Console
from torch import Tensor

from models.errors import ArchitectureError
from models.networks import Architecture, build
from models.preprocessing import InputSpec
from training.data.dataset import Split
from training.devices import Computing
from training.fitting import fit_to_data
from training.flat_pictures import mind_flat_pictures
from training.loop import train
from training.recipes import RECIPES, LargeBatchRecipe


def _noise(n: int, *, channels: int = 3) -> Tensor:
    noise = torch.randint(0, 256, (n, 16, 16, channels), generator=torch.Generator().manual_seed(0))
    return noise.expand(n, 16, 16, 3).to(torch.uint8)


def _colours(n: int) -> Tensor:
    """Red, green and blue pictures in turn, brighter and darker."""
    brightness = torch.randint(0, 40, (n, 1, 1, 1), generator=torch.Generator().manual_seed(0))
    return (40 + brightness + 150 * torch.eye(3)[torch.arange(n) % 3][:, None, None]).expand(n, 16, 16, 3).byte()


def _bars(n: int) -> Tensor:
    """Black bars on white: upright, level or both in turn, somewhere."""
    places = torch.randint(1, 13, (n, 2), generator=torch.Generator().manual_seed(0)).tolist()
    images = torch.full((n, 16, 16, 3), 255, dtype=torch.uint8)
    for number, (row, column) in enumerate(places):
        if number % 3 != 0:
            images[number, row : row + 2] = 0
        if number % 3 != 1:
            images[number, :, column : column + 2] = 0
    return images


def _epsilon(recipe: LargeBatchRecipe) -> object:
    return recipe.architecture.arguments.get("norm_epsilon")


@pytest.mark.parametrize("name", ["fast", "accurate", "compact", "taught"])
def test_only_flat_pictures_change_a_recipe(name: str) -> None:
    """And nothing of it but what the norms add; the generator of all else is left where it was."""
    table = RECIPES[name]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert mind_flat_pictures(table, _noise(40)) == table
    for flat in (_noise(40, channels=1), _colours(40), _bars(40)):
        minded = mind_flat_pictures(table, flat)
        assert isinstance(minded, LargeBatchRecipe)
        assert _epsilon(minded) == 1e-3
        assert {**minded.architecture.arguments, "norm_epsilon": None} == {
            **table.architecture.arguments,
            "norm_epsilon": None,
        }
    assert torch.equal(torch.get_rng_state(), before)


def test_the_tutorial_has_no_norms() -> None:
    """So it stays as it is."""
    assert mind_flat_pictures(RECIPES["tutorial"], _colours(40)) == RECIPES["tutorial"]


@pytest.mark.parametrize("draw", [_colours, _bars])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drawings_are_learnt(draw: Callable[[int], Tensor], dtype: torch.dtype) -> None:
    """Of which the loss became NaN, or which were all named alike."""
    images, targets = draw(120), torch.arange(120) % 3
    recipe = fit_to_data(RECIPES["fast"], 96, size=(16, 16), epochs=6)
    trained = train(
        mind_flat_pictures(recipe, images[:96]),
        Split(images[:96], targets[:96]),
        classes=3,
        spec=InputSpec(height=16, width=16),
        seed=0,
        computing=Computing(torch.device("cpu"), dtype),
        console=Console(file=io.StringIO()),
    )
    with torch.no_grad():
        right = trained.network(images[96:]).argmax(1) == targets[96:]
    assert right.float().mean() > 0.9


@pytest.mark.parametrize("wrong", [0, -1e-3, 2, float("nan"), "little", True])
def test_a_norm_must_add_something(wrong: object) -> None:
    """A file may ask for anything."""
    with pytest.raises(ArchitectureError, match=r"norm_epsilon is .*; a number above 0, at most 1, is needed"):
        build(Architecture("fast", {"norm_epsilon": wrong}), classes=3, spec=InputSpec())
