"""What a step makes small: the distance to the labels, or to teachers."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from training.recipes import LargeBatchRecipe

Loss = Callable[[Tensor, Tensor], Tensor]
"""float32 logits (batch, classes) and what is wanted → the loss of each picture (batch,)."""


def losses_of(recipe: LargeBatchRecipe) -> Loss:
    """Choose a recipe's loss: the answers of teachers where it has them, else the labels."""
    if recipe.teaching is not None:
        return partial(distance_to_teacher, temperature=recipe.teaching.temperature)
    return partial(distance_to_labels, smoothing=recipe.label_smoothing)


def distance_to_labels(logits: Tensor, targets: Tensor, *, smoothing: float) -> Tensor:
    """Cross-entropy of each picture.

    Args:
        logits: float32 (batch, classes).
        targets: int64 (batch,).
        smoothing: share of each target that is spread over all classes.
    """
    return F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")


def distance_to_teacher(logits: Tensor, taught: Tensor, *, temperature: float) -> Tensor:
    """Kullback–Leibler divergence of the student's from the teacher's probabilities, for each picture.

    Args:
        logits: float32 (batch, classes), the student's.
        taught: float32 (batch, classes), the teacher's logits for the same mixtures.
        temperature: both logits are divided by it; its square keeps the gradients' size.
    Source:
        arXiv 1503.02531.
    """
    student = F.log_softmax(logits / temperature, dim=1)
    teacher = F.log_softmax(taught / temperature, dim=1)
    return F.kl_div(student, teacher, log_target=True, reduction="none").sum(dim=1) * temperature**2
