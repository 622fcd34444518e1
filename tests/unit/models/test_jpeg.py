"""What the markers of a JPEG say: hostile ones are refused, and plain ones are known."""

import contextlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import BrokenPictureError, UnsupportedFormatError
from models.jpeg import plain_size, unread_kind, with_end
from models.pictures import decode
from tests.drawing import encode, gradient


@pytest.mark.parametrize("place", ["behind the picture", "in its metadata"])
def test_bytes_that_look_like_scans_are_none(place: str) -> None:
    """Phones append films of megabytes, and what is no picture may hold any bytes."""
    data, film = encode(gradient(), "JPEG"), b"\xff\xda film" * 5_000
    if place == "behind the picture":
        filled = data + film
    else:
        filled = data[:2] + b"\xff\xe5" + (len(film) + 2).to_bytes(2) + film + data[2:]
    np.testing.assert_array_equal(np.asarray(decode(filled).rgb), np.asarray(decode(data).rgb))


def test_a_jpeg_of_endless_segments_is_refused() -> None:
    """Each costs Pillow a turn in Python, and 120 bytes; they are not followed any further."""
    data = encode(gradient(), "JPEG")
    for segment in (b"\xff\xfe\x00\x04\xff\xda", b"\xff\xef\x00\x02"):
        assert decode(data[:2] + segment * 9_000 + data[2:]).width == 48
        with pytest.raises(BrokenPictureError, match="has more than 10,000 segments"):
            decode(data[:2] + segment * 10_002 + data[2:])


@pytest.mark.parametrize(
    ("marker", "content", "part"),
    [
        pytest.param(0xC0, b"\x08\0\x20\0\x20\x03", b"\1\x11\0", id="colours of a frame"),
        pytest.param(0xDE, b"\x08\0\x20\0\x20\x03", b"\1\x11\0", id="colours of a hierarchy"),
        pytest.param(0xDB, b"", b"\0" + b"\1" * 64, id="tables of quantization"),
        pytest.param(0xED, b"Photoshop 3.0\0", b"8BIM\0\1\0\0\0\0\0\0", id="Photoshop's resources"),
    ],
)
def test_a_jpeg_of_endless_parts_is_refused(marker: int, content: bytes, part: bytes) -> None:
    """Of each Pillow makes an object; a thousand of Photoshop's are allowed, and as many tables."""
    data = encode(gradient(), "JPEG")

    def crowded(segments: int) -> bytes:
        segment = content + part * 1_000
        return data[:2] + (bytes([0xFF, marker]) + (len(segment) + 2).to_bytes(2) + segment) * segments + data[2:]

    with pytest.raises(BrokenPictureError, match="has more than 10,000 segments and parts of them"):
        decode(crowded(15))
    if marker in {0xDB, 0xED}:
        assert decode(crowded(1)).width == 48


HIDING = [b"\xff\xd8", b"\xff\xd9", *(bytes([0xFF, marker, 0xFF, 0xFF]) for marker in (0xC8, 0xF0, 0xF7, 0xFD))]
"""Markers behind which some see the end of a picture, or a long segment; to Pillow they are two bytes."""


@pytest.mark.parametrize("hiding", HIDING, ids=bytes.hex)
def test_no_marker_hides_endless_segments(hiding: bytes) -> None:
    """What stands in front of the first scan is read by Pillow, whatever stands in front of that."""
    data = encode(gradient(), "JPEG")
    hidden = (hiding + b"\xff\xe0\0\2" * 16_000) * 2
    with pytest.raises(BrokenPictureError, match="has more than 10,000 segments"):
        decode(data[:2] + hidden + data[2:])
    with pytest.raises(BrokenPictureError, match="or 262,144 bytes between them"):
        decode(data[:2] + hiding + bytes(270_000) + data[2:])


@pytest.mark.parametrize(
    "filling", [b"\xff\xff", b"\xff\xd0", b"\xff\xd9", b"\xff\xf0", b"\xff\x00", b"\0\0"], ids=bytes.hex
)
def test_a_jpeg_of_endless_filling_is_refused(filling: bytes) -> None:
    """Between segments there is none in a picture, and Pillow takes a turn for each byte."""
    data = encode(gradient(), "JPEG")
    with pytest.raises(BrokenPictureError, match="or 262,144 bytes between them"):
        decode(data[:20] + filling * 150_000 + data[20:])  # behind JFIF's segment


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    """Thousands of 14-byte scans would each cost a pass over the picture; a real progressive JPEG passes."""
    data = encode(gradient(200, 200), "JPEG", progressive=True)
    scans = data.count(b"\xff\xda")
    assert 2 <= scans <= 20
    decode(data)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(BrokenPictureError, match="has more than 64 scans"):
        decode(data[:-2] + data[last:-2] * 5000 + data[-2:])


def test_a_jpeg_of_endless_exif_is_refused() -> None:
    """Joining thousands of empty blocks would take minutes; a photo, its thumbnail and depth map have a few."""
    data, block = encode(gradient(), "JPEG"), b"\xff\xe1\x00\x08Exif\0\0"
    decode(data[:2] + block * 50 + data[2:])
    decode(data[:2] + block + b"\xff\xe1\x00\x08other!" * 100 + data[2:])
    with pytest.raises(BrokenPictureError, match="has more than 50 blocks of EXIF"):
        decode(data[:2] + block * 51 + data[2:])
    with pytest.raises(BrokenPictureError, match="has more than 50 blocks of EXIF"):
        decode(data[:2] + b"\xff\xd9" + block * 51 + data[2:])  # the end of a picture is none to Pillow here


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"comment": b"x"}, {"restart_marker_blocks": 2}])
def test_the_size_of_a_plain_jpeg_is_read(options: dict[str, Any]) -> None:
    """Width and height, which stand the other way round in it; from the beginning alone, too."""
    data = encode(gradient(70, 50), "JPEG", **options)
    assert plain_size(data) == (70, 50)
    assert plain_size(data[: data.index(b"\xff\xda") + 10]) == (70, 50)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"progressive": True}),
        ("RGB", {"exif": b"Exif\0\0II*\0"}),
        ("RGB", {"icc_profile": b"profile"}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
def test_no_other_jpeg_is_plain(mode: str, options: dict[str, Any]) -> None:
    """What turns a picture, or changes what its numbers mean, is for a reader that knows it."""
    assert plain_size(encode(gradient().convert(mode), "JPEG", **options)) is None


@pytest.mark.parametrize("extra", [b"\0", b"\xff", b"\xff\xfe\x00\x02" * 40, b"\xff\xd8", b"\xff\xfe\xff\xff"])
def test_a_jpeg_with_something_odd_in_its_header_is_not_plain(extra: bytes) -> None:
    """Filling, segments without end, a second beginning, a length that leads behind the end."""
    data = encode(gradient(), "JPEG")
    assert plain_size(data[:2] + extra + data[2:]) is None


def test_a_jpeg_that_ends_in_its_header_is_not_plain() -> None:
    """Wherever it ends."""
    data = encode(gradient(), "JPEG")
    assert all(plain_size(data[:end]) is None for end in range(data.index(b"\xff\xda")))


def test_a_second_size_is_not_plain() -> None:
    """Decoders do not agree about which of them counts."""
    data = encode(gradient(), "JPEG")
    start = data.index(b"\xff\xc0")
    frame = data[start : start + 19]
    assert plain_size(data[:start] + frame + data[start:]) is None


@pytest.mark.parametrize("size", [(48, 32), (300, 200)], ids=["plain", "by Pillow's reader"])
@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("at_least", [None, (8, 8)])
def test_a_jpeg_that_lacks_its_end_alone_is_whole(
    size: tuple[int, int], missing: int, at_least: tuple[int, int] | None
) -> None:
    """Cameras that stream JPEGs leave it out; all pixels are there."""
    data = encode(gradient(*size), "JPEG")
    found = decode(data[:-missing], at_least=at_least)
    assert found.rgb.tobytes() == decode(data, at_least=at_least).rgb.tobytes()


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_blocks": 2}, {"progressive": True}])
@pytest.mark.parametrize("at_least", [None, (8, 8)])
def test_a_jpeg_that_is_cut_off_in_its_pixels_stays_broken(
    options: dict[str, Any], at_least: tuple[int, int] | None
) -> None:
    """What is added is too short to be taken for the missing pixels."""
    data = encode(gradient(300, 200), "JPEG", **options)
    for missing in (10, 50, 100, len(data) // 2):
        with pytest.raises(BrokenPictureError, match="truncated"):
            decode(data[:-missing], at_least=at_least)


def test_a_cut_that_goes_unseen_costs_a_corner_at_most() -> None:
    """Of noise, which has the most bytes a pixel: under 60 of them, in the last 16 × 16 pixels and their edge."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), "JPEG")
    whole, unseen = np.asarray(decode(data).rgb), []
    for missing in range(1, 200):
        with contextlib.suppress(BrokenPictureError):
            differs = (np.asarray(decode(data[:-missing]).rgb) != whole).any(axis=-1)
            assert not differs[:-17].any()
            assert not differs[:, :-17].any()
            unseen.append(missing)
    assert unseen[:2] == [1, 2]
    assert unseen[-1] < 60


def test_a_jpeg_with_its_end_is_not_copied() -> None:
    """Only behind another end something is added."""
    data = encode(gradient(), "JPEG")
    assert with_end(data) is data
    many = encode(gradient(), "JPEG", progressive=True)[:-2]
    assert with_end(many) is many


def _of_kind(marker: int = 0xC0, *, bits: int = 8, colours: int = 3) -> bytes:
    """A JPEG whose frame says that it is of that kind."""
    data = encode(gradient(), "JPEG")
    place = data.index(b"\xff\xc0")
    frame = bytes([0xFF, marker]) + data[place + 2 : place + 4] + bytes([bits]) + data[place + 5 : place + 9]
    return data[:place] + frame + bytes([colours]) + data[place + 10 :]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(_of_kind(bits=12), "has 12 bits a colour", id="12 bits"),
        pytest.param(_of_kind(0xC1, bits=12), "has 12 bits a colour", id="12 bits, extended"),
        pytest.param(_of_kind(0xC3), "is of the lossless kind", id="lossless"),
        pytest.param(_of_kind(0xC3, bits=16), "is of the lossless kind", id="lossless, 16 bits"),
        pytest.param(_of_kind(0xC5), "is of the hierarchical kind", id="hierarchical"),
        pytest.param(_of_kind(colours=2), "has 2 colours", id="two colours"),
    ],
)
def test_a_kind_that_is_not_read_is_not_called_damaged(data: bytes, kind: str) -> None:
    """The file is whole; to copy it again would not help."""
    with pytest.raises(
        UnsupportedFormatError, match=f"bytes {kind}, which is not read. Save it as a JPEG of 8 bits"
    ):
        decode(data)


def test_a_kind_that_is_read_is_none_that_is_not() -> None:
    """A damaged one of these is called damaged."""
    assert unread_kind(encode(gradient(), "JPEG", progressive=True)) is None
    assert unread_kind(_of_kind(0xC9)) is None
    assert unread_kind(b"\xff\xd8\xff\xc0\0") is None
    assert unread_kind(b"\xff\xd8\xff\xda\0\2") is None
    assert unread_kind(b"\xff\xd8") is None
    for last in (b"\xc0", b"\xc3", b"\xc5"):  # cut off within its EXIF
        assert unread_kind(b"\xff\xd8\xff\xe1\x40\0Exif\0\0" + last) is None
