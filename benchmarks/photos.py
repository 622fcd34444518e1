"""The uploads that the serving benchmarks send, drawn from a seed so that no file has to be shipped."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

BOUNDARY = "glimpse-benchmark-7f3a91c2"
PHOTO_SIZE = (4000, 3000)
"""12 megapixels, what a telephone takes."""
_GRAIN = 2.2
"""Deviation of the grain, in steps of a pixel's value. It is what makes a photo's file large: this, at quality 85,
gives 0.9 MB, what a telephone writes for a calm scene, and what the goals in docs/benchmarks.md were set with; 4
gives 1.6 MB."""


class Upload(NamedTuple):
    """A body that can be posted as it is.

    Attributes:
        content_type: with the boundary.
        body: multipart/form-data.
    """

    content_type: str
    body: bytes


def small_picture(seed: int) -> Image.Image:
    """Draw 32 × 32 pixels: soft blobs, so that a JPEG of it is as large as one of a real thumbnail."""
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(blobs).resize((32, 32), Image.Resampling.BICUBIC)


def photo(seed: int) -> Image.Image:
    """Draw 12 megapixels: a soft background, 60 shapes with hard edges, and the grain of a sensor.

    Args:
        seed: of everything that is drawn.
    """
    rng = np.random.default_rng(seed)
    width, height = PHOTO_SIZE
    background = Image.fromarray(rng.integers(40, 216, (9, 12, 3), dtype=np.uint8))
    picture = background.resize(PHOTO_SIZE, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for _ in range(60):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, height))
        box = (left, top, left + int(rng.integers(50, 600)), top + int(rng.integers(50, 600)))
        red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(box, fill=(red, green, blue))
    noise = rng.normal(0, _GRAIN, (height, width, 1)).astype(np.int16)
    return Image.fromarray((np.asarray(picture, np.int16) + noise).clip(0, 255).astype(np.uint8))


def encode(picture: Image.Image, picture_format: str = "JPEG") -> bytes:
    """Write a picture into memory, JPEG at quality 85."""
    file = io.BytesIO()
    picture.save(file, picture_format, quality=85)
    return file.getvalue()


def multipart(field: str, files: Sequence[bytes], *, media_type: str = "image/jpeg") -> Upload:
    """Put files into one form, each under the same field."""
    parts = [
        (
            f"--{BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="{field}"; filename="{index}.jpg"\r\n'
            f"Content-Type: {media_type}\r\n\r\n"
        ).encode()
        + data
        + b"\r\n"
        for index, data in enumerate(files)
    ]
    return Upload(f"multipart/form-data; boundary={BOUNDARY}", b"".join(parts) + f"--{BOUNDARY}--\r\n".encode())


def small_upload() -> Upload:
    """One JPEG of 32 × 32 pixels in the field that `POST /predict` reads."""
    return multipart("file", [encode(small_picture(0))])


def photo_upload(seed: int = 0) -> Upload:
    """One JPEG of 12 megapixels in the field that `POST /predict` reads."""
    return multipart("file", [encode(photo(seed))])


def batch_upload(count: int) -> Upload:
    """Different small JPEGs in the field that `POST /predict/batch` reads."""
    return multipart("files", [encode(small_picture(index)) for index in range(count)])
