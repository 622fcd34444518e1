"""Teachers, asked about what their student sees."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.views import six_views as six_views_of
from training.chunks import chunks
from training.devices import Computing
from training.epoch import Wanted

_MOST_AT_ONCE = 256
"""Pictures of 32 × 32 pixels that a teacher answers at once."""


def answers_of(
    networks: Sequence[nn.Module], computing: Computing, *, six_views: bool = False, mirrors: bool = True
) -> Wanted:
    """Let the mean of networks' logits be what is wanted, wherever in the data set the pictures stand.

    Args:
        networks: one or more, in evaluation mode, on the pictures' device; no logits are divided by a temperature.
        computing: in which dtype, compiled or not.
        six_views: whether each answers with the mean of its views' logits (`models.views.six_views`).
        mirrors: whether there are mirror images among these.

    Returns:
        Images, uint8 (batch, height, width, 3), and their index → float32 logits (batch, classes).
    Source:
        Several teachers, by the geometric mean of their probabilities: arXiv 1503.02531.
    """
    called = [computing.compiled(network) for network in networks]

    @torch.no_grad()
    def answer(images: Tensor, _: Tensor) -> Tensor:
        views = six_views_of(images, mirrors=mirrors) if six_views else ((1.0, images),)
        with computing.autocast():
            answers = [weight * _whole(network, view).float() for weight, view in views for network in called]
        return torch.stack(answers).sum(dim=0) / len(called)

    return answer


def _whole(network: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(some) for some in chunks(images, most=_MOST_AT_ONCE)])
