"""The stem fed with whole pixels: the same answers, and nearly the same ones in bfloat16."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import golden
from models.networks import Architecture, build
from models.networks.pixel_stem import PixelStem, with_pixel_stem
from models.networks.whitened import WhitenedNetwork
from models.preprocessing import InputSpec

SPEC = InputSpec(mean=(0.3, 0.5, 0.7), std=(0.1, 0.25, 0.6))
IMAGES = torch.from_numpy(golden.draw(32, 32, 8))


def _network(name: str) -> WhitenedNetwork:
    torch.manual_seed(0)
    network = build(Architecture(name), classes=5, spec=SPEC).eval()
    assert isinstance(network, WhitenedNetwork)
    network.fit_stem(IMAGES)
    nn.init.normal_(network.stem.bias)
    return network


def _as_if_bfloat16(convolved: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve what bfloat16 makes of both factors; products and sums are exact to float32, as in hardware."""
    return F.conv2d(convolved.bfloat16().float(), weight.bfloat16().float(), bias)


@pytest.mark.parametrize("name", ["fast", "residual"])
@torch.inference_mode()
def test_the_twin_answers_the_same(name: str) -> None:
    """In float32 to five digits, features and logits."""
    network = _network(name)
    twin = with_pixel_stem(network)
    assert isinstance(twin.stem, PixelStem)
    torch.testing.assert_close(twin(IMAGES), network(IMAGES), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(twin.features(IMAGES), network.features(IMAGES), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_rounding_to_bfloat16_hardly_moves_the_twin() -> None:
    """A hundred times less than the stem as it was trained."""
    network = _network("fast")
    stem = with_pixel_stem(network).stem
    assert isinstance(stem, PixelStem)
    exact = network.stem(network.normalize(IMAGES))
    pixels = IMAGES.permute(0, 3, 1, 2).float() - 128
    got = _as_if_bfloat16(torch.cat([pixels, pixels], 1), stem.weight, stem.bias)
    before = _as_if_bfloat16(network.normalize(IMAGES), network.stem.weight, network.stem.bias)
    assert (got - exact).abs().max() < (before - exact).abs().max() / 100


@torch.inference_mode()
def test_the_network_stays_as_it_was() -> None:
    """The twin is another object, which shares the weights behind the stem."""
    network = _network("fast")
    expected = network(IMAGES)
    twin = with_pixel_stem(network)
    assert twin is not network
    assert twin.groups is network.groups
    assert torch.equal(network(IMAGES), expected)
