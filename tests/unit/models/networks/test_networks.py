"""The networks: uint8 images in, logits out."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models import golden
from models.errors import ArchitectureError
from models.networks import ARCHITECTURES, Architecture, build
from models.networks.fast import FastNetwork
from models.networks.layers import Convolution
from models.networks.normalization import Normalization
from models.preprocessing import InputSpec
from tests.drawing import draw_images

SPEC = InputSpec()


def _build(name: str, *, classes: int = 10, spec: InputSpec = SPEC, temperature: float = 1.0) -> nn.Module:
    torch.manual_seed(0)
    return build(Architecture(name), classes=classes, spec=spec, temperature=temperature).eval()


def _fast(spec: InputSpec = SPEC) -> FastNetwork:
    network = _build("fast", spec=spec)
    assert isinstance(network, FastNetwork)
    return network


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}


def test_the_table_holds_the_known_networks() -> None:
    """Three networks can be built by name."""
    assert ARCHITECTURES == ("tutorial", "fast", "residual")


@pytest.mark.parametrize(("name", "count"), [("tutorial", 62_006), ("fast", 1_972_792), ("residual", 9_918_776)])
def test_a_network_for_ten_classes_has_as_many_parameters_as_published(name: str, count: int) -> None:
    """The number of parameters is that of the original network."""
    assert sum(parameter.numel() for parameter in _build(name).parameters()) == count


def test_the_tutorial_network_has_the_classic_layers() -> None:
    """Its five layers have the shapes of the PyTorch tutorial."""
    assert _shapes(_build("tutorial")) == {
        "conv1.weight": (6, 3, 5, 5),
        "conv1.bias": (6,),
        "conv2.weight": (16, 6, 5, 5),
        "conv2.bias": (16,),
        "fc1.weight": (120, 400),
        "fc1.bias": (120,),
        "fc2.weight": (84, 120),
        "fc2.bias": (84,),
        "fc3.weight": (10, 84),
        "fc3.bias": (10,),
    }


def test_the_tutorial_network_computes_what_the_tutorial_does() -> None:
    """The logits equal those of the tutorial's own forward pass, written out."""
    network, images = _build("tutorial"), draw_images(4)
    weights = dict(network.named_parameters())
    x = (images.permute(0, 3, 1, 2) / 255 - torch.tensor(SPEC.mean).view(3, 1, 1)) / torch.tensor(SPEC.std).view(
        3, 1, 1
    )
    for layer in ("conv1", "conv2"):
        x = F.max_pool2d(F.relu(F.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"])), 2, 2)
    x = x.reshape(len(images), 16 * 5 * 5)
    for layer in ("fc1", "fc2"):
        x = F.relu(F.linear(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"]))
    x = F.linear(x, weights["fc3.weight"], weights["fc3.bias"])
    torch.testing.assert_close(network(images), x, atol=1e-5, rtol=0)


def test_normalization_equals_that_of_torchvision() -> None:
    """The network's first layer gives what ToTensor and Normalize give."""
    from torchvision import transforms

    reference = transforms.Compose([transforms.ToTensor(), transforms.Normalize(SPEC.mean, SPEC.std)])
    images = golden.draw(32, 32)
    expected = torch.stack([reference(image) for image in images])
    torch.testing.assert_close(Normalization(SPEC)(torch.from_numpy(images)), expected, atol=1e-6, rtol=1e-6)


def test_normalization_gives_a_channels_last_view() -> None:
    """Three channels come first in the shape and last in memory; nothing is copied into another order."""
    normalized = Normalization(SPEC)(draw_images(2, 24, 40))
    assert normalized.shape == (2, 3, 24, 40)
    assert normalized.is_contiguous(memory_format=torch.channels_last)


def test_the_constants_of_the_normalization_are_not_among_the_weights() -> None:
    """Mean and deviation stand in the checkpoint's text alone, so they cannot contradict the tensors."""
    assert [name for name in _build("tutorial").state_dict() if "normalize" in name] == []


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("classes", [1, 2, 3, 137])
def test_any_number_of_classes_has_its_logits(name: str, classes: int) -> None:
    """There is one logit for each class."""
    assert _build(name, classes=classes)(draw_images(2)).shape == (2, classes)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("height", "width"), [(24, 24), (28, 28), (48, 40), (16, 64)])
def test_other_input_sizes_are_taken(name: str, height: int, width: int) -> None:
    """A network is built for images of any size that is large enough, square or not."""
    network = _build(name, spec=InputSpec(height=height, width=width))
    logits = network(draw_images(2, height, width))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()


@pytest.mark.parametrize("side", [9, 24, 40])
def test_one_fast_network_takes_images_of_several_sizes(side: int) -> None:
    """Training may shrink the images: the same weights take another size than they were built for."""
    assert _fast()(draw_images(2, side, side)).shape == (2, 10)


@pytest.mark.parametrize(("name", "smallest"), [("tutorial", 16), ("fast", 9), ("residual", 9)])
def test_the_smallest_size_is_as_announced(name: str, smallest: int) -> None:
    """The smallest size works, and one pixel less in either direction is refused with name and size."""
    network = _build(name, spec=InputSpec(height=smallest, width=smallest))
    assert network(draw_images(1, smallest, smallest)).shape == (1, 10)
    for height, width in ((smallest - 1, 32), (32, smallest - 1)):
        with pytest.raises(
            ArchitectureError, match=rf"the {name} network needs at least {smallest} × {smallest} pixels"
        ):
            _build(name, spec=InputSpec(height=height, width=width))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_picture_is_answered_the_same_alone_and_in_a_batch(name: str) -> None:
    """A batch of one equals that row of a batch of eight, in evaluation mode."""
    network, images = _build(name), draw_images(8)
    network.train()(images)  # so that running statistics are not the initial ones
    with torch.inference_mode():
        together = network.eval()(images)
        alone = torch.cat([network(images[i : i + 1]) for i in range(len(images))])
    assert together.std(dim=0).min() > 0
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_float_images_give_what_bytes_give(name: str) -> None:
    """Floats in 0…255 are images too; training resizes into them."""
    network, images = _build(name), draw_images(4)
    torch.testing.assert_close(network(images.float()), network(images), atol=0, rtol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_bfloat16_network_answers_nearly_the_same(name: str) -> None:
    """Half the bits give finite logits of the same shape, close to those of float32."""
    network, images = _build(name), draw_images(4)
    with torch.inference_mode():
        expected = network(images)
        logits = network.to(torch.bfloat16)(images)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_temperature_divides_the_logits(name: str, temperature: float) -> None:
    """Calibration is part of the network: the same weights give logits divided by the temperature."""
    images = draw_images(4)
    expected = _build(name)(images) / temperature
    torch.testing.assert_close(_build(name, temperature=temperature)(images), expected, atol=1e-6, rtol=1e-5)


def test_only_shifts_filters_and_head_of_the_fast_network_are_trained() -> None:
    """The stem's filters and every scale of a normalisation are frozen, and nothing else."""
    frozen = {name for name, parameter in _fast().named_parameters() if not parameter.requires_grad}
    scales = {f"groups.{group}.norm{place}.weight" for group in range(3) for place in (1, 2)}
    assert frozen == scales | {"stem.weight"}


def test_every_parameter_of_the_tutorial_network_is_trained() -> None:
    """The tutorial freezes nothing."""
    assert all(parameter.requires_grad for parameter in _build("tutorial").parameters())


def test_the_first_filters_of_a_group_pass_their_channels_through() -> None:
    """At the start a 3 × 3 convolution hands on what it got, before its random filters."""
    torch.manual_seed(0)
    features = torch.randn(2, 24, 6, 6)
    convolution: Any = _fast().groups[0].conv1
    torch.testing.assert_close(convolution(features)[:, :24], features)
    assert convolution.weight[24:].std() > 0


def test_a_fitted_stem_decorrelates_its_images() -> None:
    """The second moments of its first twelve outputs are the identity on the images it was fitted to."""
    network, images = _fast(), draw_images(32)
    images[::2] = torch.randint(0, 256, images[::2].shape, generator=torch.manual_seed(0), dtype=torch.uint8)
    network.fit_stem(images)
    outputs = F.conv2d(network.normalize(images), network.stem.weight)[:, :12]
    rows = outputs.permute(0, 2, 3, 1).reshape(-1, 12)
    torch.testing.assert_close(rows.T @ rows / len(rows), torch.eye(12), atol=0.02, rtol=0)


def test_the_second_half_of_a_fitted_stem_negates_the_first() -> None:
    """GELU drops what is negative, so every filter has its negation, and the stem stays frozen."""
    network = _fast()
    before = network.stem.weight.clone()
    network.fit_stem(draw_images(16))
    filters = network.stem.weight
    assert filters.shape == (24, 3, 2, 2)
    torch.testing.assert_close(filters[12:], -filters[:12], atol=0, rtol=0)
    assert not torch.equal(filters, before)
    assert not filters.requires_grad


def test_a_flat_picture_does_not_blow_up_the_stem() -> None:
    """Directions that the images do not have are bounded: images of one colour give finite filters."""
    network = _fast()
    network.fit_stem(torch.full((8, 32, 32, 3), 200, dtype=torch.uint8))
    assert network.stem.weight.isfinite().all()
    assert network.stem.weight.abs().max() < 1 / np.sqrt(5e-4) + 1


def test_the_widths_of_the_fast_network_can_be_chosen() -> None:
    """The widths travel as an argument, as a list because JSON knows no tuples."""
    network = build(Architecture("fast", {"widths": [8, 16, 24]}), classes=5, spec=SPEC).eval()
    assert _shapes(network)["head.weight"] == (5, 24)
    assert network(draw_images(2)).shape == (2, 5)


def test_an_unknown_network_is_refused_and_the_known_ones_are_listed() -> None:
    """The message names what was asked for and what there is."""
    with pytest.raises(ArchitectureError, match="'resnet' is not known here; known: tutorial, fast, residual"):
        build(Architecture("resnet"), classes=10, spec=SPEC)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tutorial", {"widths": [1, 2, 3]}),
        ("fast", {"depth": 3}),
        ("fast", {"classes": 3}),
        ("fast", {"convolutions": 1}),
        ("residual", {"name": "fast"}),
        ("residual", {"make_group": None}),
        ("fast", {"widths": 64}),
        ("fast", {"widths": "abc"}),
        ("fast", {"widths": [8.5, 16, 16]}),
        ("fast", {"widths": []}),
        ("fast", {"widths": [-8, 16, 16]}),
        ("fast", {"widths": [2**62, 16, 16]}),
    ],
)
def test_arguments_that_do_not_fit_are_refused(name: str, arguments: dict[str, Any]) -> None:
    """Whatever the constructor says against its arguments, the message names network and arguments."""
    with pytest.raises(
        ArchitectureError, match=rf"'{name}' cannot be built for 10 classes.*{next(iter(arguments))}"
    ):
        build(Architecture(name, arguments), classes=10, spec=SPEC)


@pytest.mark.parametrize(("rows", "columns"), [(7, 7), (6, 6), (7, 6), (4, 9)])
def test_what_pooling_drops_is_not_computed(rows: int, columns: int) -> None:
    """The same maxima and gradients as of a whole convolution, for less arithmetic where a side is odd."""
    torch.manual_seed(0)
    plain, halved = (Convolution(3, 5, is_halved=is_halved).double() for is_halved in (False, True))
    halved.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, rows, columns, dtype=torch.float64)
    wholes, parts = (images.clone().requires_grad_() for _ in range(2))
    with FlopCounterMode(display=False) as flops_of_whole:
        whole = F.max_pool2d(plain(wholes), 2)
    with FlopCounterMode(display=False) as flops_of_part:
        part = F.max_pool2d(halved(parts), 2)
    whole.square().sum().backward()
    part.square().sum().backward()
    torch.testing.assert_close(part, whole)
    torch.testing.assert_close(parts.grad, wholes.grad)
    torch.testing.assert_close(halved.weight.grad, plain.weight.grad)
    computed = (rows - rows % 2) * (columns - columns % 2)
    assert flops_of_part.get_total_flops() * rows * columns == flops_of_whole.get_total_flops() * computed


def test_the_fast_network_computes_what_it_says() -> None:
    """The logits equal a forward pass written out; shifts and running statistics are not the initial ones.

    Stem and GELU; three times filters, pooling, norm, GELU, filters, norm, GELU; maximum; head by the last width.
    """
    torch.manual_seed(0)
    network, images = build(Architecture("fast", {"widths": [8, 12, 16]}), classes=5, spec=SPEC), draw_images(8)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name and name.endswith("bias"):
                parameter.normal_()
        network.train()(images)
        logits = network.eval()(images)
    layers = network.state_dict()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, scale, shift = (
            layers[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, scale, shift, eps=1e-12)

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (SPEC.mean, SPEC.std))
    x = (images.permute(0, 3, 1, 2) / 255 - mean) / std
    x = F.gelu(F.conv2d(x, layers["stem.weight"], layers["stem.bias"]))
    for number in range(3):
        group = f"groups.{number}"
        x = F.max_pool2d(F.conv2d(x, layers[f"{group}.conv1.weight"], padding=1), 2)
        x = F.gelu(norm(x, f"{group}.norm1"))
        x = F.gelu(norm(F.conv2d(x, layers[f"{group}.conv2.weight"], padding=1), f"{group}.norm2"))
    expected = F.linear(x.amax(dim=(2, 3)), layers["head.weight"]) / 16
    assert logits.std(dim=0).min() > 0.01
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
