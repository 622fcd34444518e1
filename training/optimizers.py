"""Which parameters a recipe's groups train, by which optimizer, and how fast at most."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.networks.whitened import HEAD
from training.muon import Muon
from training.recipes import LargeBatchRecipe, ParameterGroup

_PARAMETERS: dict[str, Callable[[str, Tensor], bool]] = {
    "stem_bias": lambda name, _: name == "stem.bias",
    "shifts": lambda name, parameter: parameter.ndim == 1 and not name.startswith("stem."),
    "head": lambda name, _: name == HEAD,
    "filters": lambda _, parameter: parameter.ndim == 4,
}
"""What a group's word means, among the parameters that a network lets be trained."""


def make_optimizers(
    recipe: LargeBatchRecipe, network: nn.Module, *, steps_per_epoch: int, dtype: torch.dtype
) -> tuple[torch.optim.Optimizer, ...]:
    """Give each group of parameters to its optimizer, with its highest rate.

    Args:
        recipe: for its groups.
        network: freshly built.
        steps_per_epoch: that `rests_after` is counted in.
        dtype: of Muon's orthogonalisation.

    Returns:
        SGD, and Muon if a group names it.
    """
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}

    def entry(group: ParameterGroup) -> dict[str, Any]:
        is_wanted = _PARAMETERS[group.parameters]
        return {
            "params": [p for name, p in trained.items() if is_wanted(name, p)],
            "lr": group.lr,
            "highest_lr": group.lr,
            "rests_after_steps": None if group.rests_after is None else round(group.rests_after * steps_per_epoch),
        }

    def decayed(group: ParameterGroup) -> dict[str, Any]:
        return entry(group) | {"weight_decay": recipe.decay_per_picture * recipe.batch_size / group.lr}

    by_sgd = [decayed(group) for group in recipe.groups if group.optimizer == "sgd"]
    by_muon = [entry(group) for group in recipe.groups if group.optimizer == "muon"]
    sgd = torch.optim.SGD(by_sgd, momentum=recipe.sgd_momentum, nesterov=True)
    if not by_muon:
        return (sgd,)
    return sgd, Muon(by_muon, lr=0.0, momentum=recipe.muon_momentum, dtype=dtype)
