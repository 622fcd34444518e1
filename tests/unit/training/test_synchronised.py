"""Batch norm over several processes, against PyTorch's own over one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import Tensor

from models.networks import Architecture, build
from models.networks.layers import ShiftBatchNorm
from models.preprocessing import InputSpec
from training.synchronised import SynchronisedBatchNorm, synchronise


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A group of one: all sums are its own."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def _features(n: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, 5, 4, 4, generator=torch.Generator().manual_seed(seed)) * 3 + 1


@pytest.mark.usefixtures("one_process")
def test_alone_it_is_plain_batch_norm() -> None:
    """Output, gradients and running statistics are those of the layer that it stands for."""
    plain, sum_of = ShiftBatchNorm(5, rate=0.4), []
    shared = SynchronisedBatchNorm(ShiftBatchNorm(5, rate=0.4))
    outputs, gradients = [], []
    for layer in (plain, shared):
        x = _features().requires_grad_()
        y = layer(x)
        (y * _features(seed=1)).sum().backward()
        outputs.append(y)
        gradients += [x.grad, layer.bias.grad]
        sum_of.append(layer.state_dict())
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients[2], gradients[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradients[3], gradients[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sum_of[1], sum_of[0], atol=1e-5, rtol=1e-5)


def test_a_network_keeps_its_tensors() -> None:
    """Names, order and the very tensors of the state stay, so optimizers and checkpoints see no difference."""
    network = build(Architecture("fast", {"widths": [8, 8, 8]}), classes=3, spec=InputSpec())
    before = network.state_dict(keep_vars=True)
    after = synchronise(network).state_dict(keep_vars=True)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert any(isinstance(layer, SynchronisedBatchNorm) for layer in network.modules())


def test_in_evaluation_no_process_is_needed() -> None:
    """A trained network answers alone, by its running statistics."""
    layer = SynchronisedBatchNorm(ShiftBatchNorm(5, rate=0.4)).eval()
    torch.testing.assert_close(layer(_features()), _features(), atol=1e-5, rtol=1e-5)
