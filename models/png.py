"""The chunks of a PNG, before anything is decoded: what nobody here needs is left out.

A PNG is a signature and a row of chunks, each with a length, a kind, its content and a checksum. Source: W3C, PNG
Specification, third edition, 5.
"""

import contextlib
import re
import zlib
from collections.abc import Iterator
from itertools import islice

from PIL import ImageFile

from models.errors import BrokenPictureError

_SIGNATURE_BYTES = 8
_NAME = re.compile(rb"[0-9A-Za-z_]{4}")
"""What Pillow takes for the kind of a chunk, letters or not: any other is the end for it. Source:
PngImagePlugin.is_cid."""
_END, _PROFILE, _TEXTS = b"IEND", b"iCCP", frozenset({b"zTXt", b"iTXt"})
"""Packed: a few bytes may be megabytes. Pillow unpacks all of them, as many profiles as there are, 2 ms each, and
refuses a picture with one of over a megabyte, which profiles of scanners are."""
_WITH_ORIENTATION = (b"raw profile type exif", b"xml:com.adobe.xmp")
"""Names of texts that may say how a picture lies; compared in lower case. A picture has one of each."""
_MOST_TEXT_BYTES = 2**20
"""Of a packed text that is longer Pillow refuses the whole picture. Source: PngImagePlugin.MAX_TEXT_CHUNK."""
_MOST_CHUNKS = 100_000
"""Encoders make one for each 8 KiB or more. Source: choice; Pillow takes 2 µs for one."""
_MANY_CHUNKS = 100
"""As many as take Pillow as long as to decode a small picture. Source: choice."""

_STRETCHED = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies the pixels of grey PNGs of two and of four bits by."""


def without_ballast(data: bytes) -> bytes:
    """Leave out colour profiles and packed texts; pixels, transparency and orientation stay as they are.

    An orientation is lost where it stands in a packed text of over a megabyte, or in the second text of a name.

    Args:
        data: the whole file, damaged or not: what cannot be followed is left to whoever decodes it.

    Raises:
        BrokenPictureError: it has more chunks than any picture.
    """
    kept, begin = [], 0
    unseen = set(_WITH_ORIENTATION)
    for number, (kind, place, end) in enumerate(_chunks(data), 1):
        if number == _MOST_CHUNKS:  # and the end is one, too
            raise BrokenPictureError(f"The PNG picture has more than {_MOST_CHUNKS:,} chunks. Save it again.")
        if kind == _PROFILE or (kind in _TEXTS and not _may_turn(kind, data[place + 8 : end - 4], unseen)):
            kept.append(data[begin:place])
            begin = end
    return b"".join([*kept, data[begin:]]) if kept else data


def has_many_parts(data: bytes) -> bool:
    """Whether Pillow needs longer for the chunks than for the pixels of a small PNG."""
    return len(data) > 12 * _MANY_CHUNKS and next(islice(_chunks(data), _MANY_CHUNKS, None), None) is not None


def mend_transparency(stored: ImageFile.ImageFile) -> None:
    """Say which colour of a PNG is transparent in the numbers that its pixels get when it is loaded.

    Pillow stretches grey of two and four bits to eight, and keeps sixteen's high byte, but not in that colour.
    """
    mode, colour = str(stored.tile[0][3]) if stored.tile else "", stored.info.get("transparency")
    if isinstance(colour, int) and mode in _STRETCHED:
        stored.info["transparency"] = colour * _STRETCHED[mode]
    elif colour is not None and mode.endswith(";16B"):
        del stored.info["transparency"]


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Follow the chunks of a PNG as Pillow does, up to the end or to what is no chunk.

    Yields:
        The kind of each, and where it begins and ends.
    """
    place = _SIGNATURE_BYTES
    while _NAME.fullmatch(kind := data[place + 4 : place + 8]) and kind != _END:
        end = place + 12 + int.from_bytes(data[place : place + 4])
        yield kind, place, end
        place = end


def _may_turn(kind: bytes, text: bytes, unseen: set[bytes]) -> bool:
    """Whether a text is the first of its name, which is taken out of `unseen`, and Pillow can read it."""
    name, _, rest = text.partition(b"\0")
    if name.lower() not in unseen:
        return False
    unseen.remove(name.lower())
    if kind == b"zTXt":
        packed = rest[1:]  # behind the method
    elif rest.startswith(b"\0"):
        return True  # not packed
    else:
        packed = rest[2:].split(b"\0", 2)[-1]  # behind flag, method, language and a translation of the name
    unpacker = zlib.decompressobj()
    with contextlib.suppress(zlib.error):  # Pillow goes on without it
        unpacker.decompress(packed, _MOST_TEXT_BYTES)
    return not unpacker.unconsumed_tail
