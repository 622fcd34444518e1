"""The BMPs that Pillow does not read as they are meant, or not as quickly as their size lets expect.

Source of all fields: BITMAPINFOHEADER and BITMAPCOREHEADER in the documentation of Windows GDI.
"""

import math

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from models.errors import BrokenPictureError, TooManyPixelsError

_PLAIN, _RUN_LENGTHS = 0, {1, 2}
"""biCompression."""
_MOST_RUN_LENGTH_PIXELS = 1_000_000
"""Pillow unpacks them in Python: 0.1 s and the interpreter for a million pixels, 0.6 s where each is a run of its
own, as long as an honest file can be (Zen 5, both cores busy)."""
_OTHER_BYTES = 65_536
"""What a BMP may have besides its pixels: header, palette, colour profile. Source: choice."""

_FILE_HEADER_BYTES, _OLD_HEADER_BYTES = 14, 12
_GREYS_OF_PILLOW = {(4, "1"), (4, "L"), (8, "1")}
"""Bits a pixel, and the mode in which Pillow reads them where the palette is black and white, or the greys 0, 1, 2
and so on: as pixels of one bit, or of eight, whatever they are."""
_RAW_MODES = {4: "P;4", 8: "P"}


def is_of_run_lengths(data: bytes) -> bool:
    """Whether the pixels of a BMP are run lengths (RLE8, RLE4); of a damaged one it may be either."""
    return _number(data, _FILE_HEADER_BYTES, 4) > _OLD_HEADER_BYTES and _number(data, 30, 4) in _RUN_LENGTHS


def refuse_hostile(data: bytes, stored: BmpImageFile) -> None:
    """Do nothing for a BMP that costs no more than its size lets expect.

    Args:
        data: the whole file.
        stored: its header, read.

    Raises:
        TooManyPixelsError: it is one of run lengths, of more than a million pixels.
        BrokenPictureError: its run lengths take more bytes than if each were of one pixel: of runs that make no
            pixels a small picture may have millions.
    """
    if not is_of_run_lengths(data):
        return
    pixels = math.prod(stored.size)
    if pixels > _MOST_RUN_LENGTH_PIXELS:
        raise TooManyPixelsError(
            f"The BMP picture is {stored.width} × {stored.height} pixels; the limit is "
            f"{_MOST_RUN_LENGTH_PIXELS:,} pixels for one of run lengths. Save it without compression, or as PNG."
        )
    if len(data) > 2 * (pixels + stored.height) + _OTHER_BYTES:  # a pixel, and the end of a row, are 2 bytes
        raise BrokenPictureError(
            f"The BMP picture of {len(data):,} bytes has more run lengths than its {pixels:,} pixels need. "
            "Save it without compression, or as PNG."
        )


def with_own_palette(data: bytes, stored: BmpImageFile) -> Image.Image | None:
    """Decode the BMPs of 4 and 8 bits that Pillow takes for pictures of greys; None for all others.

    Args:
        data: the whole file.
        stored: its header, read.

    Raises:
        ValueError: there are not enough pixels.
    """
    header_bytes = _number(data, _FILE_HEADER_BYTES, 4)
    is_old = header_bytes == _OLD_HEADER_BYTES
    bits = _number(data, 24 if is_old else 28, 2)
    if stored.info["compression"] != _PLAIN or (bits, stored.mode) not in _GREYS_OF_PILLOW:
        return None
    colours = 0 if is_old else _number(data, 46, 4)
    begin, entry_bytes, raw_mode = _FILE_HEADER_BYTES + header_bytes, 3 if is_old else 4, _RAW_MODES[bits]
    palette = data[begin : begin + entry_bytes * (colours or 1 << bits)]
    tile = stored.tile[0]
    layout = (tile.args or ())[1:]  # behind Pillow's raw mode: bytes a row, and whether the last one comes first
    picture = Image.frombytes("P", stored.size, data[tile.offset :], "raw", raw_mode, *layout)
    picture.putpalette(palette.ljust(entry_bytes << 8, b"\0"), "BGR" if is_old else "BGRX")  # none is black
    return picture


def _number(data: bytes, place: int, size_bytes: int) -> int:
    return int.from_bytes(data[place : place + size_bytes], "little")
