"""The floor of label smoothing, taken off."""

import pytest
import torch

from models.floor import take_off

LOGITS = torch.tensor([[0.0, 1.0, 3.0, -40.0], [2.0, 2.0, 2.0, 2.0]])


@pytest.mark.parametrize("floor", [0.0, 1e-6, 0.05, 0.2])
def test_the_order_of_the_classes_stays(floor: float) -> None:
    """Whatever is taken off; equal ones stay equal, and nothing becomes infinite."""
    probabilities = take_off(LOGITS, floor).softmax(1)
    assert torch.isfinite(take_off(LOGITS, floor)).all()
    assert torch.equal(probabilities[0].argsort(), LOGITS[0].argsort())
    torch.testing.assert_close(probabilities[1], torch.full((4,), 0.25))


def test_what_is_near_the_floor_loses_most() -> None:
    """P counts p² / (p² + floor²) of itself: half at the floor."""
    before, after = LOGITS.softmax(1), take_off(LOGITS, 0.05).softmax(1)
    kept = after / before
    expected = before**2 / (before**2 + 0.05**2)
    torch.testing.assert_close(kept[0, :3] / kept[0, 2], expected[0, :3] / expected[0, 2])


def test_no_floor_changes_nothing() -> None:
    """Checkpoints from before it answer to the bit what they did."""
    assert take_off(LOGITS, 0.0) is LOGITS
