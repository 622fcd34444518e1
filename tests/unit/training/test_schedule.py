"""How fast parameters learn."""

import pytest
import torch

from models.networks.fast import FastNetwork
from models.preprocessing import InputSpec
from training.optimizers import make_optimizers
from training.recipes import ACCURATE, FAST
from training.schedule import factor, set_rates


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
