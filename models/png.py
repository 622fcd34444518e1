"""The chunks of a PNG, before anything is decoded: what nobody here needs is left out.

A PNG is a signature and a row of chunks, each with a length, a kind, its content and a checksum. Source: W3C, PNG
Specification, third edition, 5.
"""

from models.errors import BrokenPictureError

_SIGNATURE_BYTES = 8
_END, _PROFILE, _TEXTS = b"IEND", b"iCCP", frozenset({b"zTXt", b"iTXt"})
"""Packed: a few bytes may be megabytes. Pillow unpacks all of them, as many profiles as there are, 2 ms each, and
refuses a picture with one of over a megabyte, which profiles of scanners are."""
_WITH_ORIENTATION = (b"raw profile type exif", b"xml:com.adobe.xmp")
"""Names of texts that may say how a picture lies; compared in lower case."""
_MOST_CHUNKS = 100_000
"""Encoders make one for each 8 KiB or more. Source: choice; Pillow takes 2 µs for one."""


def without_ballast(data: bytes) -> bytes:
    """Leave out colour profiles and packed texts; pixels, transparency and orientation stay as they are.

    Args:
        data: the whole file, damaged or not: what cannot be followed is left to whoever decodes it.

    Raises:
        BrokenPictureError: it has more chunks than any picture.
    """
    kept, begin, place = [], 0, _SIGNATURE_BYTES
    for _ in range(_MOST_CHUNKS):
        kind = data[place + 4 : place + 8]
        if kind == _END or not kind.isalpha():  # nobody reads any further
            break
        end = place + 12 + int.from_bytes(data[place : place + 4])
        if kind == _PROFILE or (kind in _TEXTS and not _may_turn(data[place + 8 : place + 40])):
            kept.append(data[begin:place])
            begin = end
        place = end
    else:
        raise BrokenPictureError(f"The PNG picture has more than {_MOST_CHUNKS:,} chunks. Save it again.")
    return b"".join([*kept, data[begin:]]) if kept else data


def _may_turn(text: bytes) -> bool:
    return text.partition(b"\0")[0].lower() in _WITH_ORIENTATION
