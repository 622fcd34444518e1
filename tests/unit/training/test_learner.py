"""What changes from step to step, saved and taken up again."""

from dataclasses import replace

import torch
from torch import Tensor

from models.networks import Architecture, build
from models.preprocessing import InputSpec
from training.devices import Computing
from training.learner import Learner, make_learner
from training.ranks import ALONE
from training.recipes import FAST

SPEC = InputSpec(height=9, width=9)


def _learner() -> Learner:
    """Four steps of four pictures in an epoch."""
    torch.manual_seed(0)
    recipe = replace(FAST, architecture=Architecture("fast", {"widths": [4, 4, 4]}), batch_size=4)
    network = build(recipe.architecture, classes=2, spec=SPEC)
    computing = Computing(torch.device("cpu"), torch.float32)
    return make_learner(recipe, network, pictures=16, selector=None, computing=computing, ranks=ALONE)


def _learn(learner: Learner, steps: range) -> list[Tensor]:
    pictures = torch.randint(0, 256, (4, 4, 9, 9, 3), generator=torch.Generator().manual_seed(1)).byte()
    return [learner.learn(pictures[step], torch.tensor([0, 1, 0, 1])) for step in steps]


def test_the_loss_of_an_epoch_counts_the_steps_before_a_stop() -> None:
    """A run that goes on in the middle of an epoch tells the same of it as one that was never stopped."""
    stopped, resumed = _learner(), _learner()
    before = _learn(stopped, range(2))
    resumed.restore(stopped.state())
    after = _learn(resumed, range(2, 4))
    torch.testing.assert_close(resumed.epoch_loss.item(), sum(loss.item() for loss in (*before, *after)))
