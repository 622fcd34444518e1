"""Averages that lag behind are replaced, and others are left to the bit."""

import io

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from training.devices import Computing
from training.norms import settle_norms
from training.ranks import Ranks

_CPU = Computing(torch.device("cpu"), torch.float32)


class _Brightness(nn.Module):
    """Tells dark pictures from bright ones, by what is below and above the average."""

    def __init__(self, *, mean: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, momentum=0.4)
        assert self.norm.running_mean is not None
        self.norm.running_mean.fill_(mean)

    def forward(self, images: Tensor) -> Tensor:
        brightness = self.norm(images.permute(0, 3, 1, 2).float()).mean(dim=(1, 2, 3))
        return torch.stack([-brightness, brightness], dim=1)


def _pictures() -> tuple[Tensor, Tensor]:
    targets = torch.arange(40) % 2
    noise = torch.randint(0, 50, (40, 6, 6, 3), generator=torch.Generator().manual_seed(0))
    return (noise + 150 * targets[:, None, None, None]).to(torch.uint8), targets


@pytest.mark.parametrize("mean", [-300.0, 700.0])
def test_averages_that_lag_behind_are_taken_anew(mean: float) -> None:
    """Everything would be one class; the sentence has both shares, and the rate is as it was."""
    network, out = _Brightness(mean=mean), io.StringIO()
    images, targets = _pictures()
    settle_norms(network, images, targets, most=2_000, computing=_CPU, console=Console(file=out))
    assert torch.equal(network(images).argmax(1), targets)
    assert "with them 50 % of 40 training pictures were named rightly" in out.getvalue()
    assert "with averages of these pictures 100 %" in out.getvalue()
    assert network.norm.momentum == 0.4
    assert not network.training


@pytest.mark.parametrize("mislabelled", [0, 6])
def test_averages_that_serve_are_left_to_the_bit(mislabelled: int) -> None:
    """Though those of the pictures would name three of forty more; nothing is said."""
    images, targets = _pictures()
    brightness = images[targets == 1].float().mean(dim=(1, 2, 3)).sort().values
    targets[torch.nonzero(targets == 0).flatten()[:mislabelled]] = 1
    network, out = _Brightness(mean=float(brightness[2:4].mean())), io.StringIO()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert int((network.eval()(images).argmax(1) != targets).sum()) == 3 + mislabelled
    settle_norms(network, images, targets, most=2_000, computing=_CPU, console=Console(file=out))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert out.getvalue() == ""


class _WithAnother(Ranks):
    """Two processes, of which the other one wants averages."""

    def agree(self, is_wanted: bool) -> bool:
        """The other one wants it."""
        assert not is_wanted
        return True

    def share(self, index: Tensor) -> Tensor:
        """Everything, and remember that it was asked for."""
        shares.append(len(index))
        return index


shares: list[int] = []


def test_a_process_that_needs_no_averages_takes_part_in_those_of_others() -> None:
    """Rounding may divide them; whoever was alone in averaging would wait for ever."""
    images, targets = _pictures()
    network = _Brightness(mean=100.0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    settle_norms(
        network,
        images,
        targets,
        most=2_000,
        computing=_CPU,
        console=Console(file=io.StringIO()),
        ranks=_WithAnother(),
    )
    assert shares == [40]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
