"""Which way up a picture lies: what its EXIF says, or where that says nothing, its XMP.

Pillow makes an object of each number in a tag of EXIF, and a hostile file has millions of fractions where one
number belongs: they took 36 s. So this tag is read by hand. Source: EXIF 2.32, tag Orientation; TIFF 6.0, 2.
"""

import contextlib
import re
from collections.abc import Mapping
from typing import Any, Literal

UPRIGHT = 1

_PREFIX = b"Exif\0\0"
_Order = Literal["little", "big"]
_ORDERS: dict[bytes, _Order] = {b"II*\0": "little", b"MM\0*": "big", b"II\0*": "little", b"MM*\0": "big"}
"""The beginning → the order of bytes. The last two are wrong, but what they mean is clear."""
_ENTRY_BYTES = 12
_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4
_BYTES = {_SHORT: 2, _LONG: 4}
"""Type of a number → its length. It has to be short; some write it long."""

_RAW_PROFILE = "Raw profile type exif"
"""The text of a PNG in which ImageMagick keeps EXIF: three lines, then hexadecimal digits."""
_XMP_TEXT, _XMP = "XML:com.adobe.xmp", "xmp"
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation_of(info: Mapping[Any, Any]) -> int:
    """Read how the stored rows and columns are to be turned; what is damaged says nothing.

    Args:
        info: what Pillow found beside the pixels of a picture that was loaded.

    Returns:
        2 to 8, as EXIF counts; anything else means that it is upright.
    """
    exif = info.get("exif")
    if exif is None and isinstance(text := info.get(_RAW_PROFILE), str):
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(text.split("\n", 3)[3:]).replace("\n", ""))
    found = _of_exif(exif) if isinstance(exif, bytes) else None
    return _of_xmp(info.get(_XMP_TEXT) or info.get(_XMP)) if found is None else found


def _of_exif(block: bytes) -> int | None:
    """The first entry of the tag in the first directory that has its value in it: one short or long number."""
    exif = block.removeprefix(_PREFIX).removeprefix(_PREFIX)
    order = _ORDERS.get(exif[:4])
    if order is None:
        return None
    start = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[start : start + 2], order)
    entries = exif[start + 2 : start + 2 + count * _ENTRY_BYTES]
    heads = {_head(kind, order): size for kind, size in _BYTES.items()}
    for place in range(0, len(entries) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        size = heads.get(entries[place : place + 8])
        if size:
            return int.from_bytes(entries[place + 8 : place + 8 + size], order)
    return None


def _head(kind: int, order: _Order) -> bytes:
    """Tag, type and count: what an entry with one number of that type begins with."""
    return _ORIENTATION.to_bytes(2, order) + kind.to_bytes(2, order) + (1).to_bytes(4, order)


def _of_xmp(packet: object) -> int:
    text = packet.encode() if isinstance(packet, str) else packet
    found = _IN_XMP.search(text) if isinstance(text, bytes) else None
    return int(found[1]) if found else UPRIGHT
