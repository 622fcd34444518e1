"""Networks whose convolutions multiply whole numbers of eight bits, up to twice as many a second as of sixteen.

Such a network is defined here, not approximated by an engine: in front of each 3×3 convolution the maps are
rounded to 256 levels, and its filters stand on a grid of 255 levels a channel. PyTorch computes with these rounded
numbers in floating point and is the reference; an engine may multiply the whole numbers behind them, whose sums
are exact, and comes to the same answers. What a checkpoint claims was measured with the rounding in it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Range = tuple[float, float]
"""Lowest and highest value of some maps; 0, with which they are padded, is between them."""

_HIGHEST_LEVEL = 255  # of maps: unsigned bytes
_LARGEST_FILTER = 127  # signed bytes without -128, so that a filter and its negation are both there
_EMPTY = 1e-12  # a filter of zeros needs a step, too
_SMALLEST_STEP, _LARGEST_STEP = 1e-6, 1e6  # what a normalised map can need, and float32 tells apart


def round_to_levels(x: Tensor, limits: Range) -> Tensor:
    """Round to the nearest of 256 levels, of which one is 0; what lies outside the range goes to its end.

    Args:
        x: floating, any shape.
        limits: of the levels; moved by less than one level, so that 0 is one.

    Returns:
        Same shape and dtype; NaN becomes a level like any other number.
    """
    step, zero = _levels(limits)
    if torch.compiler.is_exporting():  # the fused operator cannot tell its shapes in advance
        return (((x / step).round() + zero).clamp(0, _HIGHEST_LEVEL) - zero) * step
    return torch.fake_quantize_per_tensor_affine(x.float(), step, zero, 0, _HIGHEST_LEVEL).to(x.dtype)


def round_filters(weight: Tensor) -> Tensor:
    """Round filters to whole multiples, -127 to 127, of a step that each output channel has for itself.

    Args:
        weight: float32 (channels out, channels in, rows, columns). What is rounded already stays as it is.
    """
    steps = weight.detach().abs().amax(dim=(1, 2, 3)).clamp_min(_EMPTY) / _LARGEST_FILTER
    zeros = torch.zeros(len(steps), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -_LARGEST_FILTER, _LARGEST_FILTER)


def ranges_of_groups(
    input_ranges: Sequence[Sequence[float]] | None, *, groups: int, convolutions: int
) -> list[Sequence[Range | None]]:
    """Hand out the ranges of a network's 3×3 convolutions to its groups.

    Args:
        input_ranges: one for each convolution, in their order; None for a network that does not round.
        groups: of the network.
        convolutions: in each group.

    Raises:
        ValueError: too few or too many, or one that has no 256 levels with 0 among them.
    """
    if input_ranges is None:
        return [[None] * convolutions] * groups
    if len(input_ranges) != groups * convolutions:
        raise ValueError(f"{len(input_ranges)} input ranges for {groups * convolutions} convolutions")
    ranges = list(map(_checked, input_ranges))
    return [ranges[start : start + convolutions] for start in range(0, len(ranges), convolutions)]


def _checked(limits: Sequence[float]) -> Range:
    if not isinstance(limits, list | tuple) or [type(limit) in (int, float) for limit in limits] != [True, True]:
        raise ValueError(f"the input range {limits!r} is not two numbers")
    lowest, highest = map(float, limits)
    step = (highest - lowest) / _HIGHEST_LEVEL
    if not (lowest <= 0 < highest and _SMALLEST_STEP <= step <= _LARGEST_STEP):
        raise ValueError(
            f"the input range {list(limits)} does not reach from 0 or less to more than 0 in 255 steps of "
            f"{_SMALLEST_STEP} to {_LARGEST_STEP}"
        )
    return lowest, highest


def _levels(limits: Range) -> tuple[float, int]:
    """The step from level to level, and the level that is 0."""
    lowest, highest = limits
    step = (highest - lowest) / _HIGHEST_LEVEL
    return step, round(-lowest / step)


def is_quantized(network: nn.Module) -> bool:
    """Whether some convolution of a network rounds what it is given."""
    return any(getattr(module, "input_range", None) is not None for module in network.modules())
