"""Which parameters are trained, and how fast."""

import pytest
import torch

from models.networks.fast import FastNetwork
from models.networks.residual import ResidualNetwork
from models.preprocessing import InputSpec
from training.recipes import ACCURATE, FAST
from training.schedule import factor, make_optimizers, set_rates


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


def test_fast_rates_fall_linearly_and_the_stem_sooner() -> None:
    """At half time a rate is half; the stem's is zero from its own end on, and it is frozen then."""
    network = FastNetwork(classes=2, spec=InputSpec(), widths=(8, 8, 8))
    optimizers = make_optimizers(FAST, network, steps_per_epoch=10, dtype=torch.float32)
    stem, shifts, _ = optimizers[0].param_groups
    seen = []
    for step in (0, 15, 30, 50, 99):
        set_rates(FAST, optimizers, step=step, steps=100)
        seen.append((stem["lr"] / 0.053, shifts["lr"] / 0.053, network.stem.bias.requires_grad))
    assert seen == [
        (1.0, 1.0, True),
        (0.5, 0.85, True),
        (0.0, pytest.approx(0.7), False),
        (0.0, 0.5, False),
        (0.0, pytest.approx(0.01), False),
    ]


def test_in_a_short_run_the_stem_rests_at_the_end_of_it() -> None:
    """Its rate falls to zero over the steps that there are, with all others, not over those of the table."""
    network = FastNetwork(classes=2, spec=InputSpec(), widths=(8, 8, 8))
    optimizers = make_optimizers(FAST, network, steps_per_epoch=10, dtype=torch.float32)
    stem, shifts, _ = optimizers[0].param_groups
    assert stem["rests_after_steps"] == 30
    for step, share in ((0, 1.0), (10, 0.5), (15, 0.25)):
        set_rates(FAST, optimizers, step=step, steps=20)
        assert (stem["lr"], shifts["lr"]) == pytest.approx((0.053 * share, 0.053 * share))


def test_accurate_warms_up_and_then_falls_to_zero() -> None:
    """From 0.2 to 1 in a tenth of the run, at half of the fall 0.5, at the end 0 and so beyond it."""
    knots = ACCURATE.schedule
    shares = (0.0, 0.05, 0.1, 0.55, 1.0, 1.5)
    assert [factor(knots, share) for share in shares] == pytest.approx([0.2, 0.6, 1.0, 0.5, 0.0, 0.0])
