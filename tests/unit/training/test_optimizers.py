"""Which parameters are trained, by what."""

import pytest
import torch

from models.networks.fast import FastNetwork
from models.networks.residual import ResidualNetwork
from models.preprocessing import InputSpec
from training.optimizers import make_optimizers
from training.recipes import ACCURATE, FAST


def test_each_parameter_of_fast_has_the_rate_and_decay_of_the_recipe() -> None:
    """Stem bias and shifts 0.053, head 0.67, filters 0.24; a decay step is 2e-6 × batch × schedule for each."""
    network = FastNetwork(classes=10, spec=InputSpec())
    sgd, muon = make_optimizers(FAST, network, steps_per_epoch=25, dtype=torch.float32)
    sizes = [[tuple(p.shape) for p in group["params"]] for group in sgd.param_groups]
    assert sizes == [[(24,)], [(64,), (64,), (256,), (256,), (256,), (256,)], [(10, 256)]]
    assert [group["lr"] for group in sgd.param_groups] == [0.053, 0.053, 0.67]
    for group in sgd.param_groups:
        assert group["lr"] * group["weight_decay"] == pytest.approx(0.004)
        assert (group["momentum"], group["nesterov"]) == (0.85, True)
    assert [group["rests_after_steps"] for group in sgd.param_groups] == [75, None, None]
    (filters,) = muon.param_groups
    assert [p.shape[:2] for p in filters["params"]] == [(64, 24), (64, 64), (256, 64), *[(256, 256)] * 3]
    assert (filters["lr"], filters["momentum"]) == (0.24, 0.6)


def test_each_parameter_of_accurate_has_the_published_rate_and_decay() -> None:
    """1.1464e-3 with a coefficient of 1.36533, and for the shifts 64 times and a 64th of that."""
    network = ResidualNetwork(classes=10, spec=InputSpec())
    (sgd,) = make_optimizers(ACCURATE, network, steps_per_epoch=46, dtype=torch.float32)
    rates = [group["lr"] for group in sgd.param_groups]
    decays = [group["weight_decay"] for group in sgd.param_groups]
    assert rates == pytest.approx([1.1464e-3, 7.337e-2, 1.1464e-3, 1.1464e-3], rel=1e-4)
    assert decays == pytest.approx([1.36533, 0.0213333, 1.36533, 1.36533], rel=1e-5)
    trained = [p for p in network.parameters() if p.requires_grad]
    assert sum(len(group["params"]) for group in sgd.param_groups) == len(trained) == 20
