"""What changes from step to step, saved and taken up again."""

from dataclasses import replace

import torch
from torch import Tensor

from models.networks import Architecture, build
from models.preprocessing import InputSpec
from training.devices import Computing
from training.learner import Learner, make_learner
from training.ranks import ALONE
from training.recipes import FAST, Lookahead

SPEC = InputSpec(height=9, width=9)


def _learner(*, steps_per_epoch: int = 4, epochs: int = 10, lookahead: Lookahead | None = None) -> Learner:
    """Steps of four pictures."""
    torch.manual_seed(0)
    recipe = replace(
        FAST,
        architecture=Architecture("fast", {"widths": [4, 4, 4]}),
        batch_size=4,
        epochs=epochs,
        lookahead=lookahead,
    )
    network = build(recipe.architecture, classes=2, spec=SPEC)
    computing = Computing(torch.device("cpu"), torch.float32)
    return make_learner(
        recipe, network, pictures=4 * steps_per_epoch, selector=None, computing=computing, ranks=ALONE
    )


def _learn(learner: Learner, steps: range) -> list[Tensor]:
    pictures = torch.randint(0, 256, (7, 4, 9, 9, 3), generator=torch.Generator().manual_seed(1)).byte()
    return [learner.learn(pictures[step], torch.tensor([0, 1, 0, 1])) for step in steps]


def test_the_loss_of_an_epoch_counts_the_steps_before_a_stop() -> None:
    """A run that goes on in the middle of an epoch tells the same of it as one that was never stopped."""
    stopped, resumed = _learner(), _learner()
    before = _learn(stopped, range(2))
    resumed.restore(stopped.state())
    after = _learn(resumed, range(2, 4))
    torch.testing.assert_close(resumed.epoch_loss.item(), sum(loss.item() for loss in (*before, *after)))


def test_network_and_slow_copy_meet_after_every_fifth_step_and_after_the_last() -> None:
    """Of seven steps after the fifth, from which the copy does not move again, and after the seventh."""
    learner = _learner(steps_per_epoch=7, epochs=1, lookahead=Lookahead())
    assert learner.slow is not None
    met: dict[int, dict[str, Tensor]] = {}
    for step in range(learner.steps):
        _learn(learner, range(step, step + 1))
        copy, network = learner.slow.tensors, learner.student.network.state_dict()
        if all(torch.equal(network[name], tensor) for name, tensor in copy.items()):
            met[learner.step] = {name: tensor.clone() for name, tensor in copy.items()}
    assert list(met) == [5, 7]
    assert all(torch.equal(met[7][name], tensor) for name, tensor in met[5].items())


def test_a_run_that_goes_on_counts_the_seconds_before_a_stop() -> None:
    """The record tells how long a training took, over all its parts."""
    stopped, resumed = _learner(), _learner()
    stopped.seconds = 12.5
    resumed.restore(stopped.state())
    assert resumed.seconds == 12.5
