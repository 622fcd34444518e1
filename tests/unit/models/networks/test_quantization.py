"""Networks that round to bytes: levels, filters, ranges, and the twin that tells a compiler."""

import pytest
import torch

from models.errors import ArchitectureError
from models.networks import Architecture, build
from models.networks.byte_filters import with_byte_filters
from models.networks.layers import Convolution
from models.networks.network import Network
from models.networks.quantization import is_quantized, round_filters, round_to_levels
from models.preprocessing import InputSpec

WIDTHS = [8, 12, 12]
NAMES = {"fast": 6, "residual": 9}
SPEC = InputSpec(height=16, width=16)


def _network(name: str, ranges: list[list[float]] | None) -> Network:
    torch.manual_seed(0)
    arguments = {"widths": WIDTHS} | ({} if ranges is None else {"input_ranges": ranges})
    return build(Architecture(name, arguments), classes=3, spec=SPEC).eval()


def _images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_there_are_256_levels_and_one_of_them_is_zero() -> None:
    """Evenly spaced from end to end; what lies outside goes to its end; zero, the padding, stays zero."""
    rounded = round_to_levels(torch.linspace(-3, 7, 100_001), (-1.0, 4.0))
    levels = torch.unique(rounded)
    assert len(levels) == 256
    assert 0.0 in levels
    assert torch.allclose(levels.diff(), torch.tensor(5 / 255), atol=1e-5)
    assert (levels[0].item(), levels[-1].item()) == pytest.approx((-1, 4), abs=5 / 255)
    inside = torch.linspace(-0.99, 3.99, 1_001)
    assert (round_to_levels(inside, (-1.0, 4.0)) - inside).abs().max() <= 5 / 255 / 2 + 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rounding_keeps_the_dtype(dtype: torch.dtype) -> None:
    """Also of halves, in which an engine may compute."""
    assert round_to_levels(torch.randn(7, dtype=dtype), (-1.0, 1.0)).dtype == dtype


def test_filters_are_whole_multiples_of_a_step_of_their_channel() -> None:
    """The largest of each is 127; rounding them once more changes nothing, and empty filters stay empty."""
    weight = torch.randn(5, 4, 3, 3) * torch.tensor([1e-3, 1, 0, 50, 1]).view(5, 1, 1, 1)
    rounded = round_filters(weight)
    for channel in (0, 1, 3, 4):
        step = rounded[channel].abs().max() / 127
        multiples = rounded[channel] / step
        assert (multiples - multiples.round()).abs().max() < 1e-4
        assert (rounded[channel] - weight[channel]).abs().max() <= step / 2 * 1.001
    assert not rounded[2].any()
    torch.testing.assert_close(round_filters(rounded), rounded, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_with_its_own_ranges_it_answers_nearly_the_same(name: str) -> None:
    """As without rounding, and not exactly that."""
    plain, images = _network(name, None), _images(8)
    seen: list[list[float]] = []
    for module in plain.modules():
        if isinstance(module, Convolution):
            module.register_forward_pre_hook(
                lambda _, x: seen.append([min(0, x[0].min().item()), x[0].max().item()])
            )
    expected = plain(images)
    rounding = _network(name, seen)
    rounding.load_state_dict(plain.state_dict())
    got = rounding(images)
    assert (got - expected).abs().max() < 0.1 * expected.abs().max()
    assert not torch.equal(got, expected)
    assert (is_quantized(plain), is_quantized(rounding)) == (False, True)


@pytest.mark.parametrize("name", NAMES)
def test_the_twin_with_byte_filters_answers_the_same(name: str) -> None:
    """Its filters stood on their grid before; the original keeps its layers, and other filters would show."""
    network = _network(name, [[-0.2, 1.0]] * NAMES[name])
    coarse = _network(name, [[-0.2, 1.0]] * NAMES[name])
    with torch.no_grad():
        for module, other in zip(network.modules(), coarse.modules(), strict=True):
            if isinstance(module, Convolution) and isinstance(other, Convolution):
                module.weight.normal_(0, 0.1)
                other.weight.copy_((module.weight * 40).round() / 40)
                module.weight.copy_(round_filters(module.weight))
    images = _images(4)
    with torch.no_grad():
        expected = network(images)
        assert (with_byte_filters(network)(images) - expected).abs().max() < 1e-3 * expected.abs().max()
        assert (coarse(images) - expected).abs().max() > 1e-2 * expected.abs().max()
    assert sum(isinstance(module, Convolution) for module in network.modules()) == NAMES[name]


def test_gradients_pass_the_rounding() -> None:
    """As if it were not there, so that "Why?" can be asked; none where a value was cut off."""
    x = torch.tensor([-2.0, 0.3, 9.0], requires_grad=True)
    round_to_levels(x, (-1.0, 4.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 0]


def test_in_parts_the_rounding_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-way values, too, also where the level of 0 is an odd one."""
    limits = (-3.0, 252.0)
    halves = torch.arange(-3, 252) + 0.5
    fused = round_to_levels(halves, limits)
    monkeypatch.setattr("torch.compiler.is_exporting", lambda: True)
    assert torch.equal(round_to_levels(halves, limits), fused)


def test_an_exported_network_rounds_the_same() -> None:
    """torch.export, on the way to ONNX, has no shapes for the fused operator and gets it in parts."""
    coarse = [[-10.0, 50.0]] * 6
    network, images = _network("fast", coarse), _images(2)
    with torch.no_grad():
        exported = torch.export.export(network, (images,)).module()
        expected, unrounded = network(images), _network("fast", None)(images)
        assert (exported(images) - expected).abs().max() < 0.2 * (expected - unrounded).abs().max()


@pytest.mark.parametrize(
    ("ranges", "sentence"),
    [
        ([[-1.0, 1.0]] * 5, "5 input ranges for 6 convolutions"),
        ([[0.5, 1.0]] * 6, "does not reach from 0 or less to more than 0"),
        ([[-1.0, 0.0]] * 6, "does not reach from 0 or less to more than 0"),
        ([[-1.0, float("inf")]] * 6, "does not reach"),
        ([[-1.0, float("nan")]] * 6, "does not reach"),
        ([[0, 5e-324]] * 6, "does not reach"),
        ([[-1.88e-321, 5e-324]] * 6, "does not reach"),
        ([[0, 1e300]] * 6, "does not reach"),
        ([[0, 10**400]] * 6, "cannot be built"),
        ([[1.0]] * 6, "is not two numbers"),
        ([["-1", "1"]] * 6, "is not two numbers"),
        (["01"] * 6, "is not two numbers"),
        ([[False, True]] * 6, "is not two numbers"),
        ([{"0": 0, "1": 1}] * 6, "is not two numbers"),
        (3, "cannot be built"),
    ],
)
def test_ranges_that_cannot_be_are_refused(ranges: object, sentence: str) -> None:
    """They come from a file, and whoever reads it gets a sentence."""
    with pytest.raises(ArchitectureError, match=sentence):
        build(Architecture("fast", {"widths": WIDTHS, "input_ranges": ranges}), classes=3, spec=SPEC)
