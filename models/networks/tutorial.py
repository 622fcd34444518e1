"""The network of the PyTorch beginner's tutorial, unchanged: about 54 % on CIFAR-10 after 2 epochs."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.network import Network, Stage
from models.preprocessing import InputSpec

SMALLEST_SIDE = 16
"""Least side of a picture, in pixels: of less nothing is left after two stages."""


class TutorialNetwork(Network):
    """conv 3→6, pool, conv 6→16, pool, linear 400→120→84→classes, ReLU between; 62,006 parameters for 10.

    Source:
        PyTorch tutorials, "Training a classifier". The first linear layer follows the input size;
        at 32 × 32 it is the tutorial's 16 · 5 · 5 = 400.
    """

    def __init__(self, *, classes: int, spec: InputSpec, temperature: float = 1.0) -> None:
        super().__init__(spec, temperature=temperature)
        rows, columns = (_after_two_stages(side) for side in (spec.height, spec.width))
        if rows < 1 or columns < 1:
            raise ValueError(f"the tutorial network needs at least {SMALLEST_SIDE} × {SMALLEST_SIDE} pixels")
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * rows * columns, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    @property
    def feature_count(self) -> int:
        """How many numbers the last layer sees."""
        return self.fc3.in_features

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The two convolutions: the second sees pairs of what the first does."""
        return Stage(self.conv1, 1, 2.5), Stage(self.conv2, 2, 7.0)

    def features(self, images: Tensor) -> Tensor:
        """Compute from uint8 images (batch, height, width, 3) what the last layer sees: (batch, 84)."""
        x = self.normalize(images)  # (batch, 3, 32, 32)
        x = self.pool(F.relu(self.conv1(x)))  # (batch, 6, 14, 14)
        x = self.pool(F.relu(self.conv2(x)))  # (batch, 16, 5, 5)
        x = F.relu(self.fc1(x.flatten(1)))  # (batch, 120)
        return F.relu(self.fc2(x))  # (batch, 84)

    def logits(self, features: Tensor) -> Tensor:
        """Turn features (batch, 84) into logits (batch, classes)."""
        logits: Tensor = self.fc3(features) / self.temperature
        return logits


def _after_two_stages(side: int) -> int:
    """Side length in pixels after two times conv 5×5 without padding and max-pool 2."""
    return ((side - 4) // 2 - 4) // 2
