"""A GIF in front of its first frame, before anything is decoded: what nobody here needs is left out.

A GIF is a header, a palette, and a row of extensions and frames, each in sub-blocks of at most 255 bytes. Source:
GIF89a Specification, 15 to 26.
"""

from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile

from models.errors import BrokenPictureError

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""

_HEADER_BYTES, _FLAGS = 13, 10
_EXTENSION, _FRAME, _END = 0x21, 0x2C, 0x3B
_CONTROL, _CONTROL_BYTES = b"\xf9\x04", 8
"""The beginning of a graphic control extension, behind its first byte: it says which colour is transparent."""
_MOST_BLOCKS = 100_000
"""Extensions, their sub-blocks and bytes between them, in front of the first frame. A megabyte of XMP has 10,000.
Pillow takes 0.2 µs for one, and of a comment keeps 90 bytes for each. Source: choice."""

_MANY_BLOCKS = 2_000
"""As many as take as long as to decode a small picture. Source: choice."""


def without_ballast(data: bytes) -> bytes:
    """Leave out comments and other extensions in front of the first frame; it and its transparency stay.

    Args:
        data: the whole file, damaged or not: what cannot be followed is left to whoever decodes it.

    Raises:
        BrokenPictureError: there are more blocks in front of its first frame than in any picture.
    """
    found = _first_frame(data, _MOST_BLOCKS)
    if found is None:
        raise BrokenPictureError(
            f"The GIF picture has more than {_MOST_BLOCKS:,} blocks in front of its first frame. Save it again."
        )
    begin, control, place = found
    return data if place == begin + len(control) else b"".join((data[:begin], control, data[place:]))


def has_many_parts(data: bytes) -> bool:
    """Whether what stands in front of the first frame costs more than the pixels of a small GIF."""
    return _first_frame(data, _MANY_BLOCKS) is None


def _first_frame(data: bytes, most_blocks: int) -> tuple[int, bytes, int] | None:
    """Where extensions may begin, the last graphic control extension, and where the first frame or the end begins.

    None where more blocks than that stand in front of it.
    """
    flags = data[_FLAGS] if len(data) > _FLAGS else 0
    begin = place = _HEADER_BYTES + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    control, is_inside = b"", False  # of an extension
    for _ in range(most_blocks):
        if place >= len(data):
            break
        byte = data[place]
        if is_inside:
            is_inside = byte > 0
            place += 1 + byte
        elif byte == _EXTENSION:
            if data.startswith(_CONTROL, place + 1):
                control = data[place : place + _CONTROL_BYTES - 1] + b"\0"
            is_inside = True
            place += 2
        elif byte in (_FRAME, _END):
            break
        else:  # filling
            place += 1
    else:
        return None
    return begin, control, place


def smaller_frame(stored: ImageFile.ImageFile) -> Box | None:
    """Tell where the first frame of a GIF lies, before it is loaded; None where it is the whole picture."""
    box = stored.tile[0][1] if isinstance(stored, GifImageFile) and stored.tile else None
    return None if box == (0, 0, *stored.size) else box


def on_white(rgb: Image.Image, frame: Box) -> Image.Image:
    """Leave a GIF's first frame where it is, and nothing around it, as browsers do; Pillow paints that."""
    white = Image.new("RGB", rgb.size, "white")
    white.paste(rgb.crop(frame), frame[:2])
    return white
