"""TrivialAugment: one random change of random strength to a picture, a whole batch at once; uint8 in, uint8 out.

What is done to a picture depends on (seed, epoch, its number in the data set) alone (training/draws.py).

Source: Müller & Hutter, arXiv 2103.10158. The changes and their strengths are those of its narrower search space,
RandAugment's (arXiv 1909.13719). Otherwise than there: any strength, not one of 31; moves are a share of the side;
shears keep the middle, not a corner; pixels are interpolated; beyond the border there is the mirror image; and
pictures have been shifted and mirrored before.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from training.draws import TRIVIAL_AUGMENT, draws_of
from training.pixels import look_through, per_picture

_SHEAR = 0.3
_TRANSLATION = 10 / 32  # of the side
_ROTATION = math.radians(30)
_ENHANCEMENT = 0.9  # brightness, contrast, colour and sharpness by 0.1…1.9
_POSTERIZED_BITS = 4  # most that are taken away
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # of the luminance; ITU-R BT.601
_PURPOSES = ("changed", "operation", "strength", "sign")

Operation = Callable[[Tensor, Tensor], Tensor]
"""Pixels, float32 (batch, 3, height, width) in 0…255, and strengths (batch,) in −1…1 → pixels; may leave 0…255."""


def trivial_augment(images: Tensor, *, seed: int, epoch: int, index: Tensor, share: float) -> Tensor:
    """Change a share of a batch, each picture in one way.

    Args:
        images: uint8 (batch, height, width, 3), on any device; they stay as they are.
        seed: of the run.
        epoch: from 0.
        index: int64 (batch,), the pictures' numbers in the data set, on the same device.
        share: of the pictures that are changed, 0…1; 0 gives `images` back. One way is to leave it as it is.

    Returns:
        uint8, same shape, same device.
    """
    if share == 0:
        return images
    draws = draws_of(index, user=TRIVIAL_AUGMENT, seed=seed, epoch=epoch, purposes=_PURPOSES)
    operation = (draws.uniform("operation") * len(_OPERATIONS)).long()
    operation[draws.uniform("changed") >= share] = len(_OPERATIONS)  # none
    strength = draws.uniform("strength") * torch.where(draws.uniform("sign") < 0.5, -1, 1)
    by_operation = torch.split(operation.argsort(), _count(operation))
    done = images.clone()
    for change, places in zip(_OPERATIONS, by_operation, strict=False):
        if len(places):
            pixels = change(images[places].permute(0, 3, 1, 2).float(), strength[places])
            done[places] = pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return done


def _count(operation: Tensor) -> list[int]:
    """Count the pictures of each operation, and of none; a GPU is waited for this once."""
    counts: list[int] = operation.bincount(minlength=len(_OPERATIONS) + 1).tolist()
    return counts


def _identity(pixels: Tensor, _: Tensor) -> Tensor:
    return pixels


def _shear_x(pixels: Tensor, strength: Tensor) -> Tensor:
    return look_through(pixels, right_by_down=_SHEAR * strength)


def _shear_y(pixels: Tensor, strength: Tensor) -> Tensor:
    return look_through(pixels, down_by_right=_SHEAR * strength)


def _translate_x(pixels: Tensor, strength: Tensor) -> Tensor:
    return look_through(pixels, right=2 * _TRANSLATION * strength)


def _translate_y(pixels: Tensor, strength: Tensor) -> Tensor:
    return look_through(pixels, down=2 * _TRANSLATION * strength)


def _rotate(pixels: Tensor, strength: Tensor) -> Tensor:
    angle = _ROTATION * strength
    return look_through(pixels, along=angle.cos(), right_by_down=-angle.sin(), down_by_right=angle.sin())


def _brightness(pixels: Tensor, strength: Tensor) -> Tensor:
    return _enhance(pixels, strength, origin=torch.zeros_like(pixels))


def _contrast(pixels: Tensor, strength: Tensor) -> Tensor:
    return _enhance(pixels, strength, origin=_grey(pixels).mean((2, 3), keepdim=True))


def _colour(pixels: Tensor, strength: Tensor) -> Tensor:
    return _enhance(pixels, strength, origin=_grey(pixels))


def _sharpness(pixels: Tensor, strength: Tensor) -> Tensor:
    smooth = pixels.clone()  # Pillow's SMOOTH: the middle counts five of thirteen, and the border stays as it is
    inside = pixels[:, :, 1:-1, 1:-1]
    smooth[:, :, 1:-1, 1:-1] = (9 * F.avg_pool2d(pixels, 3, stride=1) + 4 * inside) / 13
    return _enhance(pixels, strength, origin=smooth)


def _posterize(pixels: Tensor, strength: Tensor) -> Tensor:
    step = per_picture(2 ** (_POSTERIZED_BITS * strength.abs()).round())
    return (pixels / step).floor() * step


def _solarize(pixels: Tensor, strength: Tensor) -> Tensor:
    return torch.where(pixels >= per_picture(256 * (1 - strength.abs())), 255 - pixels, pixels)


def _autocontrast(pixels: Tensor, _: Tensor) -> Tensor:
    """Let each colour reach from 0 to 255; one that is the same everywhere stays."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    return torch.where(high > low, (pixels - low) * (255 / (high - low).clamp(min=1)), pixels)


def _equalize(pixels: Tensor, _: Tensor) -> Tensor:
    """Let all levels of each colour be about equally frequent; as in Pillow, under 256 pixels nothing changes."""
    levels = pixels.flatten(2).long()  # (batch, 3, pixels)
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=pixels.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    of_brightest = counts.gather(2, levels.amax(2, keepdim=True))
    step = (levels.shape[2] - of_brightest) // 255
    darker = counts.cumsum(2) - counts
    table = ((darker + step // 2) // step.clamp(min=1)).clamp(max=255)
    equal = table.gather(2, levels).view_as(pixels).float()
    return torch.where((step > 0).unsqueeze(3), equal, pixels)


_OPERATIONS: tuple[Operation, ...] = (
    *(_identity, _autocontrast, _equalize, _rotate, _solarize, _colour, _posterize),
    *(_contrast, _brightness, _sharpness, _shear_x, _shear_y, _translate_x, _translate_y),
)


def _enhance(pixels: Tensor, strength: Tensor, *, origin: Tensor) -> Tensor:
    """Bring pixels nearer to what has nothing of a quality, or farther away from it.

    Source: Pillow's `ImageEnhance`.
    """
    return origin + per_picture(1 + _ENHANCEMENT * strength) * (pixels - origin)


def _grey(pixels: Tensor) -> Tensor:
    red, green, blue = pixels.unbind(1)
    return (_RED * red + _GREEN * green + _BLUE * blue).unsqueeze(1)
