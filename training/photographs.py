"""Make training pictures look as if a phone had taken and sent them, a whole batch at once.

What is done to a picture depends on (seed, epoch, its number in the data set) alone: a run that was stopped goes
on exactly, and batches may be cut anew or shared among processes. Random numbers are hashes of those three, not
drawn in sequence.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.jpeg import jpeg

_ZOOM = (0.6, 1.3)  # side of the part that is seen, as a share of the picture's; above 1 its border is mirrored
_OFF_CENTRE = 0.12  # most that the middle moves, as a share of the side: 4 pixels of 32
_SMALLER = (0.75, 0.6, 0.45)  # sides to shrink to before growing again
_BRIGHTNESS = (-1.5, 1.2)  # in powers of two: a third of the light to 2.3 times as much
_CONTRAST = (0.35, 1.2)  # share that is left
_NOISE = 0.10  # largest deviation, as a share of white
_QUALITY = (15, 90)  # of JPEG
_CHANCE = {"frame": 0.5, "blur": 0.3, "light": 0.5, "noise": 0.4, "jpeg": 0.3}
"""Of each treatment, for a picture that is treated; 7 % of these come through untouched.

Source: choice, to cover severities 3 to 4 of `training.measuring.corruptions`; tried in one training
(docs/experiments.md, 2026-11-24). Blur is by shrinking and growing, so it is not the blur measured with."""

_HASH_MULTIPLIERS = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)
"""SplitMix64's two, as signed numbers. Source: Steele, Lea & Flood, OOPSLA 2014."""
_GOLDEN_RATIO = -0x61C8864680B583EB  # of 2**64, signed: SplitMix64's step


def photographs(images: Tensor, *, seed: int, epoch: int, index: Tensor, share: float) -> Tensor:
    """Treat a share of a batch as photographs are: framed off-centre, blurred, badly lit, grainy, compressed.

    Args:
        images: uint8 (batch, height, width, 3), on any device; they stay as they are.
        seed: of the run.
        epoch: from 0.
        index: int64 (batch,), the pictures' numbers in the data set, on the same device.
        share: of the pictures that are treated, 0…1; 0 gives `images` back.

    Returns:
        uint8, same shape, same device.
    """
    if share == 0:
        return images
    run = torch.tensor(seed, dtype=torch.int64, device=index.device)
    draws = _Draws(_hash(_hash(_hash(run) + epoch) + index))
    chosen = torch.nonzero(draws.uniform("treated") < share).flatten()
    treated = _treat(images[chosen].permute(0, 3, 1, 2).float(), draws.of(chosen))
    done = images.clone()
    done[chosen] = treated.permute(0, 2, 3, 1).round().clamp(0, 255).to(torch.uint8)
    return done


@dataclass(frozen=True)
class _Draws:
    """Random numbers of each picture by their purpose; the order of asking does not matter.

    Attributes:
        keys: int64 (batch,), one for each picture, of 64 random bits.
    """

    keys: Tensor

    def of(self, chosen: Tensor) -> "_Draws":
        """Return those of some pictures, by their places in the batch."""
        return _Draws(self.keys[chosen])

    def uniform(self, purpose: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw one number a picture, low…high: float32 (batch,)."""
        return low + (high - low) * _unit(_hash(self.keys + _PURPOSES.index(purpose)))

    def normal(self, count: int) -> Tensor:
        """Draw numbers of deviation 1: float32 (batch, count).

        Source: Box & Muller, 1958, on two halves of each hash; a hash for each number took twice as long.
        """
        pairs = torch.arange(-(-count // 2), device=self.keys.device)
        keys = _hash(_hash(self.keys + len(_PURPOSES))[:, None] + pairs)
        radius = torch.sqrt(-2 * torch.log(_unit(keys)))
        angle = 2 * math.pi * _unit(keys << 32)
        return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]

    def happens(self, treatment: str) -> Tensor:
        """Places of the pictures that get a treatment: int64."""
        return torch.nonzero(self.uniform(treatment) < _CHANCE[treatment]).flatten()


_PURPOSES = (
    *("treated", *_CHANCE),
    *("zoom", "down", "right", "smaller", "brightness", "contrast", "deviation", "quality"),
)


def _hash(keys: Tensor) -> Tensor:
    """Mix 64 bits so that neighbouring keys have nothing in common: SplitMix64."""
    keys = keys * _GOLDEN_RATIO + _GOLDEN_RATIO
    keys = (keys ^ _shifted(keys, 30)) * _HASH_MULTIPLIERS[0]
    keys = (keys ^ _shifted(keys, 27)) * _HASH_MULTIPLIERS[1]
    return keys ^ _shifted(keys, 31)


def _shifted(keys: Tensor, bits: int) -> Tensor:
    """Shift to the right and fill with zeros; torch's own shift copies the sign."""
    return (keys >> bits) & ((1 << (64 - bits)) - 1)


def _unit(keys: Tensor) -> Tensor:
    """Turn 64 bits into a number above 0 and below 1: 23 of them, and a half, which float32 holds exactly."""
    return (_shifted(keys, 41).float() + 0.5) / 2**23


def _treat(pixels: Tensor, draws: _Draws) -> Tensor:
    """In the order of a camera: framing, lens, light, grain, file; float32 (batch, 3, height, width) in 0…255."""
    for treatment, apply in (
        ("frame", _frame),
        ("blur", _blur),
        ("light", _light),
        ("noise", _noise),
        ("jpeg", _compress),
    ):
        places = draws.happens(treatment)
        if len(places):
            pixels[places] = apply(pixels[places], draws.of(places)).clamp(0, 255)
    return pixels


def _frame(pixels: Tensor, draws: _Draws) -> Tensor:
    """See another part of the picture, larger or smaller; beyond its border there is its mirror image."""
    n, _, height, width = pixels.shape
    zoom = draws.uniform("zoom", *_ZOOM)
    move = [draws.uniform(way, -2 * _OFF_CENTRE, 2 * _OFF_CENTRE) for way in ("right", "down")]
    still = torch.zeros_like(zoom)
    matrix = torch.stack([zoom, still, move[0], still, zoom, move[1]], dim=1).view(n, 2, 3)
    grid = F.affine_grid(matrix, [n, 3, height, width], align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _blur(pixels: Tensor, draws: _Draws) -> Tensor:
    """Shrink to one of a few sides and grow again: what is lost is what a small or blurred photo lacks."""
    height, width = pixels.shape[2:]
    choice = (draws.uniform("smaller") * len(_SMALLER)).long()
    blurred = pixels.clone()
    for number, side in enumerate(_SMALLER):
        places = torch.nonzero(choice == number).flatten()
        if len(places):
            size = [max(1, round(length * side)) for length in (height, width)]
            small = F.interpolate(pixels[places], size=size, mode="bilinear", antialias=True)
            blurred[places] = F.interpolate(small, size=(height, width), mode="bicubic")
    return blurred


def _light(pixels: Tensor, draws: _Draws) -> Tensor:
    brightness = _per_picture(2 ** draws.uniform("brightness", *_BRIGHTNESS))
    contrast = _per_picture(draws.uniform("contrast", *_CONTRAST))
    mean = pixels.mean((2, 3), keepdim=True)
    return (mean + contrast * (pixels - mean)) * brightness


def _noise(pixels: Tensor, draws: _Draws) -> Tensor:
    deviation = _per_picture(draws.uniform("deviation", 0, 255 * _NOISE))
    return pixels + deviation * draws.normal(pixels[0].numel()).view_as(pixels)


def _compress(pixels: Tensor, draws: _Draws) -> Tensor:
    return jpeg(pixels, draws.uniform("quality", *_QUALITY).round())


def _per_picture(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
