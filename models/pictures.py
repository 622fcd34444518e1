"""Bytes from a stranger become one upright RGB picture, or one clear error.

This is the firewall: six formats, the header read before anything is decoded, one policy for
orientation, transparency, palettes, CMYK, 16-bit samples and animations.
"""

import contextlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import AvifImagePlugin, Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models import bmp, gif, jpeg, png
from models.avif import largest_frame, without_exif
from models.errors import (
    BrokenPictureError,
    EmptyPictureError,
    PictureError,
    TooManyPixelsError,
    UnsupportedFormatError,
)
from models.orientation import orientation_of

DEFAULT_MAX_PIXELS = 51_000_000
"""Photos of phones of 50 megapixels pass, of which the largest have 8192 × 6144; Pillow holds an RGB pixel in 4
bytes, so that one takes 204 MB for a moment. Source: choice."""

MOST_PIXELS = 178_956_970
"""The largest limit that can be set: of more pixels Pillow's own guard refuses some formats."""

_MOST_PIXELS_A_SIDE = 65_536
"""Pillow holds an address and filling for each row, in each copy: 51 million rows of one pixel, a PNG of 100 kB,
took 3 GB. Sides of a JPEG end at 65,535. Source: choice."""

AvifImagePlugin.DEFAULT_MAX_THREADS = 1
"""Pillow starts a thread for every core of the process, for each picture: whoever decodes here counts on one, and
decodes as many pictures at a time as there are cores. Pillow has no other way to say it."""

_MOST_PLAIN_PIXELS = 65_536
"""Of a larger JPEG the header is a small part of the work, and room for pixels that never come would be filled."""

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, tag Orientation: how to turn the stored rows and columns upright."""
_SIDEWAYS = frozenset({5, 6, 7, 8})
_PADDED_LEFT = frozenset({2, 3, 6, 7})
_PADDED_TOP = frozenset({3, 4, 7, 8})
"""The orientations that bring the stored right, or bottom, to the left, or to the top."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright and RGB.

    Attributes:
        rgb: the pixels; a JPEG may be decoded at a fraction of its stored size (see `decode`).
        format: JPEG, PNG, WEBP, GIF, BMP or AVIF.
        width: of the upright picture as stored, in pixels, before any reduction.
        height: of the upright picture as stored, in pixels, before any reduction.
        padding: left, top, right and bottom, in pixels of `rgb`: how much of its outermost columns and rows lies
            beyond the picture. Under 1, and 0 unless a JPEG was reduced whose sides the scale does not divide.
    """

    rgb: Image.Image
    format: str
    width: int
    height: int
    padding: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


def _is_avif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and b"avi" in head[8:32]


class _Jpeg(JpegImageFile):
    """Pillow's reader, without its look for dots per inch in EXIF, where a million fractions may stand."""

    def _read_dpi_from_exif(self) -> None:
        """Nobody here prints."""


def _open_avif(file: BinaryIO) -> AvifImageFile:
    """Read the header of an AVIF, without its EXIF, which Pillow unpacks: it is turned by boxes of its own.

    They have the last word over EXIF, and EXIF over XMP.
    """
    data = file.read()
    stripped = without_exif(data)
    stored = AvifImageFile(io.BytesIO(stripped))
    if stripped != data:
        stored.info.pop("xmp", None)
    return stored


_FORMATS: dict[str, tuple[Callable[[bytes], bool], Callable[[BinaryIO], ImageFile.ImageFile]]] = {
    "JPEG": (lambda head: head.startswith(b"\xff\xd8\xff"), _Jpeg),
    "PNG": (lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), PngImageFile),
    "WEBP": (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", WebPImageFile),
    "GIF": (lambda head: head.startswith((b"GIF87a", b"GIF89a")), GifImageFile),
    "BMP": (lambda head: head.startswith(b"BM"), BmpImageFile),
    "AVIF": (_is_avif, _open_avif),
}
"""Format → its signature and Pillow's reader. Readers are named here one by one, so that the forty
other formats that Pillow knows are never reached by uploaded bytes."""

FORMATS = tuple(_FORMATS)

_WITHOUT_BALLAST: dict[str, Callable[[bytes], bytes]] = {"PNG": png.without_ballast, "GIF": gif.without_ballast}
"""Format → what leaves out of its bytes what costs Pillow time or memory, and is not needed here."""

_HAS_MANY_PARTS: dict[bytes, Callable[[bytes], bool]] = {
    b"\xff\xd8": jpeg.has_many_parts,
    b"\x89P": png.has_many_parts,
    b"GI": gif.has_many_parts,
    b"BM": bmp.is_of_run_lengths,
}
"""The first two bytes of a format of which Pillow, or what is done before it here, takes a turn in Python for each
part → what tells whether there are many."""

_HEIC, _TIFF = _UNREAD_PICTURES = ("a HEIC photo", "a TIFF picture")
_OTHER_KINDS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda head: head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif"), _HEIC),
    (lambda head: head.startswith((b"II*\0", b"MM\0*")), _TIFF),
    (lambda head: head.startswith(b"%PDF"), "a PDF document"),
    (lambda head: head.startswith(b"PK\x03\x04"), "a ZIP archive"),
    (lambda head: head.startswith(b"\x1f\x8b"), "packed by gzip"),
    (lambda head: head.lstrip().startswith((b"<svg", b"<?xml")), "an SVG or XML text"),
    (lambda head: head.lstrip().lower().startswith((b"<!doctype html", b"<html")), "an HTML page"),
    (lambda head: head.lstrip().startswith((b"{", b"[")), "a JSON text"),
    (lambda head: head.startswith((b"/9j/", b"iVBOR", b"data:")), "a base64 text, and the bytes are needed"),
)


def decode(
    data: bytes,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    at_least: tuple[int, int] | None = None,
    advice: str = "Resize it.",
) -> Picture:
    """Turn the bytes of one picture file into an upright RGB picture.

    Transparency is laid over white; of an animation the first frame counts; CMYK, palettes and grey
    become RGB; 16-bit samples keep their high byte (and lose a transparent colour, which Pillow
    does not give for them); a damaged EXIF block is ignored.

    Args:
        data: the whole file.
        max_pixels: limit on width × height, read from the header before anything is decoded.
        at_least: (width, height) that the caller needs. A JPEG is then decoded at the smallest of
            libjpeg's scales 1/8, 1/4, 1/2, 1 that is still twice the larger of the two in both directions.
        advice: what to do about too many pixels; whoever has a limit to raise says so.

    Raises:
        EmptyPictureError: `data` is empty.
        UnsupportedFormatError: not one of `FORMATS`, or a kind of JPEG or BMP that is not read.
        TooManyPixelsError: the header announces more than `max_pixels`, more than 65,536 a side, or more than a
            million in a BMP of run lengths.
        BrokenPictureError: the content is damaged or cut off.
    Source:
        DCT scaling: a 12-megapixel JPEG of 1.6 MB costs 13 ms instead of 67 (docs/benchmarks.md).
    """
    if not data:
        raise EmptyPictureError("The picture is empty: it has 0 bytes. Choose a picture file.")
    picture_format = recognise(data[:64])
    if picture_format == "JPEG":
        jpeg.refuse_hostile(data)
        plain = _decode_plain(data, max_pixels=max_pixels, at_least=at_least)
        if plain is not None:
            return plain
    try:
        stored = _open(data, picture_format, max_pixels=max_pixels, advice=advice)
        return _read(stored, data, picture_format, at_least=at_least)
    except (PictureError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(
            f"The picture, or a frame of it, has too many pixels: {error} The limit is {max_pixels:,}. {advice}"
        ) from error
    except Exception as error:  # decoders raise whatever they stumble over
        is_cut = picture_format == "JPEG" and "truncated" in str(error)
        if is_cut and (ended := jpeg.with_end(data)) is not data:
            with contextlib.suppress(PictureError):
                return decode(ended, max_pixels=max_pixels, at_least=at_least, advice=advice)
        raise _refused(picture_format, data, error) from error


def _decode_plain(data: bytes, *, max_pixels: int, at_least: tuple[int, int] | None) -> Picture | None:
    """Decode a small, plain JPEG that is not to be reduced; None for all others, and for one that is broken.

    Pillow reads a JPEG's header in Python, which takes longer than to decode a small picture; its decoder does not
    need that.
    """
    size = jpeg.plain_size(data)
    if size is None or not 0 < math.prod(size) <= min(max_pixels, _MOST_PLAIN_PIXELS):
        return None
    if at_least is not None and min(size) >= 4 * max(at_least):
        return None
    try:
        return Picture(Image.frombytes("RGB", size, data, "jpeg", "RGB", ""), "JPEG", *size)
    except Exception:  # noqa: BLE001 - whatever it is, Pillow's reader finds it again and says what
        return None


def _open(data: bytes, picture_format: str, *, max_pixels: int, advice: str) -> ImageFile.ImageFile:
    """Read the header, and refuse what would cost more than its size lets expect; nothing is decoded."""
    if picture_format == "AVIF":
        _check_pixels(largest_frame(data), max_pixels, advice=advice)
    _, reader = _FORMATS[picture_format]
    stored = reader(io.BytesIO(_WITHOUT_BALLAST.get(picture_format, bytes)(data)))
    _check_pixels(stored.size, max_pixels, advice=advice)
    if isinstance(stored, BmpImageFile):
        bmp.refuse_hostile(data, stored)
    return stored


def _read(
    stored: ImageFile.ImageFile, data: bytes, picture_format: str, *, at_least: tuple[int, int] | None
) -> Picture:
    """Decode the pixels of a picture whose header was read, turn them upright, and make them RGB."""
    width, height = stored.size
    right, bottom = _reduce(stored, at_least) if at_least is not None else (0.0, 0.0)
    frame = gif.smaller_frame(stored)
    pixels = _loaded(stored, data)
    orientation = orientation_of(pixels.info)
    padding = _turned_padding(right, bottom, orientation)
    upright = pixels.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else pixels
    if orientation in _SIDEWAYS:
        width, height = height, width
    rgb = _to_rgb(upright)
    return Picture(gif.on_white(rgb, frame) if frame else rgb, picture_format, width, height, padding)


def _loaded(stored: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Decode the pixels, as they are stored; `data` is the whole file."""
    if isinstance(stored, PngImageFile):
        png.mend_transparency(stored)
    by_hand = bmp.with_own_palette(data, stored) if isinstance(stored, BmpImageFile) else None
    if by_hand is not None:
        return by_hand
    stored.load()
    is_filled = stored.format == "BMP" and stored.mode == "RGBA" and stored.getchannel("A").getextrema() == (0, 0)
    return stored.convert("RGB") if is_filled else stored  # its alpha is filling, as browsers take it


def _refused(picture_format: str, data: bytes, error: Exception) -> PictureError:
    """What to say of a picture that no decoder made pixels of: few are whole, and of a kind that is not read."""
    reason, begin = _first_line(error), f"The {picture_format} picture of {len(data):,} bytes"
    unread = jpeg.unread_kind(data) if picture_format == "JPEG" else None
    if unread is not None:
        return UnsupportedFormatError(
            f"{begin} {unread}, which is not read. Save it as a JPEG of 8 bits, baseline or progressive, "
            "or as PNG."
        )
    if picture_format == "BMP" and reason.startswith("Unsupported BMP"):
        return UnsupportedFormatError(
            f"{begin} is of a kind that is not read: {reason}. Save it with 24 bits a pixel and without "
            "compression, or as PNG."
        )
    if picture_format == "BMP" and bmp.is_of_run_lengths(data):
        advice = "It is damaged or cut off, or its run lengths end early; save it without compression, or as PNG"
    else:
        advice = "It is damaged or cut off; export or copy it again"
    return BrokenPictureError(f"{begin} could not be decoded: {reason}. {advice}.")


def _reduce(stored: ImageFile.ImageFile, at_least: tuple[int, int]) -> tuple[float, float]:
    """Have a JPEG decoded at the smallest fraction that is enough; other formats are decoded whole.

    Returns:
        How much of the right column, and of the bottom row, then lies beyond the picture, in pixels.
    """
    side = 2 * max(at_least)  # the stored picture may lie on its side
    drafted = stored.draft("RGB", (side, side))
    if drafted is None:
        return 0.0, 0.0
    _, (_, _, right, bottom) = drafted
    return stored.width - right, stored.height - bottom


def stored_size(file: BinaryIO) -> tuple[int, int]:
    """Read how large a picture is from its header, without decoding anything.

    It may be damaged behind its header, and lie on its side.

    Args:
        file: at its beginning. PNG, WebP and AVIF are read whole, of the others little more than the header.

    Returns:
        Width and height, in pixels, as they are stored.

    Raises:
        UnsupportedFormatError: not one of `FORMATS`.
        TooManyPixelsError: the header announces more than 51 million, or more than 65,536 a side.
        BrokenPictureError: the header is damaged or cut off.
    """
    picture_format = recognise(file.read(64))
    file.seek(0)
    _, reader = _FORMATS[picture_format]
    try:
        size = reader(io.BytesIO(png.without_ballast(file.read())) if picture_format == "PNG" else file).size
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # as in `decode`
        raise BrokenPictureError(
            f"The header of the {picture_format} picture cannot be read: {_first_line(error)}. It is damaged or "
            "cut off; export or copy it again."
        ) from error
    _check_pixels(size, DEFAULT_MAX_PIXELS, advice="Resize it.")
    return size


def has_many_parts(data: bytes) -> bool:
    """Tell whether a small file may take much longer than its pixels let expect, by segments, chunks or blocks.

    Args:
        data: the whole file; False for what is no picture.
    """
    has_many = _HAS_MANY_PARTS.get(data[:2])
    return has_many is not None and has_many(data)


def recognise(head: bytes) -> str:
    """Tell the format of a picture file from its beginning.

    Args:
        head: the first 64 bytes, or all where there are fewer.

    Raises:
        UnsupportedFormatError: not one of `FORMATS`.
    """
    for name, (matches, _) in _FORMATS.items():
        if matches(head):
            return name
    kind = next((kind for matches, kind in _OTHER_KINDS if matches(head)), "no picture format known here")
    advice = "Convert it" if kind in _UNREAD_PICTURES else "If it is a picture, convert it"
    raise UnsupportedFormatError(
        f"The file is {kind} (it begins with {head[:8]!r}); {', '.join(FORMATS)} are read. "
        f"{advice}, for example to JPEG."
    )


def _check_pixels(size: tuple[int, int], max_pixels: int, *, advice: str) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise BrokenPictureError(f"The picture says that it is {width} × {height} pixels. Export it again.")
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"The picture is {width} × {height} pixels; the limit is {max_pixels:,} pixels in all. {advice}"
        )
    if max(width, height) > _MOST_PIXELS_A_SIDE:
        raise TooManyPixelsError(
            f"The picture is {width} × {height} pixels; the limit is {_MOST_PIXELS_A_SIDE:,} pixels a side. "
            "Resize it, or cut it into parts."
        )


def _turned_padding(right: float, bottom: float, orientation: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the upright picture, from where a stored one is padded."""
    across, down = (bottom, right) if orientation in _SIDEWAYS else (right, bottom)
    left = across if orientation in _PADDED_LEFT else 0.0
    top = down if orientation in _PADDED_TOP else 0.0
    return left, top, across - left, down - top


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: I;16, I;16B, or I from older Pillow
        high_byte = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(high_byte).convert("RGB")
    if image.has_transparency_data:
        over = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", over.size, "white")
        white.paste(over.convert("RGB"), mask=over.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(". ") or type(error).__name__
