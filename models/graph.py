"""What an engine runs: everything of a checkpoint that answers pictures, as one module.

All engines then compute the same in one pass, and the golden answers watch over all of it.
"""

from torch import Tensor, nn

from models.distance import ClassDistance
from models.floor import take_off


class Graph(nn.Module):
    """What an engine runs: the network, and with its features the distance where a checkpoint has one.

    Args:
        network: uint8 (batch, height, width, 3) → logits, by way of `features`.
        distance: None where there is none.
        floor: taken off the probabilities (`models.floor`).
    """

    def __init__(self, network: nn.Module, distance: ClassDistance | None, *, floor: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.distance = distance
        self.floor = floor

    def around(self, network: nn.Module) -> "Graph":
        """The same with another network that answers as this one does."""
        return Graph(network, self.distance, floor=self.floor).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Answer images: logits (batch, classes), and then the distance (batch, 1) if there is one.

        Args:
            images: uint8 (batch, height, width, 3).
        """
        if self.distance is None:
            return (take_off(self.network(images), self.floor),)
        features = self.network.features(images)  # type: ignore[operator]
        logits = take_off(self.network.logits(features), self.floor)  # type: ignore[operator]
        return logits, self.distance(features)
