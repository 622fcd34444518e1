"""What an engine runs: everything of a checkpoint that answers pictures, as one module.

All engines then compute the same in one pass, and the golden answers watch over all of it.
"""

import torch
from torch import Tensor, nn

from models.distance import ClassDistance
from models.floor import take_off
from models.networks.network import Network
from models.preprocessing import Answers, Images


class Graph(nn.Module):
    """What an engine runs: the network, and with its features the distance where a checkpoint has one.

    Args:
        network: in evaluation mode.
        distance: None where there is none.
        floor: taken off the probabilities (`models.floor`).
    """

    def __init__(self, network: Network, distance: ClassDistance | None, *, floor: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.distance = distance
        self.floor = floor

    def around(self, network: Network) -> "Graph":
        """The same with another network that answers as this one does."""
        return Graph(network, self.distance, floor=self.floor).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Answer images: logits (batch, classes), and then the distance (batch, 1) if there is one.

        Args:
            images: uint8 (batch, height, width, 3).
        """
        if self.distance is None:
            return (take_off(self.network(images), self.floor),)
        features = self.network.features(images)
        logits = take_off(self.network.logits(features), self.floor)
        return logits, self.distance(features)

    def answers(self, images: Tensor) -> Tensor:
        """Answer images as whoever asked a checkpoint wants it: probabilities, then the distance if there is one.

        Args:
            images: uint8 (batch, height, width, 3), on the device of the network.

        Returns:
            (batch, classes), or (batch, classes + 1) with a distance; float32 under any autocast.
        """
        logits, *distance = self(images)
        return torch.cat([torch.softmax(logits.float(), dim=1), *(column.float() for column in distance)], dim=1)


@torch.inference_mode()
def answer(graph: Graph, images: Images) -> Answers:
    """Run a graph once, wherever it is.

    Args:
        graph: in evaluation mode.
        images: uint8 (batch, height, width, 3).
    """
    device = next(graph.parameters()).device
    answers: Answers = graph.answers(torch.from_numpy(images).to(device)).cpu().numpy()
    return answers
