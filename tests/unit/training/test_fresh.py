"""A network before its first step."""

from dataclasses import replace

import pytest
import torch

from models import golden
from models.networks import ARCHITECTURES, Architecture, build
from models.networks.fast import FastNetwork
from models.networks.whitened import HEAD
from models.preprocessing import InputSpec
from training.data.sampling import draw_evenly
from training.fresh import Start, fit_stem, fresh_network, take_start
from training.recipes import FAST

SPEC, CPU = InputSpec(), torch.device("cpu")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_has_the_weights_that_its_seed_gives_channels_last(name: str) -> None:
    """The numbers are those of `build` after the same seed, in an order in memory that convolutions like."""
    architecture = Architecture(name, {} if name == "tutorial" else {"widths": [8, 8, 8]})
    torch.manual_seed(3)
    built = build(architecture, classes=3, spec=SPEC).state_dict()
    torch.manual_seed(3)
    fresh = fresh_network(architecture, classes=3, spec=SPEC, device=CPU).state_dict()
    assert list(fresh) == list(built)
    for key, tensor in fresh.items():
        assert torch.equal(tensor, built[key]), key
        assert tensor.ndim != 4 or tensor.is_contiguous(memory_format=torch.channels_last), key


def test_the_stem_is_fitted_to_as_many_pictures_as_the_recipe_says() -> None:
    """Spread over all that there are, and no others count."""
    images = torch.from_numpy(golden.draw(32, 32))
    recipe = replace(FAST, architecture=Architecture("fast", {"widths": [8, 8, 8]}), stem_pictures=5)
    network = fresh_network(recipe.architecture, classes=3, spec=SPEC, device=CPU)
    assert isinstance(network, FastNetwork)
    network.fit_stem(images[draw_evenly(len(images), count=5, seed=0)])
    expected = network.stem.weight.clone()
    network.fit_stem(images)
    assert not torch.equal(network.stem.weight, expected)
    fit_stem(network, images, recipe=recipe)
    assert torch.equal(network.stem.weight, expected)


def test_of_a_start_the_rows_of_new_classes_stay_as_drawn() -> None:
    """All other layers are taken, and of the last one the rows that there are, each at its place."""
    architecture = Architecture("fast", {"widths": [8, 8, 8]})
    network = fresh_network(architecture, classes=3, spec=SPEC, device=CPU)
    drawn = network.state_dict()[HEAD].clone()
    other = dict(build(architecture, classes=5, spec=SPEC).state_dict())
    head = other.pop(HEAD)
    take_start(network, Start(other, {2: head[4]}))
    taken = network.state_dict()
    assert torch.equal(taken[HEAD], torch.stack([drawn[0], drawn[1], head[4]]))
    assert all(torch.equal(taken[name], tensor) for name, tensor in other.items())
