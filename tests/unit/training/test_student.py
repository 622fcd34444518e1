"""A network with its optimizers: the step, and the state."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.networks import Architecture, build
from models.preprocessing import InputSpec
from training.devices import Computing
from training.ranks import ALONE
from training.recipes import FAST
from training.schedule import factor
from training.student import Student, make_student

RECIPE = replace(FAST, architecture=Architecture("fast", {"widths": [8, 8, 8]}), batch_size=16)
IMAGES = torch.randint(0, 256, (16, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte()
WANTED = torch.arange(16) % 3


def _student() -> Student:
    torch.manual_seed(0)
    network = build(RECIPE.architecture, classes=3, spec=InputSpec())
    computing = Computing(torch.device("cpu"), torch.float32)
    return make_student(RECIPE, network, pictures=40, computing=computing, ranks=ALONE)


def _step(student: Student, step: int) -> Tensor:
    student.set_rates(step=step, steps=10)
    losses = student.losses(IMAGES, WANTED)
    student.descend(losses.sum())
    return losses.detach()


def test_a_step_makes_the_losses_smaller() -> None:
    """There is one for each picture, float32; some steps on the same pictures learn them."""
    student = _student()
    first, *_, last = [_step(student, step) for step in range(5)]
    assert first.shape == (16,)
    assert first.dtype == torch.float32
    assert last.mean() < first.mean()


def test_a_step_forgets_the_gradients_of_the_one_before() -> None:
    """What is learnt of one batch is no part of the next one's update."""
    student = _student()
    _step(student, 0)
    student.set_rates(step=1, steps=10)
    losses = student.losses(IMAGES, WANTED)
    head = student.network.get_parameter("head.weight")
    (expected,) = torch.autograd.grad(losses.sum(), head, retain_graph=True)
    student.descend(losses.sum())
    assert head.grad is not None
    torch.testing.assert_close(head.grad, expected)


def test_the_rates_follow_the_schedule_of_the_recipe() -> None:
    """Counted in steps of the run; the stem's own end in those of an epoch, of which 40 pictures make two."""
    student = _student()
    student.set_rates(step=3, steps=10)
    groups = student.optimizers[0].param_groups
    assert groups[-1]["lr"] == pytest.approx(groups[-1]["highest_lr"] * factor(RECIPE.schedule, 0.3))
    (ends,) = {group["rests_after_steps"] for group in groups} - {None}
    assert ends == round(2 * next(group.rests_after for group in RECIPE.groups if group.rests_after is not None))


def test_a_student_goes_on_where_its_state_was_taken() -> None:
    """Weights and momentum come back: the next step is the same to the bit. What else there is is left aside."""
    straight, other = _student(), _student()
    _step(straight, 0)
    state = copy.deepcopy(straight.state())
    other.restore({**state, "step": 1})
    _step(straight, 1)
    _step(other, 1)
    for name, tensor in straight.network.state_dict().items():
        assert torch.equal(other.network.state_dict()[name], tensor), name
