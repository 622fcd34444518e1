"""Do a network's batch norms remember what they do with the weights that a training ended with?

Their averages follow the features from batch to batch. Where the features still move far in the last steps, as in
a short training on drawings of few colours, they lag behind: what the network has learnt is then named by chance.
"""

import torch
from rich.console import Console
from torch import Tensor, nn

from training.data.sampling import draw_evenly
from training.devices import Computing
from training.progress import tell
from training.ranks import ALONE, Ranks
from training.validation import share_named_rightly

_LOOKED_AT = 200
"""Pictures, at most. Source: choice; some seconds of work for the slowest recipe on two cores."""
_WORSE = 0.1
"""Share of them that must be named more with averages of their own, for these to stay. Source: choice; on CIFAR-10
averages of clean pictures are no better than what a training leaves (docs/experiments.md)."""


@torch.no_grad()
def settle_norms(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    most: int,
    computing: Computing,
    console: Console,
    ranks: Ranks = ALONE,
) -> None:
    """Give the batch norms averages of some training pictures, and tell, where their own name far fewer of these.

    Args:
        network: after its last step, on its device; in evaluation mode afterwards.
        images: uint8 (n, height, width, 3), that it learnt, on the device.
        targets: int64 (n,), there too.
        most: pictures that fit into memory at once.
        computing: in which dtype.
        console: told if anything was changed.
        ranks: the processes that train together: their norms take averages over the shares of all.
    """
    places = draw_evenly(len(images), count=min(most, _LOOKED_AT), seed=0).to(images.device)
    images, targets = images[places], targets[places]
    own = share_named_rightly(network.eval(), images, targets, computing)
    # rounding may divide the ranks, and one that averages alone would wait for ever
    if not ranks.agree(own <= 1 - _WORSE):
        return
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    _take_averages(network, ranks.share(images), computing)
    anew = share_named_rightly(network, images, targets, computing)
    if anew < own + _WORSE:
        network.load_state_dict(before)
        return
    tell(
        console,
        f"The batch norms' averages lagged behind the weights: with them {100 * own:.0f} % of {len(images)} "
        f"training pictures were named rightly, with averages of these pictures {100 * anew:.0f} %. The latter "
        "are kept; a longer training is surer.",
    )


def _take_averages(network: nn.Module, images: Tensor, computing: Computing) -> None:
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    rates = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with computing.autocast():
        network.train()(images)
    network.eval()
    for norm, rate in zip(norms, rates, strict=True):
        norm.momentum = rate
