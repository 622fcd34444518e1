"""A teacher's answers, and how far a student is from them."""

import torch
from torch import Tensor

from models.networks import Architecture, build
from models.networks.network import Network
from models.preprocessing import InputSpec
from training.devices import Computing
from training.losses import distance_to_teacher
from training.teacher import answers_of

CLASSES = 4


def test_answers_are_logits_that_can_be_learnt() -> None:
    """Those of the network in the computing's dtype, in float32; nothing is learnt through the teacher."""
    torch.manual_seed(0)
    network = build(Architecture("fast", {"widths": (8, 8, 8)}), classes=CLASSES, spec=InputSpec()).eval()
    network.requires_grad_(True)
    images = torch.randint(0, 256, (300, 32, 32, 3), dtype=torch.uint8)
    computing = Computing(torch.device("cpu"), torch.bfloat16)
    answers = answers_of([network], computing)(images, torch.arange(300))
    with torch.no_grad(), computing.autocast():
        expected = torch.cat([network(images[:256]), network(images[256:])]).float()
    assert torch.equal(answers, expected)
    student = torch.zeros(300, CLASSES, requires_grad=True)
    distance_to_teacher(student, answers, temperature=1.0).sum().backward()
    assert student.grad is not None
    assert student.grad.abs().min() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_several_teachers_are_one_voice() -> None:
    """The mean of their logits, whatever their order; one who is asked twice counts twice."""
    networks = [
        build(Architecture("fast", {"widths": (8, 8, 8)}), classes=CLASSES, spec=InputSpec()).eval()
        for _ in range(2)
    ]
    images = torch.randint(0, 256, (20, 32, 32, 3), dtype=torch.uint8)
    computing = Computing(torch.device("cpu"), torch.float32)

    def answers(*asked: Network) -> Tensor:
        return answers_of(asked, computing)(images, torch.arange(20))

    first, second = map(answers, networks)
    torch.testing.assert_close(answers(*networks), (first + second) / 2)
    torch.testing.assert_close(answers(*networks[::-1]), (first + second) / 2)
    torch.testing.assert_close(answers(networks[0], *networks), (2 * first + second) / 3)


def test_a_student_that_agrees_has_no_loss() -> None:
    """The divergence is 0 for equal logits, grows with the distance, and is a sum over the classes."""
    logits = torch.randn(3, CLASSES, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(distance_to_teacher(logits, logits, temperature=1.0), torch.zeros(3))
    p, q = (torch.softmax(x / 2, dim=1) for x in (logits, logits.flip(1)))
    by_hand = 4 * (p * (p / q).log()).sum(dim=1)
    torch.testing.assert_close(distance_to_teacher(logits.flip(1), logits, temperature=2.0), by_hand)
