"""The floor under the probabilities of a network that has learnt smoothed labels, taken off again.

Label smoothing teaches that nothing is impossible: such a network never gives a class less than about the share
that was spread, however clear the picture. One temperature cannot mend that, since it sharpens what lies between
two classes as much as what is clear (docs/experiments.md, 2026-11-25).
"""

import torch
from torch import Tensor


def take_off(logits: Tensor, floor: Tensor | float) -> Tensor:
    """Let a probability p count p² / (p² + floor²) of itself: nearly all far above the floor, little below.

    The order of the classes stays as it is.

    Args:
        logits: (batch, classes).
        floor: a probability; 0 gives the logits back.

    Returns:
        The new logits, (batch, classes).
    """
    if not isinstance(floor, Tensor) and floor == 0:
        return logits
    logs = torch.log_softmax(logits, dim=1)
    return 3 * logs - torch.log(torch.exp(2 * logs) + floor**2)
