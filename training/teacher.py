"""Teachers, asked about what their student sees."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.chunks import chunks
from training.devices import Computing
from training.epoch import Wanted

_MOST_AT_ONCE = 256
"""Pictures of 32 × 32 pixels that a teacher answers at once."""


def answers_of(networks: Sequence[nn.Module], computing: Computing) -> Wanted:
    """Let the mean of networks' logits be what is wanted, wherever in the data set the pictures stand.

    Args:
        networks: one or more, in evaluation mode, on the pictures' device; no logits are divided by a temperature.
        computing: in which dtype, compiled or not.

    Returns:
        Images, uint8 (batch, height, width, 3), and their index → float32 logits (batch, classes).
    Source:
        Several teachers, by the geometric mean of their probabilities: arXiv 1503.02531.
    """
    called = [computing.compiled(network) for network in networks]

    @torch.no_grad()
    def answer(images: Tensor, _: Tensor) -> Tensor:
        with computing.autocast():
            answers = [_whole(network, images).float() for network in called]
        return torch.stack(answers).mean(dim=0)

    return answer


def _whole(network: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(some) for some in chunks(images, most=_MOST_AT_ONCE)])
