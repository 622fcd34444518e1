"""TrivialAugment: one random change of random strength to a picture, a whole batch at once; uint8 in, uint8 out.

What is done to a picture depends on (seed, epoch, its number in the data set) alone (training/draws.py).

Source: Müller & Hutter, arXiv 2103.10158. The strengths are those of its narrower search space, RandAugment's
(arXiv 1909.13719). Otherwise than there: any strength, not one of 31; between pixels it is interpolated; and
beyond the border there is the mirror image, as in `training.augment.crop`.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from training.draws import draws_of

_SHEAR = 0.3
_TRANSLATION = 10 / 32  # of the side
_ROTATION = math.radians(30)
_ENHANCEMENT = 0.9  # brightness, contrast, colour and sharpness by 0.1…1.9
_POSTERIZED_BITS = 4  # most that are taken away
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
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
    draws = draws_of(index, seed=seed, epoch=epoch, purposes=_PURPOSES, stream=1)
    is_changed = draws.uniform("changed") < share
    operation = (draws.uniform("operation") * len(_OPERATIONS)).long()
    strength = draws.uniform("strength") * torch.where(draws.uniform("sign") < 0.5, -1, 1)
    done = images.clone()
    for number, change in enumerate(_OPERATIONS):
        places = torch.nonzero(is_changed & (operation == number)).flatten()
        if len(places):
            pixels = change(images[places].permute(0, 3, 1, 2).float(), strength[places])
            done[places] = pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return done


def _identity(pixels: Tensor, _: Tensor) -> Tensor:
    return pixels


def _shear_x(pixels: Tensor, strength: Tensor) -> Tensor:
    return _look_through(pixels, right_by_down=_SHEAR * strength)


def _shear_y(pixels: Tensor, strength: Tensor) -> Tensor:
    return _look_through(pixels, down_by_right=_SHEAR * strength)


def _translate_x(pixels: Tensor, strength: Tensor) -> Tensor:
    return _look_through(pixels, right=2 * _TRANSLATION * strength)


def _translate_y(pixels: Tensor, strength: Tensor) -> Tensor:
    return _look_through(pixels, down=2 * _TRANSLATION * strength)


def _rotate(pixels: Tensor, strength: Tensor) -> Tensor:
    angle = _ROTATION * strength
    return _look_through(
        pixels,
        right_by_right=angle.cos(),
        right_by_down=-angle.sin(),
        down_by_right=angle.sin(),
        down_by_down=angle.cos(),
    )


def _brightness(pixels: Tensor, strength: Tensor) -> Tensor:
    return _away_from(torch.zeros_like(pixels), pixels, strength)


def _contrast(pixels: Tensor, strength: Tensor) -> Tensor:
    return _away_from(_grey(pixels).mean((2, 3), keepdim=True), pixels, strength)


def _colour(pixels: Tensor, strength: Tensor) -> Tensor:
    return _away_from(_grey(pixels), pixels, strength)


def _sharpness(pixels: Tensor, strength: Tensor) -> Tensor:
    kernel = torch.ones(3, 1, 3, 3, device=pixels.device)
    kernel[:, :, 1, 1] = 5  # Pillow's SMOOTH, which leaves the border as it is
    smooth = pixels.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(pixels, kernel / kernel[0].sum(), groups=3)
    return _away_from(smooth, pixels, strength)


def _posterize(pixels: Tensor, strength: Tensor) -> Tensor:
    step = _per_picture(2 ** (_POSTERIZED_BITS * strength.abs()).round())
    return (pixels / step).floor() * step


def _solarize(pixels: Tensor, strength: Tensor) -> Tensor:
    return torch.where(pixels >= _per_picture(256 * (1 - strength.abs())), 255 - pixels, pixels)


def _autocontrast(pixels: Tensor, _: Tensor) -> Tensor:
    done: Tensor = tv.autocontrast(pixels.to(torch.uint8))
    return done.float()


def _equalize(pixels: Tensor, _: Tensor) -> Tensor:
    done: Tensor = tv.equalize(pixels.to(torch.uint8))
    return done.float()


_OPERATIONS: tuple[Operation, ...] = (
    *(_identity, _autocontrast, _equalize, _rotate, _solarize, _colour, _posterize),
    *(_contrast, _brightness, _sharpness, _shear_x, _shear_y, _translate_x, _translate_y),
)


def _look_through(pixels: Tensor, **matrix: Tensor) -> Tensor:
    """Look at an affine map of the picture; what is not named is as in the map that changes nothing.

    Places are pixels over pixels, but `right` and `down` shares of half a side.
    """
    n, _, height, width = pixels.shape
    zero, one = pixels.new_zeros(n), pixels.new_ones(n)
    rows = (
        matrix.get("right_by_right", one),
        matrix.get("right_by_down", zero) * height / width,
        matrix.get("right", zero),
        matrix.get("down_by_right", zero) * width / height,
        matrix.get("down_by_down", one),
        matrix.get("down", zero),
    )
    grid = F.affine_grid(torch.stack(rows, dim=1).view(n, 2, 3), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _away_from(origin: Tensor, pixels: Tensor, strength: Tensor) -> Tensor:
    """Bring pixels nearer to an origin, or farther away from it."""
    return origin + _per_picture(1 + _ENHANCEMENT * strength) * (pixels - origin)


def _grey(pixels: Tensor) -> Tensor:
    return (pixels * pixels.new_tensor(_LUMINANCE).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _per_picture(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
