"""What the markers of a JPEG say: hostile ones are refused, and plain ones are known."""

from typing import Any

import numpy as np
import pytest

from models.errors import BrokenPictureError
from models.jpeg import plain_size
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


@pytest.mark.parametrize("filling", [b"\xff\xff", b"\xff\xd0", b"\xff\x00", b"\0\0"], ids=bytes.hex)
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
