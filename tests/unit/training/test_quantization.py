"""Ranges from pictures, and a network that rounds made out of one that does not."""

from typing import Any

import pytest
import torch
from rich.console import Console

from models.networks import Architecture, build
from models.networks.layers import Convolution
from models.networks.network import Network
from models.networks.quantization import is_quantized, round_filters
from models.preprocessing import InputSpec
from training.errors import TrainingError
from training.quantization import PICTURES, measure_ranges, quantize

SPEC = InputSpec(height=16, width=16)
QUIET = Console(quiet=True)
ARCHITECTURE = Architecture("fast", {"widths": [8, 12, 12]})


def _network() -> Network:
    torch.manual_seed(0)
    return build(ARCHITECTURE, classes=3, spec=SPEC).eval()


def _images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_one_value_in_a_hundred_thousand_is_above_a_range() -> None:
    """Over all pictures, not over each batch: one of a batch that was shown alone may clip more."""
    network, images = _network(), _images(250)
    convolutions = [module for module in network.modules() if isinstance(module, Convolution)]
    ranges = measure_ranges(network, convolutions, images, console=QUIET)
    seen: dict[int, torch.Tensor] = {}
    for place, convolution in enumerate(convolutions):
        convolution.register_forward_pre_hook(lambda _, x, place=place: seen.update({place: x[0]}))
    with torch.no_grad():
        network(images)
    for place, (lowest, highest) in enumerate(ranges):
        assert lowest == pytest.approx(min(0, seen[place].min().item()), abs=1e-6)
        above = (seen[place] > highest + 1e-5).sum().item()
        assert above == pytest.approx(1e-5 * seen[place].numel(), abs=2)


def test_a_thousand_pictures_from_all_over_the_data_set_are_shown() -> None:
    """Folders come class after class, so the first ones would be of one class."""
    shown: list[torch.Tensor] = []
    network = _network()
    network.register_forward_pre_hook(lambda _, x: shown.append(x[0].flatten(1).float().mean(1)))
    images = (torch.arange(2_500) // 10).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 16, 16, 3)
    convolutions = [module for module in network.modules() if isinstance(module, Convolution)]
    measure_ranges(network, convolutions, images, console=QUIET)
    values = torch.cat(shown)
    assert 0.8 * PICTURES <= len(values) <= PICTURES
    assert len(torch.unique(values)) == 250


def test_of_pictures_that_take_turns_all_kinds_are_shown() -> None:
    """Of ten kinds that follow one another every fifth picture would show two."""
    shown: list[torch.Tensor] = []
    network = _network()
    network.register_forward_pre_hook(lambda _, x: shown.append(x[0].flatten(1).float().mean(1)))
    images = (torch.arange(5_000) % 10).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 16, 16, 3)
    convolutions = [module for module in network.modules() if isinstance(module, Convolution)]
    measure_ranges(network, convolutions, images, console=QUIET)
    counts = torch.bincount(torch.cat(shown).round().long())
    assert len(counts) == 10
    assert counts.sum() == PICTURES
    assert counts.min() > PICTURES / 20


def test_the_quantized_network_has_rounded_filters_and_is_another_one() -> None:
    """The trained one stays as it is."""
    network = _network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    architecture, twin = quantize(network, ARCHITECTURE, _images(40), classes=3, spec=SPEC, console=QUIET)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not is_quantized(network)
    assert is_quantized(twin)
    ranges: Any = architecture.arguments["input_ranges"]
    assert len(ranges) == 6
    assert architecture.arguments["widths"] == [8, 12, 12]
    for module in twin.modules():
        if isinstance(module, Convolution):
            torch.testing.assert_close(module.weight, round_filters(module.weight), rtol=1e-6, atol=0)
    images = _images(20)
    with torch.no_grad():
        assert (twin(images) - network(images)).abs().max() < 0.1 * network(images).abs().max()


def test_what_cannot_be_quantized_is_refused() -> None:
    """What is quantized, since its ranges would be measured behind roundings; and the tutorial's network."""
    architecture, twin = quantize(_network(), ARCHITECTURE, _images(10), classes=3, spec=SPEC, console=QUIET)
    with pytest.raises(TrainingError, match="quantized already"):
        quantize(twin, architecture, _images(10), classes=3, spec=SPEC, console=QUIET)
    tutorial = build(Architecture("tutorial"), classes=3, spec=SPEC).eval()
    with pytest.raises(TrainingError, match="has no 3×3 convolutions"):
        quantize(tutorial, Architecture("tutorial"), _images(10), classes=3, spec=SPEC, console=QUIET)
