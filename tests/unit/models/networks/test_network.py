"""What every network is, whatever its layers."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from models import golden
from models.networks import ARCHITECTURES, Architecture, build
from models.networks.network import Network
from models.preprocessing import InputSpec

IMAGES = torch.from_numpy(golden.draw(32, 32))


def _network(name: str, *, temperature: float = 1.0) -> Network:
    torch.manual_seed(0)
    return build(Architecture(name), classes=4, spec=InputSpec(), temperature=temperature).eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_the_forward_pass_is_the_logits_of_the_features(name: str) -> None:
    """To the bit, and there are as many features as the network says."""
    network = _network(name, temperature=0.7)
    features = network.features(IMAGES)
    assert features.shape == (8, network.feature_count)
    assert torch.equal(network.logits(features), network(IMAGES))


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_the_logits_are_divided_by_the_temperature(name: str) -> None:
    """Also by one that it is told later."""
    network = _network(name)
    logits = network(IMAGES)
    network.temperature = 4.0
    torch.testing.assert_close(network(IMAGES), logits / 4)
    torch.testing.assert_close(_network(name, temperature=4.0)(IMAGES), logits / 4)


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_the_stages_give_maps_that_get_coarser(name: str) -> None:
    """Two or more modules of the network, in the order in which they run."""
    network = _network(name)
    maps: list[Tensor] = []

    def note(_: Any, __: Any, out: Tensor) -> None:
        maps.append(out)

    handles = [stage.module.register_forward_hook(note) for stage in network.stages]
    network(IMAGES)
    for handle in handles:
        handle.remove()
    assert {stage.module for stage in network.stages} <= set(network.modules())
    assert {len(shown.shape) for shown in maps} == {4}
    sides = [shown.shape[-1] for shown in maps]
    assert len(sides) >= 2
    assert sides == sorted(set(sides), reverse=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_place_of_a_map_is_where_its_stage_says(name: str) -> None:
    """The pixels that change what a place in the middle shows lie around that point, in both directions."""
    side = 96
    network = build(Architecture(name), classes=4, spec=InputSpec(height=side, width=side)).eval()
    images = (255 * torch.rand((16, side, side, 3), generator=torch.Generator().manual_seed(0))).requires_grad_()
    maps: list[Tensor] = []

    def note(_: Any, __: Any, out: Tensor) -> None:
        maps.append(out)

    for stage in network.stages:
        stage.module.register_forward_hook(note)
    network(images)
    for stage, shown in zip(network.stages, maps, strict=True):
        place = shown.shape[-1] // 2
        (gradient,) = torch.autograd.grad(shown[:, :, place, place].sum(), images, retain_graph=True)
        for direction in (1, 2):
            reached = gradient.abs().movedim(direction, 0).flatten(1).sum(1).nonzero().flatten().tolist()
            assert (reached[0] + reached[-1] + 1) / 2 == stage.first + stage.stride * place


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_a_deep_copy_answers_the_same_and_is_another(name: str) -> None:
    """Temperature and normalisation are copied too; what is done to the copy does not reach the network."""
    network = _network(name, temperature=0.7)
    expected = network(IMAGES)
    twin = copy.deepcopy(network)
    assert torch.equal(twin(IMAGES), expected)
    twin.temperature = 2.0
    for parameter in twin.parameters():
        parameter.zero_()
    assert torch.equal(network(IMAGES), expected)


def test_a_family_that_leaves_something_out_is_no_network() -> None:
    """What is missing is named when one is built, not when somebody asks for it."""

    class WithoutStages(Network):
        @property
        def feature_count(self) -> int:
            return 3

        def features(self, images: Tensor) -> Tensor:
            return images.float().mean((1, 2))

        def logits(self, features: Tensor) -> Tensor:
            return features

    with pytest.raises(TypeError, match=r"abstract.*stages"):
        WithoutStages(InputSpec())  # type: ignore[abstract]  # as the test shows
