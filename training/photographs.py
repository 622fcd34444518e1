"""Make training pictures look as if a phone had taken and sent them, a whole batch at once.

What is done to a picture depends on (seed, epoch, its number in the data set) alone (training/draws.py).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.draws import PHOTOGRAPHS, Draws, draws_of
from training.jpeg_compression import compress
from training.pixels import look_through, per_picture

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
_PURPOSES = (
    *("treated", *_CHANCE),
    *("zoom", "down", "right", "smaller", "brightness", "contrast", "deviation", "quality"),
)


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
    draws = draws_of(index, user=PHOTOGRAPHS, seed=seed, epoch=epoch, purposes=_PURPOSES)
    chosen = torch.nonzero(draws.uniform("treated") < share).flatten()
    treated = _treat(images[chosen].permute(0, 3, 1, 2).float(), draws.of(chosen))
    done = images.clone()
    done[chosen] = treated.permute(0, 2, 3, 1).round().clamp(0, 255).to(torch.uint8)
    return done


def _treat(pixels: Tensor, draws: Draws) -> Tensor:
    """In the order of a camera: framing, lens, light, grain, file; float32 (batch, 3, height, width) in 0…255."""
    for treatment, apply in (
        ("frame", _frame),
        ("blur", _blur),
        ("light", _light),
        ("noise", _noise),
        ("jpeg", _compress),
    ):
        places = torch.nonzero(draws.uniform(treatment) < _CHANCE[treatment]).flatten()
        if len(places):
            pixels[places] = apply(pixels[places], draws.of(places)).clamp(0, 255)
    return pixels


def _frame(pixels: Tensor, draws: Draws) -> Tensor:
    """See another part of the picture, larger or smaller; beyond its border there is its mirror image."""
    right, down = (draws.uniform(way, -2 * _OFF_CENTRE, 2 * _OFF_CENTRE) for way in ("right", "down"))
    return look_through(pixels, along=draws.uniform("zoom", *_ZOOM), right=right, down=down)


def _blur(pixels: Tensor, draws: Draws) -> Tensor:
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


def _light(pixels: Tensor, draws: Draws) -> Tensor:
    brightness = per_picture(2 ** draws.uniform("brightness", *_BRIGHTNESS))
    contrast = per_picture(draws.uniform("contrast", *_CONTRAST))
    mean = pixels.mean((2, 3), keepdim=True)
    return (mean + contrast * (pixels - mean)) * brightness


def _noise(pixels: Tensor, draws: Draws) -> Tensor:
    deviation = per_picture(draws.uniform("deviation", 0, 255 * _NOISE))
    return pixels + deviation * draws.normal(pixels[0].numel()).view_as(pixels)


def _compress(pixels: Tensor, draws: Draws) -> Tensor:
    return compress(pixels, draws.uniform("quality", *_QUALITY).round())
