"""The named training configurations; every number with its source.

A recipe is a frozen table: what stands here is what runs, and the whole table goes into the
checkpoint. Learning rates are for a loss that is summed over the batch, so that they follow the batch
size by themselves.
"""

from dataclasses import dataclass

from models.networks import Architecture
from models.preprocessing import CIFAR10_MEAN, CIFAR10_STD


@dataclass(frozen=True)
class TutorialRecipe:
    """The beginner's recipe to the letter: 54 % on CIFAR-10 after two epochs.

    Source: PyTorch tutorials, "Training a classifier".
    """

    name: str = "tutorial"
    architecture: Architecture = Architecture("tutorial")
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    epochs: int = 2
    batch_size: int = 4
    workers: int = 2
    lr: float = 0.001
    momentum: float = 0.9
    report_every: int = 2_000  # mini-batches


@dataclass(frozen=True)
class FastRecipe:
    """94 % on CIFAR-10 in minutes on two CPU cores.

    Source: airbench94_muon (arXiv 2404.00498 and its repository: 94.01 %, n=200, 8 epochs), but for
    the last four fields; docs/training.md tells what each part is for.
    """

    name: str = "fast"
    architecture: Architecture = Architecture("fast")
    mean: tuple[float, float, float] = CIFAR10_MEAN
    std: tuple[float, float, float] = CIFAR10_STD
    batch_size: int = 2_000
    shift: int = 2  # pixels, in each direction, over a reflected border
    label_smoothing: float = 0.2
    stem_pictures: int = 5_000  # that the whitening is fitted on
    stem_bias_epochs: float = 3.0  # after which the bias of the stem is frozen
    bias_lr: float = 0.053  # of the stem's bias and the shifts of the batch norms
    head_lr: float = 0.67
    sgd_momentum: float = 0.85  # Nesterov
    decay_per_picture: float = 2e-6  # weight decay step = this × batch size × schedule, whatever the lr
    muon_lr: float = 0.24
    muon_momentum: float = 0.6  # Nesterov

    # 8 epochs at full size give 94.0 %; 10 with the first six smaller cost the same time here and
    # leave a margin (docs/experiments.md). Small pictures first: Fulcrum's CIFAR-10 speedrun, 2026.
    epochs: int = 10
    resolutions: tuple[tuple[float, float], ...] = ((0.3, 0.75), (0.6, 0.875), (1.0, 1.0))
    """(until this share of the epochs, side length as a share of the input's)."""
    smallest_resized: int = 24
    """Pictures with a side of fewer pixels are not made smaller still: three halvings would leave nothing."""
    fewest_steps: int = 200
    """A small data set is passed more often, until this many steps are made: the record's 8 × 25."""


RECIPE_SIDE = 32
"""Pixels a side that shift and batch size are meant for; `training.loop.fit_to_data` scales them."""

Recipe = TutorialRecipe | FastRecipe

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (TutorialRecipe(), FastRecipe())}
