"""Pictures that leave channels of a network almost constant: drawings of few colours, and grey ones.

Where red, green and blue are always the same, or nearly all patches are of one colour, most of what the first
layer tells apart is not there. A batch norm divides such a channel by next to nothing, and what rounding leaves of
it may drown all else: the loss becomes NaN, or all pictures are one class. The tables add 10⁻¹² before they
divide, as the records do, for photographs.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from models.networks import Architecture
from models.preprocessing import InputSpec
from training.chunks import chunk_size
from training.data.sampling import draw_evenly
from training.fresh import fit_stem, fresh_network
from training.recipes import LargeBatchRecipe, Recipe

_LOOKED_AT, _FEWEST = 100, 8
"""Pictures, of large ones fewer. Source: choice."""
_FLAT = 1e-3
"""Variance of a channel under which pictures are flat, and what is added to all variances then. Photographs of
CIFAR-10 leave no channel less than 0.05; grey ones, letters, plain colours leave 10⁻¹³ (docs/experiments.md)."""


@torch.no_grad()
def mind_flat_pictures(recipe: Recipe, images: Tensor) -> Recipe:
    """Let a recipe's norms divide by more, if a fresh network makes almost constant channels of the pictures.

    Args:
        recipe: with or without batch norms.
        images: uint8 (n, height, width, 3) to learn from, on the CPU.

    Returns:
        The same recipe for photographs; the same data always give the same.
    """
    if not isinstance(recipe, LargeBatchRecipe):
        return recipe
    height, width = images.shape[1:3]
    spec = InputSpec(height=height, width=width, mean=recipe.mean, std=recipe.std)
    some = images[draw_evenly(len(images), count=max(_FEWEST, min(_LOOKED_AT, chunk_size(images))), seed=0)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = fresh_network(recipe.architecture, classes=2, spec=spec, device=torch.device("cpu"))
    fit_stem(network, some, recipe=recipe)
    variances: list[float] = []

    def note(_norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        variances.append(float(given[0].var(dim=(0, 2, 3)).min()))

    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_pre_hook(note)
    network.train()(some)
    if min(variances) >= _FLAT:
        return recipe
    large = recipe.architecture
    return replace(recipe, architecture=Architecture(large.name, {**large.arguments, "norm_epsilon": _FLAT}))
