"""What a step makes small, against the formulas."""

from dataclasses import replace

import torch

from training.losses import distance_to_labels, losses_of
from training.recipes import FAST, TAUGHT, Teaching


def test_a_share_of_each_target_is_spread_over_all_classes() -> None:
    """With smoothing s the loss is 1 − s of the label's own, and s of the mean over the classes."""
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0]])
    surprise = -logits.log_softmax(1)
    found = distance_to_labels(logits, torch.tensor([0, 1]), smoothing=0.2)
    torch.testing.assert_close(found, 0.8 * surprise[[0, 1], [0, 1]] + 0.2 * surprise.mean(1))


def test_labels_are_learnt_with_the_smoothing_of_the_recipe() -> None:
    """Three tenths here; the table has two."""
    logits, targets = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0]]), torch.tensor([0, 1])
    surprise = -logits.log_softmax(1)
    found = losses_of(replace(FAST, label_smoothing=0.3))(logits, targets)
    torch.testing.assert_close(found, 0.7 * surprise[[0, 1], [0, 1]] + 0.3 * surprise.mean(1))


def test_a_teacher_is_learnt_at_the_temperature_of_the_recipe() -> None:
    """Both answers are divided by two here, and the divergence is multiplied by its square; the table has one."""
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0]])
    taught = torch.tensor([[1.0, 4.0, 0.0], [0.0, 1.0, 3.0]])
    own, wanted = (logits / 2).softmax(1), (taught / 2).softmax(1)
    found = losses_of(replace(TAUGHT, teaching=Teaching(temperature=2.0)))(logits, taught)
    torch.testing.assert_close(found, 4 * (wanted * (wanted / own).log()).sum(1))
