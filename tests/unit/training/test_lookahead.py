"""The slow copy, against its definition."""

import torch

from training.lookahead import SlowCopy
from training.recipes import Lookahead


def _layer(value: float) -> torch.nn.BatchNorm1d:
    layer = torch.nn.BatchNorm1d(1)
    _set(layer, value)
    return layer


def _set(layer: torch.nn.BatchNorm1d, value: float) -> None:
    with torch.no_grad():
        layer.weight.fill_(value)


def test_every_fifth_step_copy_and_network_meet() -> None:
    """Slow ← a · slow + (1 − a) · network with a = 0.95⁵ · (5 / 20)³, and the network goes on from there."""
    layer = _layer(1.0)
    copy = SlowCopy(Lookahead(), layer)
    for step in range(1, 5):
        _set(layer, 1.0 + step)
        copy.follow(done=step, steps=20)
        assert layer.weight.item() == 1.0 + step
    _set(layer, 9.0)
    copy.follow(done=5, steps=20)
    kept = 0.95**5 * (5 / 20) ** 3
    expected = torch.tensor([kept * 1.0 + (1 - kept) * 9.0])
    torch.testing.assert_close(layer.weight.detach(), expected)
    assert torch.equal(copy.tensors["weight"], layer.weight)


def test_statistics_follow_and_counters_do_not() -> None:
    """Every floating tensor of the state is copied: running statistics too, the integer counter not."""
    assert set(SlowCopy(Lookahead(), _layer(1.0)).tensors) == {"weight", "bias", "running_mean", "running_var"}


def test_the_last_step_ends_at_the_copy() -> None:
    """Whatever the number of steps, the trained network is the slow copy."""
    layer = _layer(1.0)
    copy = SlowCopy(Lookahead(), layer)
    _set(layer, 4.0)
    copy.follow(done=7, steps=7)
    assert layer.weight.item() == 1.0


def test_what_does_not_change_stays_exact() -> None:
    """A frozen weight comes out of many meetings as it went in, to the bit."""
    layer = _layer(0.1234567)
    copy = SlowCopy(Lookahead(), layer)
    before = layer.weight.clone()
    for step in range(1, 101):
        copy.follow(done=step, steps=100)
    assert torch.equal(layer.weight, before)
