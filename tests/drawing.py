"""Pictures that the tests draw themselves."""

import io
from typing import Any

import numpy as np
from PIL import Image


def gradient(width: int = 48, height: int = 32, mode: str = "RGB") -> Image.Image:
    """A picture whose four corners differ, so that turning or mirroring it shows."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack(
        [columns * 255 // max(width - 1, 1), rows * 255 // max(height - 1, 1), np.full((height, width), 60)],
        axis=-1,
    )
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def encode(image: Image.Image, picture_format: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, picture_format, **options)
    return buffer.getvalue()


def solid(colour: str, side: int = 32) -> Image.Image:
    """A picture of one colour."""
    return Image.new("RGB", (side, side), colour)
