"""Which way up a picture lies, of all that may be written about it."""

import struct
from typing import Any

import pytest

from models.orientation import orientation_of

SHORT, LONG, RATIONAL = 3, 4, 5
PACKET = b'<rdf:Description tiff:Orientation="6"/>'
BOTH_ORDERS = pytest.mark.parametrize(("order", "head"), [("<", b"II*\0"), (">", b"MM\0*")])


def _entry(order: str, value: int, *, tag: int = 0x0112, kind: int = SHORT, count: int = 1) -> bytes:
    return struct.pack(order + "HHL", tag, kind, count) + struct.pack(
        order + ("H2x" if kind == SHORT else "L"), value
    )


def _exif(order: str, head: bytes, *entries: bytes, gap: int = 0) -> bytes:
    start = struct.pack(order + "L", 8 + gap)
    return head + start + bytes(gap) + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)


@BOTH_ORDERS
@pytest.mark.parametrize("kind", [SHORT, LONG])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0"], ids=["none", "one", "two"])
def test_exif_says_it(order: str, head: bytes, kind: int, prefix: bytes) -> None:
    """In either order of bytes, among others, wherever the directory begins; some write a long number."""
    others = [_entry(order, 6, tag=0x0110), _entry(order, 5, tag=0x0111, kind=LONG)]
    exif = _exif(order, head, *others, _entry(order, 8, kind=kind), _entry(order, 3), gap=10)
    assert orientation_of({"exif": prefix + exif}) == 8


@pytest.mark.parametrize(("order", "head"), [("<", b"II\0*"), (">", b"MM*\0")])
def test_a_mark_the_wrong_way_round_is_understood(order: str, head: bytes) -> None:
    """The first two bytes say the order."""
    assert orientation_of({"exif": _exif(order, head, _entry(order, 6))}) == 6


@BOTH_ORDERS
def test_an_orientation_that_is_not_one_whole_number_is_none(order: str, head: bytes) -> None:
    """Nothing is followed from the directory to anywhere else."""
    for kind, count in ((RATIONAL, 1), (RATIONAL, 2_000_000), (SHORT, 2), (SHORT, 0), (LONG, 2**32 - 1), (99, 1)):
        assert orientation_of({"exif": _exif(order, head, _entry(order, 6, kind=kind, count=count))}) == 1


@BOTH_ORDERS
def test_damaged_exif_says_nothing(order: str, head: bytes) -> None:
    """Cut off anywhere, or with a directory behind its end."""
    whole = _exif(order, head, _entry(order, 6))
    assert orientation_of({"exif": whole[:-4]}) == 6
    assert all(orientation_of({"exif": whole[:length]}) == 1 for length in range(len(whole) - 4))
    assert orientation_of({"exif": head + b"\xff" * 30}) == 1
    assert orientation_of({"exif": b"XX*\0" + whole[4:]}) == 1


@pytest.mark.parametrize(
    "info",
    [
        {"xmp": PACKET},
        {"xmp": b"<tiff:Orientation>6</tiff:Orientation>"},
        {"XML:com.adobe.xmp": PACKET.decode(), "xmp": PACKET.replace(b"6", b"3")},
        {"xmp": PACKET, "exif": _exif("<", b"II*\0")},
        {"xmp": PACKET, "exif": b"damaged"},
    ],
)
def test_where_exif_says_nothing_xmp_does(info: dict[str, Any]) -> None:
    """As an attribute or an element, in a text of a PNG or a block of another format."""
    assert orientation_of(info) == 6


def test_exif_has_the_last_word() -> None:
    """Even where it says that nothing is to be turned."""
    assert orientation_of({"xmp": PACKET, "exif": _exif("<", b"II*\0", _entry("<", 1))}) == 1


def test_a_raw_profile_of_a_png_is_exif() -> None:
    """Its digits stand in lines; where there is EXIF of its own, they do not count."""
    digits = _exif(">", b"MM\0*", _entry(">", 6)).hex()
    raw = f"\nexif\n      26\n{digits[:20]}\n{digits[20:31]}\n{digits[31:]}\n"
    assert orientation_of({"Raw profile type exif": raw}) == 6
    assert orientation_of({"Raw profile type exif": raw, "exif": b""}) == 1
    assert orientation_of({"Raw profile type exif": raw[:-5] + "z"}) == 1
    assert orientation_of({"Raw profile type exif": "\nexif"}) == 1


def test_nothing_at_all_is_upright() -> None:
    """Nor does anything of another type turn a picture."""
    assert orientation_of({}) == 1
    assert orientation_of({"exif": "text", "xmp": 5, "Raw profile type exif": b"bytes"}) == 1
