"""A teacher, asked about what its student sees."""

import torch
from torch import Tensor, nn

from training.devices import Computing
from training.epoch import Wanted
from training.measuring.chunks import chunks

_MOST_AT_ONCE = 256
"""Pictures of 32 × 32 pixels that the teacher answers at once."""


def answers_of(network: nn.Module, computing: Computing) -> Wanted:
    """Let a network's logits be what is wanted, wherever in the data set the pictures stand.

    Args:
        network: in evaluation mode, on the pictures' device; its logits are not divided by a temperature.
        computing: in which dtype, compiled or not.

    Returns:
        Images, uint8 (batch, height, width, 3), and their index → float32 logits (batch, classes).
    """
    called = computing.compiled(network)

    @torch.no_grad()
    def answer(images: Tensor, _: Tensor) -> Tensor:
        with computing.autocast():
            return torch.cat([called(some) for some in chunks(images, most=_MOST_AT_ONCE)]).float()

    return answer
