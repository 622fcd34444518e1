"""What the markers of a JPEG say before anything is decoded: that it is hostile, or that it is a plain one.

A JPEG is a row of segments, each with a marker (FF and a byte) and a length, and then its pixels, in one or
several scans. Source: ITU-T T.81, annex B.
"""

import re
from collections.abc import Iterator

import numpy as np

from models.errors import BrokenPictureError

_START_OF_SCAN, _APP1 = b"\xff\xda", b"\xff\xe1"
_MAX_SCANS = 64
"""A progressive JPEG has about ten scans, and its thumbnail as many. A hostile one repeats 14-byte scans by the
thousand, and each costs a pass over the whole picture: 2.4 ms for 4 megapixels."""

_EXIF, _MAX_EXIF = b"Exif\0\0", 50
"""The beginning of a block of EXIF. A picture has one, its thumbnail or depth map another. Pillow joins them in
time that grows with the square of their number: 110,000 of 18 bytes keep a core for minutes."""

_MAX_MARKERS = 10_000  # a picture has some dozens, with the parts of its segments
_MAX_FILLING = 2**18
"""Bytes between segments, of which a picture has none or a few: Pillow takes a turn in Python for each, 0.2 µs."""
_MANY_PARTS, _MUCH_FILLING = 100, 2_000
"""What takes Pillow up to half a millisecond, as long as it takes to decode a small picture. Source: choice."""
_SEGMENT = re.compile(rb"\xff[\xc0-\xc7\xc9-\xcf\xda-\xef\xfe]")
"""The markers behind which Pillow reads a length. It passes over others, the end of the image too, or gives up.
Source: JpegImagePlugin.MARKER."""
_SCAN, _END_OF_IMAGE, _WITHOUT_LENGTH = 0xDA, 0xD9, frozenset({0x01, 0xD8, 0xD9})
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Any but those within the pixels: FF 00 stands for the byte FF, FF D0 to D7 are restarts, FF FF is filling."""

_FEW_BYTES = 8_192
"""Up to so many bytes `bytes.count` is quicker than a look through NumPy, which takes 5 µs to begin."""

_END = b"\xff\xd9"
_PADDING = b"\xff\x00" * 8
"""64 bits of 1, as stand between the pixels and their end: libjpeg wants so many at hand until it decodes the last
few. They are no marker, so that libjpeg goes on waiting where more than two blocks of 8 × 8 are missing."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15, the kinds of JPEG: all but lossless and differential ones are read. Source: table B.1."""
_LOSSLESS, _DIFFERENTIAL = {0xC3, 0xCB}, {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF}
_READ_COLOURS = {1, 3, 4}

_PART_BYTES = dict.fromkeys(_FRAMES | {0xDE}, 3) | {0xDB: 65}
"""Marker → length of a part of which Pillow makes an object: a colour of a frame, as 0xDE is to it, or a table of
quantization. 20 MB of them took 5 s and 510 MB. Source: table B.1, B.2.2, B.2.4.1."""
_APP13, _RESOURCE = 0xED, b"8BIM"
"""Photoshop's segment, and the beginning of its parts. Source: Adobe Photoshop File Formats Specification."""

_BASELINE = 0xC0
_SEQUENTIAL = {_BASELINE, 0xC1}
_OF_PLAIN = frozenset({0xC4, 0xDB, 0xDD, 0xE0, 0xFE})
"""Tables of Huffman and of quantization, restart interval, JFIF, comment: none of them changes how the picture
lies, or what its numbers mean."""
_EIGHT_BITS_AND_COLOURS = 8, 3
_MOST_PLAIN_SEGMENTS = 32


def refuse_hostile(data: bytes) -> None:
    """Do nothing for a JPEG that costs no more than its size lets expect.

    Raises:
        BrokenPictureError: it has more segments, scans, or blocks of EXIF, than anybody needs.
    """
    if len(data) > 4 * _MAX_MARKERS and _has_more_segments(data, _MAX_MARKERS, _MAX_FILLING):
        raise BrokenPictureError(
            f"The JPEG picture has more than {_MAX_MARKERS:,} segments and parts of them, or {_MAX_FILLING:,} "
            "bytes between them. Save it again."
        )
    if _has_too_many_scans(data):
        raise BrokenPictureError(f"The JPEG picture has more than {_MAX_SCANS} scans. Save it again.")
    if _has_too_much_exif(data):
        raise BrokenPictureError(f"The JPEG picture has more than {_MAX_EXIF} blocks of EXIF. Save it again.")


def has_many_parts(data: bytes) -> bool:
    """Whether Pillow needs longer for the header than for the pixels of a small JPEG.

    Without as many bytes of FF it has a few segments, and the parts of these cost less than them.
    """
    return data.count(0xFF) > _MANY_PARTS and _has_more_segments(data, _MANY_PARTS, _MUCH_FILLING)


def with_end(data: bytes) -> bytes:
    """Let a JPEG be decoded that lacks nothing but its last two bytes, as those that cameras stream (MJPEG) may.

    Args:
        data: the whole file. One that is cut off in its pixels stays so, but for one or two blocks of 8 × 8 whose
            bits are guessed then.

    Returns:
        It with filling behind it; the same where it has its end, or has several scans, which may be missing.
    """
    if data.endswith((_END, _PADDING)):
        return data
    kind = next((marker for marker, _ in _segments(data) if marker in _FRAMES), None)
    return data + _PADDING if kind in _SEQUENTIAL else data


def unread_kind(data: bytes) -> str | None:
    """Say what is unusual in a JPEG that is whole and cannot be decoded; None where nothing is.

    Returns:
        What it "is" or "has".
    """
    found = (place for marker, place in _segments(data) if marker in _FRAMES or marker == _SCAN)
    place = next(found, None)
    if place is None:
        return None
    marker, head = data[place - 1], data[place + 2 : place + 8]  # bits, height, width, colours
    if marker in _LOSSLESS:
        return "is of the lossless kind"
    if marker in _DIFFERENTIAL:
        return "is of the hierarchical kind"
    if marker not in _FRAMES or len(head) < 6:
        return None
    if head[0] != 8:
        return f"has {head[0]} bits a colour"
    return None if head[5] in _READ_COLOURS else f"has {head[5]} colours"


def plain_size(data: bytes) -> tuple[int, int] | None:
    """Read the size of a plain JPEG: baseline, eight bits, three colours, upright, with no metadata but JFIF's.

    Args:
        data: the whole file, or its beginning up to the pixels.

    Returns:
        Width and height, in pixels; None for any other JPEG, and for one that cannot be understood.
    """
    size, place = None, 2  # behind the start of the image
    for _ in range(_MOST_PLAIN_SEGMENTS):
        head = data[place : place + 10]
        if len(head) < 10 or head[0] != 0xFF:
            return None
        marker = head[1]
        if marker == _SCAN:
            return size
        if marker == _BASELINE and size is None and (head[4], head[9]) == _EIGHT_BITS_AND_COLOURS:
            size = int.from_bytes(head[7:9]), int.from_bytes(head[5:7])
        elif marker not in _OF_PLAIN:
            return None
        place += 2 + int.from_bytes(head[2:4])
    return None


def _has_more_segments(data: bytes, most_parts: int, most_filling: int) -> bool:
    """Look for more in front of the pixels: Pillow keeps each segment, 120 bytes for four."""
    end, filling, parts = 2, 0, 0
    for marker, place in _segments(data):
        filling += place - 2 - end
        end = _behind(data, place)
        parts += 1 + _parts(data, marker, place, end)
        if parts > most_parts or filling > most_filling:
            return True
        if marker == _SCAN:
            return False
    return filling + len(data) - end > most_filling


def _parts(data: bytes, marker: int, begin: int, end: int) -> int:
    """How many objects Pillow makes of a segment beside that which holds its bytes, at most."""
    if marker == _APP13:
        return data.count(_RESOURCE, begin, end)
    return (end - begin) // _PART_BYTES[marker] if marker in _PART_BYTES else 0


def _has_too_many_scans(data: bytes) -> bool:
    """Look for more scans in a JPEG than anybody needs.

    Two bytes that look like their marker may stand in metadata, and in the film that some phones append, so where
    there are many the markers are followed one by one.
    """
    if _count(data, _START_OF_SCAN) <= _MAX_SCANS:
        return False
    scans = 0
    for followed, (marker, _) in enumerate(_markers(data)):
        scans += marker == _SCAN
        if scans > _MAX_SCANS or followed > _MAX_MARKERS:
            return True
    return False


def _has_too_much_exif(data: bytes) -> bool:
    """Look for more blocks of EXIF in a JPEG than anybody needs, wherever they stand.

    Other metadata, and the film that some phones append, has the bytes of their marker too, so the blocks
    themselves are looked for where there are many of these: that takes 0.5 ms a megabyte instead of 0.1.
    """
    return _count(data, _APP1) > _MAX_EXIF and data.count(_EXIF) > _MAX_EXIF


def _count(data: bytes, pair: bytes) -> int:
    """Count two different bytes that follow one another; of a long file 7 times as fast as `data.count`."""
    if len(data) <= _FEW_BYTES:
        return data.count(pair)
    number = int.from_bytes(pair, "little")
    return sum(  # at even and odd places
        int(np.count_nonzero(np.frombuffer(data, "<u2", (len(data) - first) // 2, first) == number))
        for first in (0, 1)
    )


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Follow the segments of a JPEG as Pillow's reader does, up to the first scan, or to too much filling.

    Yields:
        The second byte of its marker, and the place behind it.
    """
    end = 2  # behind the start of the image
    while found := _SEGMENT.search(data, end, end + _MAX_FILLING + 2):
        marker = data[found.end() - 1]
        yield marker, found.end()
        if marker == _SCAN:
            return
        end = _behind(data, found.end())


def _behind(data: bytes, place: int) -> int:
    """Where a segment ends whose length, which counts itself, stands at that place."""
    return place + int.from_bytes(data[place : place + 2])


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Follow the markers of a JPEG as libjpeg does, over metadata and pixels, to the end of its picture.

    Yields:
        The marker's second byte, and the place behind it.
    """
    place = 2  # behind the start of the image
    while found := _MARKER.search(data, place):
        marker = data[found.end() - 1]
        yield marker, found.end()
        if marker == _END_OF_IMAGE:
            return
        place = found.end() if marker in _WITHOUT_LENGTH else _behind(data, found.end())
