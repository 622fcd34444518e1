"""A trained network becomes one that multiplies bytes: ranges from pictures, filters on their grid.

Nothing is learnt anew. What it costs is measured as everything else is: on the test part, with the rounding in it.
"""

from dataclasses import replace

import torch
from rich.console import Console
from torch import Tensor, nn

from models.networks import Architecture, build
from models.networks.layers import Convolution
from models.networks.network import Network
from models.networks.quantization import Range, is_quantized, round_filters
from models.preprocessing import InputSpec
from training.chunks import chunk_size
from training.data.sampling import draw_evenly
from training.errors import TrainingError
from training.progress import RunProgress

PICTURES = 1_000
"""Of the training part, most that the ranges are taken from."""
_CLIPPED_SHARE = 1e-5
"""Of the values in front of a convolution, that lie above its range: the few that are far out would make all steps
coarser. Chosen on held-out pictures among none and 1e-5 to 1e-2 (docs/experiments.md, 2026-11-25)."""
_MOST_AT_ONCE = 100  # pictures of 32 × 32


def quantize(
    network: Network,
    architecture: Architecture,
    images: Tensor,
    *,
    classes: int,
    spec: InputSpec,
    console: Console,
) -> tuple[Architecture, Network]:
    """Make the quantized network of a trained one.

    Args:
        network: in evaluation mode, on its device; it stays as it is.
        architecture: of it.
        images: uint8 (n, height, width, 3), of the training part; the ranges are taken from up to 1,000.
        classes: of the network.
        spec: of its images.
        console: told of the progress.

    Returns:
        The architecture with its input ranges, and a network of it on the same device, with temperature 1.

    Raises:
        TrainingError: it is quantized already, or has no convolution that can be.
    """
    convolutions = [module for module in network.modules() if isinstance(module, Convolution)]
    if is_quantized(network):
        raise TrainingError("The checkpoint is quantized already; take the one that it was made from.")
    if not convolutions:
        raise TrainingError(
            f"The network {architecture.name!r} has no 3×3 convolutions that could multiply bytes; train one with "
            "any recipe but tutorial."
        )
    ranges = measure_ranges(network, convolutions, images, console=console)
    quantized = replace(
        architecture, arguments={**architecture.arguments, "input_ranges": list(map(list, ranges))}
    )
    twin = build(quantized, classes=classes, spec=spec)
    twin.load_state_dict(network.state_dict())
    twin.to(next(network.parameters()).device).eval()
    with torch.no_grad():
        for module in twin.modules():
            if isinstance(module, Convolution):
                module.weight.copy_(round_filters(module.weight))
    return quantized, twin


@torch.no_grad()
def measure_ranges(
    network: nn.Module, convolutions: list[Convolution], images: Tensor, *, console: Console
) -> list[Range]:
    """Find between which values lie the maps in front of each convolution.

    Args:
        network: in evaluation mode.
        convolutions: of it, in their order.
        images: uint8 (n, height, width, 3); 1,000 are taken where there are more, from all over them.
        console: told of the progress.

    Returns:
        For each the least value, and one that one in 100,000 of the values exceeds.
    """
    device = next(network.parameters()).device
    places = draw_evenly(len(images), count=PICTURES, seed=0)
    tails = [_Tail(len(places)) for _ in convolutions]
    handles = [
        convolution.register_forward_pre_hook(tail) for convolution, tail in zip(convolutions, tails, strict=True)
    ]
    try:
        batches = torch.split(places, chunk_size(images, most=_MOST_AT_ONCE))
        with RunProgress(console, steps=len(batches)) as progress:
            for batch in batches:
                network(images[batch].to(device))
                progress.step(place="measuring ranges", pictures=len(batch))
    finally:
        for handle in handles:
            handle.remove()
    return [tail.limits for tail in tails]


class _Tail:
    """Least value and highest ones of what a layer is given, batch by batch.

    Args:
        pictures: that will be shown in all.
    """

    def __init__(self, pictures: int) -> None:
        self._pictures = pictures
        self._lowest = 0.0
        self._highest: Tensor | None = None

    def __call__(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        (maps,) = given
        count = max(1, round(_CLIPPED_SHARE * self._pictures * maps[0].numel()))
        values = maps.flatten().float()
        self._lowest = min(self._lowest, values.min().item())
        seen = values if self._highest is None else torch.cat([self._highest, values])
        self._highest = seen.topk(min(count, len(seen))).values

    @property
    def limits(self) -> Range:
        """Lowest, and the least of the highest; a step above 0 where all are 0."""
        assert self._highest is not None
        return self._lowest, max(self._highest[-1].item(), 1e-3)
