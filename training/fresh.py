"""A network before its first step."""

from typing import cast

import torch
from torch import Tensor, nn

from models.networks import Architecture, build
from models.networks.whitened import WhitenedNetwork
from models.preprocessing import InputSpec
from training.recipes import LargeBatchRecipe
from training.sampling import draw_evenly


def fresh_network(architecture: Architecture, *, classes: int, spec: InputSpec, device: torch.device) -> nn.Module:
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


def fit_stem(network: nn.Module, images: Tensor, *, recipe: LargeBatchRecipe) -> None:
    """Fit the whitening of a fresh network to what it will learn from.

    Args:
        network: of a recipe with large batches, on its device.
        images: uint8 (n, height, width, 3) to learn from, unaugmented, on the device.
        recipe: says how many of them are looked at.
    """
    places = draw_evenly(len(images), count=recipe.stem_pictures, seed=0).to(images.device)
    cast(WhitenedNetwork, network).fit_stem(images[places])
