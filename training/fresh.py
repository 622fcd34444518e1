"""A network before its first step."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks import Architecture, build
from models.networks.network import Network
from models.networks.whitened import HEAD, WhitenedNetwork
from models.preprocessing import InputSpec
from training.data.sampling import draw_evenly
from training.recipes import LargeBatchRecipe


@dataclass(frozen=True)
class Start:
    """Weights that a training starts with.

    Attributes:
        weights: of all layers but the last, by their names in the network.
        rows: of the last layer, by their places among the classes of the training; those that are missing are
            drawn, since what it starts with does not know these classes.
    """

    weights: Mapping[str, Tensor]
    rows: Mapping[int, Tensor]


def fresh_network(architecture: Architecture, *, classes: int, spec: InputSpec, device: torch.device) -> Network:
    """Build a network as trainings compute with it: on its device, its filters channels-last.

    Its weights are drawn on the CPU, from PyTorch's own generator, so that a seed gives the same on any device.

    Args:
        architecture: which one, and its arguments.
        classes: number of labels.
        spec: of the images.
        device: where it goes.
    """
    network = build(architecture, classes=classes, spec=spec).to(device)
    return network.to(memory_format=torch.channels_last)


def fit_stem(network: Network, images: Tensor, *, recipe: LargeBatchRecipe) -> None:
    """Fit the whitening of a fresh network to what it will learn from.

    Args:
        network: of a recipe with large batches, on its device.
        images: uint8 (n, height, width, 3) to learn from, unaugmented, on the device.
        recipe: says how many of them are looked at.
    """
    places = draw_evenly(len(images), count=recipe.stem_pictures, seed=0).to(images.device)
    assert isinstance(network, WhitenedNetwork), "recipes with large batches train no others"
    network.fit_stem(images[places])


def take_start(network: nn.Module, start: Start) -> None:
    """Give a fresh network the weights that it starts with; of classes that are new the rows stay as drawn.

    Args:
        network: of a recipe with large batches, on its device.
        start: of the same architecture.
    """
    head = network.state_dict()[HEAD].clone()
    for place, row in start.rows.items():
        head[place] = row
    network.load_state_dict({**start.weights, HEAD: head})
