"""A network with labels, input and calibration: pictures in, predictions out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models.calibration import Calibration
from models.graph import Graph
from models.pictures import Picture
from models.preprocessing import Answers, Images, InputSpec, Probabilities, to_images


@dataclass(frozen=True)
class Prediction:
    """One label and its probability.

    Attributes:
        label: as in the checkpoint.
        class_index: its place among the labels, from 0.
        score: probability, 0…1.
    """

    label: str
    class_index: int
    score: float


@dataclass(frozen=True)
class Classifier:
    """What a checkpoint becomes once it is loaded.

    Attributes:
        name: what the service calls it.
        network: in evaluation mode, on its device.
        labels: in the order of the network's outputs.
        input: what a picture must become first.
        calibration: how to read the logits; the temperature is already inside the network, the floor is not.
    """

    name: str
    network: nn.Module
    labels: tuple[str, ...]
    input: InputSpec
    calibration: Calibration

    def probabilities(self, images: Images) -> Probabilities:
        """Run the network once.

        Args:
            images: uint8 (batch, input.height, input.width, 3).

        Returns:
            float32 (batch, classes).
        """
        return answer(Graph(self.network, None, floor=self.calibration.floor), images)

    def classify(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """Name the most probable class of each picture, in order.

        Raises:
            EmptyBatchError: there is no picture.
        """
        rows = self.probabilities(to_images(pictures, self.input))
        return [rank(row, self.labels, top_k=1)[0] for row in rows]


def probabilities_of(network: nn.Module, images: Images) -> Probabilities:
    """Run a network in evaluation mode once, on the device where it is.

    Args:
        network: uint8 (batch, height, width, 3) → logits (batch, classes).
        images: uint8 (batch, height, width, 3).

    Returns:
        float32 (batch, classes): the softmax of its logits.
    """
    return answer(Graph(network, None), images)


@torch.inference_mode()
def answer(graph: Graph, images: Images) -> Answers:
    """Run a network in evaluation mode once, with the distance where there is one, on the device where it is.

    Args:
        graph: of a checkpoint.
        images: uint8 (batch, height, width, 3).

    Returns:
        float32 (batch, classes), the softmax of its logits; with a distance there is one more column for it.
    """
    device = next(graph.parameters()).device
    logits, *distance = graph(torch.from_numpy(images).to(device))
    columns = [torch.softmax(logits.float(), dim=1), *(column.float() for column in distance)]
    answers: Answers = torch.cat(columns, dim=1).cpu().numpy()
    return answers


def rank(probabilities: Probabilities, labels: Sequence[str], *, top_k: int) -> list[Prediction]:
    """Sort one picture's probabilities, best first; equal ones keep the order of the labels.

    Args:
        probabilities: float32 (classes,).
        labels: one for each class.
        top_k: how many to return; more than there are classes returns all.
    """
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return [Prediction(labels[i], int(i), float(probabilities[i])) for i in order]
