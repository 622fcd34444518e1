"""What every network is, whatever its layers: pixels become features, features become logits."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from models.networks.normalization import Normalization
from models.preprocessing import InputSpec


class Stage(NamedTuple):
    """A module that gives maps (batch, channels, rows, columns), and where in the image their places are.

    Attributes:
        module: of the network.
        stride: pixels from the middle of what one place sees to that of the next.
        first: the middle of what the first place sees, in pixels from the edge.
    """

    module: nn.Module
    stride: int
    first: float


class Network(nn.Module, ABC):
    """uint8 (batch, height, width, 3) → logits (batch, classes), in two halves that can be asked for alone.

    Training, calibration, the graph that engines run, explanations and export know a network by this and no more,
    but for the whitening stem of two families, which is fitted, and which an engine replaces.
    A family says in its own file what lies between, and `models/networks/__init__.py` finds it by name.

    Attributes:
        temperature: the logits are divided by it; calibration sets it.
        normalize: what is done to images first.

    Args:
        spec: size, mean and deviation of the images.
        temperature: above 0.
    """

    temperature: float

    def __init__(self, spec: InputSpec, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.normalize = Normalization(spec)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images: features, then logits.

        Args:
            images: uint8 (batch, height, width, 3); floats in 0…255 pass too (training resizes them).

        Returns:
            (batch, classes), divided by the temperature, in the dtype of the weights or of autocast.
        """
        return self.logits(self.features(images))

    @property
    @abstractmethod
    def feature_count(self) -> int:
        """How many numbers the last layer sees."""

    @property
    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The modules that give maps, each coarser than the one before."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Compute from images, as `forward` takes them, what the last layer sees: (batch, feature_count)."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Turn features (batch, feature_count) into logits (batch, classes), divided by the temperature."""
