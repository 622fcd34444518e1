"""A teacher, asked about what its student sees."""

import torch
from torch import Tensor, nn

from training.chunks import chunks
from training.devices import Computing

_MOST_AT_ONCE = 256
"""Pictures of 32 × 32 pixels that the teacher answers at once."""


class Teacher:
    """Answers pictures.

    Args:
        network: in evaluation mode, on the pictures' device; its logits are not divided by a temperature.
        computing: in which dtype.
    """

    def __init__(self, network: nn.Module, computing: Computing) -> None:
        self._network = network
        self._computing = computing

    @torch.no_grad()
    def answer(self, images: Tensor, _: Tensor) -> Tensor:
        """Give the logits for pictures: `training.epoch.Wanted`, whatever their places in the data set.

        Args:
            images: uint8 (batch, height, width, 3).

        Returns:
            float32 (batch, classes).
        """
        with self._computing.autocast():
            return torch.cat([self._network(some) for some in chunks(images, most=_MOST_AT_ONCE)]).float()
