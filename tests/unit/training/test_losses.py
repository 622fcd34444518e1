"""What a step makes small, against the formulas."""

import torch

from training.losses import distance_to_labels


def test_a_share_of_each_target_is_spread_over_all_classes() -> None:
    """With smoothing s the loss is 1 − s of the label's own, and s of the mean over the classes."""
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0]])
    surprise = -logits.log_softmax(1)
    found = distance_to_labels(logits, torch.tensor([0, 1]), smoothing=0.2)
    torch.testing.assert_close(found, 0.8 * surprise[[0, 1], [0, 1]] + 0.2 * surprise.mean(1))
