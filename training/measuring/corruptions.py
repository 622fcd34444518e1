"""Spoilt copies of pictures, to measure what a network is worth away from clean ones.

Eleven kinds, each in five severities, from hardly visible to what a person can still name. A copy depends on
(seed, place of the picture in its split, kind, severity) alone, not on the batch that it came in.
"""

import io
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.cores import usable_cores
from models.pictures import Picture
from models.preprocessing import InputSpec, to_images
from training.chunks import chunk_size

SEVERITIES = (1, 2, 3, 4, 5)

_NOMINAL_SIDE = 32  # pixels; lengths of levels grow with the shorter side
_MOST_AT_ONCE = 250  # pictures of 32 × 32; motion blur holds 40 MB for them


@dataclass(frozen=True)
class Kind:
    """A way to spoil pictures.

    Attributes:
        levels: what each severity means, 1 to 5.
        meaning: what these numbers are, in words; pixels are those of a 32-pixel picture.
        spoil: makes copies of uint8 (n, height, width, 3) at a level, with a generator for each.
    """

    levels: tuple[float, float, float, float, float]
    meaning: str
    spoil: Callable[[Tensor, float, Iterable[np.random.Generator]], Tensor]


def corrupt(images: Tensor, *, kind: str, severity: int, seed: int, places: Tensor) -> Tensor:
    """Make one spoilt copy of each picture.

    Args:
        images: uint8 (n, height, width, 3), on the CPU.
        kind: one of `KINDS`.
        severity: 1 to 5.
        seed: of noise and directions.
        places: int64 (n,), of the pictures in their split.

    Returns:
        uint8, same shape. Noise and directions are the same everywhere; a processor may round a level differently.
    """
    level = KINDS[kind].levels[severity - 1]
    size = chunk_size(images, most=_MOST_AT_ONCE)
    chunks = zip(torch.split(images, size), torch.split(places, size), strict=True)
    first = [seed % 2**64, list(KINDS).index(kind) * len(SEVERITIES) + severity]

    def generators(chosen: Tensor) -> Iterable[np.random.Generator]:
        # Philox counts from any key, so a picture needs no other one to be drawn before it
        return (np.random.Generator(np.random.Philox(key=first, counter=[0, 0, 0, i])) for i in chosen.tolist())

    done = [KINDS[kind].spoil(chunk, level, generators(chosen)) for chunk, chosen in chunks]
    return torch.cat(done)


def _gaussian_noise(images: Tensor, level: float, generators: Iterable[np.random.Generator]) -> Tensor:
    noise = np.stack([each.standard_normal(images.shape[1:], np.float32) for each in generators])
    return _to_bytes(images + 255 * level * torch.from_numpy(noise))


def _shot_noise(images: Tensor, level: float, generators: Iterable[np.random.Generator]) -> Tensor:
    photons = images.double().numpy() * (level / 255)
    counted = np.stack([each.poisson(wanted) for each, wanted in zip(generators, photons, strict=True)])
    return _to_bytes(torch.from_numpy(counted) * (255 / level))


def _gaussian_blur(images: Tensor, level: float, _: Iterable[np.random.Generator]) -> Tensor:
    deviation = level * _pixels_per_nominal(images)
    reach = math.ceil(3 * deviation)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    kernel = (weights / weights.sum()).repeat(3, 1, 1, 1)  # (channels, 1, 1, taps)
    padded = F.pad(_channels_first(images), [reach] * 4, mode="replicate")
    rows = F.conv2d(padded, kernel, groups=3)
    return _to_bytes(F.conv2d(rows, kernel.transpose(2, 3), groups=3).permute(0, 2, 3, 1))


def _motion_blur(images: Tensor, level: float, generators: Iterable[np.random.Generator]) -> Tensor:
    """Average over a straight line, with at least two taps a pixel."""
    length = (level - 1) * _pixels_per_nominal(images)  # one pixel is no motion
    taps = 2 * math.ceil(length) + 1
    directions = _directions(generators)  # (n, 2)
    total = torch.zeros_like(_channels_first(images))
    for part in torch.linspace(-0.5, 0.5, taps).tolist():
        total += _moved(images, directions * (part * length))
    return _to_bytes((total / taps).permute(0, 2, 3, 1))


def _jpeg(images: Tensor, level: float, _: Iterable[np.random.Generator]) -> Tensor:
    def encode_again(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=round(level))
        with Image.open(buffer) as decoded:
            return np.asarray(decoded)

    with ThreadPoolExecutor(usable_cores()) as pool:  # Pillow lets go of the interpreter while it works
        return torch.from_numpy(np.stack(list(pool.map(encode_again, images.numpy()))))


def _contrast(images: Tensor, level: float, _: Iterable[np.random.Generator]) -> Tensor:
    mean = images.float().mean((1, 2), keepdim=True)
    return _to_bytes(mean + level * (images - mean))


def _light(images: Tensor, level: float, _: Iterable[np.random.Generator]) -> Tensor:
    return _to_bytes(images * level)


def _shift(images: Tensor, level: float, generators: Iterable[np.random.Generator]) -> Tensor:
    """Whole pixels, so that nothing is blurred too."""
    by = (_directions(generators) * level * _pixels_per_nominal(images)).round()
    return _to_bytes(_moved(images, by).permute(0, 2, 3, 1))


def _zoom_in(images: Tensor, level: float, _: Iterable[np.random.Generator]) -> Tensor:
    height, width = images.shape[1:3]
    top, left = (round((1 - level) / 2 * side) for side in (height, width))
    return _resized(images[:, top : height - top, left : width - left], height, width)


def _zoom_out(images: Tensor, level: float, _: Iterable[np.random.Generator]) -> Tensor:
    height, width = images.shape[1:3]
    above, before = (min(round((1 / level - 1) / 2 * side), side - 1) for side in (height, width))
    padded = F.pad(_channels_first(images), [before, before, above, above], mode="reflect")
    return _resized(_to_bytes(padded.permute(0, 2, 3, 1)), height, width)


KINDS = {
    "gaussian_noise": Kind((0.02, 0.04, 0.06, 0.08, 0.10), "deviation, as a share of white", _gaussian_noise),
    "shot_noise": Kind((400, 200, 100, 60, 40), "photons that white gives", _shot_noise),
    "gaussian_blur": Kind((0.4, 0.6, 0.8, 1.0, 1.25), "deviation in pixels of 32", _gaussian_blur),
    "motion_blur": Kind((2, 3, 4, 5, 7), "length in pixels of 32", _motion_blur),  # any direction
    "jpeg": Kind((80, 60, 40, 25, 15), "quality", _jpeg),
    "contrast": Kind((0.75, 0.55, 0.4, 0.3, 0.2), "share that is left, around each channel's mean", _contrast),
    "darker": Kind((0.8, 0.65, 0.5, 0.35, 0.25), "times every pixel", _light),
    # white stays white, as in an over-exposed photo
    "brighter": Kind((1.2, 1.4, 1.7, 2.0, 2.5), "times every pixel", _light),
    "shift": Kind((2, 4, 6, 8, 10), "pixels of 32", _shift),  # any direction
    "zoom_in": Kind((0.9, 0.8, 0.7, 0.6, 0.5), "side of the middle that is left, cut at whole pixels", _zoom_in),
    "zoom_out": Kind((0.9, 0.8, 0.7, 0.6, 0.5), "side that the picture takes, widened by whole pixels", _zoom_out),
}
"""Noise and directions are drawn by the place in this table. What shift and zoom_out lay open is filled with the
mirrored picture.

Source: choice. The kinds follow Hendrycks & Dietterich, arXiv 1903.12261, and what phone photographs go through
besides; the numbers are our own, so these figures are not comparable with CIFAR-10-C."""


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    """By the rule that the service resizes with."""
    pictures = (Image.fromarray(image) for image in images.contiguous().numpy())
    found = [Picture(picture, "PNG", picture.width, picture.height) for picture in pictures]
    return torch.from_numpy(to_images(found, InputSpec(height=height, width=width)))


def _directions(generators: Iterable[np.random.Generator]) -> Tensor:
    """Unit vectors (n, 2), to the right and down."""
    angles = torch.tensor([each.uniform(0, 2 * math.pi) for each in generators])
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def _moved(images: Tensor, by: Tensor) -> Tensor:
    """Move each picture by (n, 2) pixels, to the right and down: float32 (n, 3, height, width)."""
    height, width = images.shape[1:3]
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    source = torch.stack([right, down], dim=-1) - by[:, None, None]  # (n, height, width, 2)
    grid = (source + 0.5) * 2 / torch.tensor([width, height]) - 1  # pixel centres, in −1…1
    return F.grid_sample(_channels_first(images), grid, padding_mode="reflection", align_corners=False)


def _pixels_per_nominal(images: Tensor) -> float:
    return min(images.shape[1:3]) / _NOMINAL_SIDE


def _channels_first(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float()


def _to_bytes(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8).contiguous()
