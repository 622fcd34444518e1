"""The only place where a picture becomes the pixels that a network is fed.

Training's evaluation on files and the service both call `to_images`, so a checkpoint serves exactly
what it was scored on. Mean and deviation are not applied here: the network does that itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.errors import EmptyBatchError
from models.pictures import Picture
from models.values import is_count, is_number

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
"""Per channel, of the CIFAR-10 training pictures scaled to 0…1; recomputed from the data: equal."""

_INTERPOLATION = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
INTERPOLATIONS = tuple(_INTERPOLATION)
RESIZE_RULES = ("shorter_side_center_crop",)

Images = npt.NDArray[np.uint8]
"""uint8 of shape (batch, height, width, 3), C-contiguous, R G B order."""


Probabilities = npt.NDArray[np.float32]
"""float32 of shape (batch, classes); rows add up to 1. What comes back for images."""

Answers = npt.NDArray[np.float32]
"""float32 of shape (batch, classes), or (batch, classes + 1): probabilities, then the distance if there is one."""


@dataclass(frozen=True)
class InputSpec:
    """What a network eats; it travels in the checkpoint.

    Attributes:
        height: of the images, in pixels.
        width: of the images, in pixels.
        resize: one of `RESIZE_RULES`.
        interpolation: one of `INTERPOLATIONS`; Pillow's filters, which widen when they shrink.
        mean: per channel R G B, of pixels scaled to 0…1.
        std: per channel R G B, of pixels scaled to 0…1.
    """

    height: int = 32
    width: int = 32
    resize: str = "shorter_side_center_crop"
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = CIFAR10_MEAN
    std: tuple[float, float, float] = CIFAR10_STD

    def __post_init__(self) -> None:
        """Refuse what no network could eat.

        Raises:
            ValueError: a size under 1 pixel, an unknown rule or filter, a mean or deviation that is no three
                finite numbers, a deviation that is not above 0.
        """
        if not all(is_count(side, least=1) for side in (self.height, self.width)):
            raise ValueError(
                f"the input is {self.width} × {self.height} pixels; both must be whole numbers from 1"
            )
        if self.resize not in RESIZE_RULES:
            raise ValueError(f"the resize rule is {self.resize!r}; known: {', '.join(RESIZE_RULES)}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"the interpolation is {self.interpolation!r}; known: {', '.join(INTERPOLATIONS)}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(map(is_number, values)):
                raise ValueError(f"{name} is {values}; three finite numbers are needed, for R, G and B")
        if not all(deviation > 0 for deviation in self.std):
            raise ValueError(f"std is {self.std}; each must be above 0")


def to_images(pictures: Sequence[Picture], spec: InputSpec) -> Images:
    """Turn decoded pictures into the pixels that a network is fed.

    The largest centred rectangle of the input's shape is cut out and resized; a picture that has the
    right size already passes unchanged, bit for bit.

    Args:
        pictures: at least one, of any size.
        spec: from the checkpoint.

    Returns:
        uint8, C-contiguous, writeable, shape (batch, spec.height, spec.width, 3), R G B order.

    Raises:
        EmptyBatchError: there is no picture.
    """
    if not pictures:
        raise EmptyBatchError("There is no picture to classify: the list is empty. Send at least one.")
    pixels = bytearray().join(_fit(picture, spec).tobytes() for picture in pictures)
    return np.frombuffer(pixels, np.uint8).reshape(len(pictures), spec.height, spec.width, 3)


def seen_box(width: float, height: float, spec: InputSpec) -> tuple[float, float, float, float]:
    """Find the part of a picture that the network sees: the largest centred rectangle of the input's shape.

    Args:
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        spec: from the checkpoint.

    Returns:
        Left, top, right and bottom, in pixels of the picture.
    """
    scale = min(width / spec.width, height / spec.height)
    # min: scale × side may exceed the picture by one rounding error, which Pillow refuses.
    crop_width = min(scale * spec.width, width)
    crop_height = min(scale * spec.height, height)
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    return left, top, left + crop_width, top + crop_height


def _fit(picture: Picture, spec: InputSpec) -> Image.Image:
    """Cut before resizing: a strip of 1 × 50,000 pixels would otherwise grow to 1.6 million columns."""
    rgb, size = picture.rgb, (spec.width, spec.height)
    if rgb.size == size:
        return rgb
    padded_left, padded_top, padded_right, padded_bottom = picture.padding
    left, top, right, bottom = seen_box(
        rgb.width - padded_left - padded_right, rgb.height - padded_top - padded_bottom, spec
    )
    box = (padded_left + left, padded_top + top, padded_left + right, padded_top + bottom)
    return rgb.resize(size, _INTERPOLATION[spec.interpolation], box=box, reducing_gap=2.0)
