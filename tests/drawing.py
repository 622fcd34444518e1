"""Pictures that the tests draw themselves."""

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from models import golden


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


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG, with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width: int, height: int) -> bytes:
    """A PNG of black RGB pixels, packed as well as zlib can: 290 kB for 100 megapixels."""
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(bytes(3 * width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def draw_images(count: int, height: int = 32, width: int = 32) -> Tensor:
    """Pictures of waves and grain, the same each time: uint8 (count, height, width, 3)."""
    return torch.from_numpy(golden.draw(height, width, count))


def write_archive(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """An .npz file of these arrays."""
    np.savez(path, **arrays)  # type: ignore[arg-type]  # the stub takes any name for its one option
