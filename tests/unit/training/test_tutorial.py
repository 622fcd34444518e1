"""The beginner's steps."""

import torch
import torch.nn.functional as F
from torch import nn

from training.recipes import TutorialRecipe
from training.tutorial import Beginner


def test_a_step_follows_the_gradient_of_its_own_pictures_alone() -> None:
    """What the step before it found is forgotten: plain gradient descent moves by rate times gradient."""
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    beginner = Beginner(TutorialRecipe(), network, optimizer, steps_per_epoch=10, order=torch.empty(0))
    first, second = torch.rand(2, 5, 4)
    targets = torch.tensor([0, 1, 2, 0, 1])
    beginner.learn(first, targets)
    before = network.weight.detach().clone()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(second), targets), network.weight)
    beginner.learn(second, targets)
    torch.testing.assert_close(network.weight.detach(), before - 0.1 * gradient)


def test_a_run_that_goes_on_counts_the_seconds_before_a_stop() -> None:
    """The record tells how long a training took, over all its parts."""
    network = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    stopped, resumed = (
        Beginner(TutorialRecipe(), network, optimizer, steps_per_epoch=10, order=torch.empty(0)) for _ in range(2)
    )
    stopped.seconds = 12.5
    resumed.restore(stopped.state())
    assert resumed.seconds == 12.5
