"""What of a GIF is read in front of its first frame, and what is left out."""

import io
import tracemalloc

import pytest
from PIL import Image

from models.errors import BrokenPictureError, PictureError
from models.gif import without_ballast
from models.pictures import decode, stored_size
from tests.drawing import encode, gradient, solid

WHOLE = encode(gradient(20, 10), "GIF")
BEGIN = 13 + (3 << (WHOLE[10] & 7) + 1)
COMMENT = b"\x21\xfe\x05hello\x05world\0"
LOOP = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
XMP = b"\x21\xff\x0bXMP DataXMP" + b"<x:xmpmeta/>" * 2_000 + b"\x01" + bytes(range(255, -1, -1)) + b"\0"
CONTROL = b"\x21\xf9\x04\0\0\0\0\0"


def with_extensions(*extensions: bytes, data: bytes = WHOLE) -> bytes:
    """A GIF with more extensions in front of its first frame."""
    return data[:BEGIN] + b"".join(extensions) + data[BEGIN:]


@pytest.mark.parametrize("extension", [COMMENT, LOOP, XMP, COMMENT + LOOP, b"\0\0\0", CONTROL + COMMENT])
def test_extensions_are_left_out(extension: bytes) -> None:
    """The picture is the same without them, and one without any is not copied."""
    crowded = with_extensions(extension)
    assert without_ballast(crowded).removeprefix(WHOLE[:BEGIN]).removeprefix(CONTROL) == WHOLE[BEGIN:]
    assert decode(crowded).rgb.tobytes() == decode(WHOLE).rgb.tobytes()
    assert stored_size(io.BytesIO(crowded)) == (20, 10)


@pytest.mark.parametrize("data", [WHOLE, with_extensions(CONTROL)], ids=["none", "transparency alone"])
def test_a_gif_without_ballast_is_left_as_it_is(data: bytes) -> None:
    """No copy is made of it."""
    assert without_ballast(data) is data


@pytest.mark.parametrize("extra", [b"", COMMENT, LOOP + COMMENT])
def test_the_transparent_colour_is_kept(extra: bytes) -> None:
    """It stands in an extension, too; the last one in front of a frame counts."""
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    data = encode(image, "GIF", transparency=1)
    begin = 13 + (3 << (data[10] & 7) + 1)
    assert data[begin:].startswith(b"\x21\xf9")
    found = decode(data[:begin] + extra + data[begin:])
    assert found.rgb.getpixel((0, 0)) == (255, 255, 255)
    assert decode(data[:begin] + data[begin : begin + 8] + CONTROL + data[begin + 8 :]).rgb.getpixel((0, 0)) == (
        0,
        0,
        255,
    )


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"\x21\xfe" + b"\x01a" * 1_000_000 + b"\0", id="sub-blocks of a comment"),
        pytest.param(b"\x21\xfe\0" * 1_000_000, id="comments"),
        pytest.param(b"\x21\x01\0" * 1_000_000, id="other extensions"),
        pytest.param(b"\x01" * 1_000_000, id="filling"),
    ],
)
def test_endless_blocks_are_refused(endless: bytes) -> None:
    """Pillow takes a turn in Python for each, and keeps comments: 10 MB of them took 930 MB, and 2 s."""
    data = with_extensions(endless)
    tracemalloc.start()
    try:
        with pytest.raises(BrokenPictureError, match="more than 100,000 blocks in front of its first frame"):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert decode(with_extensions(endless[:30_000] + bytes(255))).width == 20


@pytest.mark.parametrize("trick", [b"\x21\xf9\0", b"\x21\xff\0", b"\x21\xff\x0bNETSCAPE2.0\0"])
def test_what_pillow_takes_for_a_longer_extension_is_none(trick: bytes) -> None:
    """Behind an empty one it reads on, over frames, as far as a stranger likes."""
    assert decode(with_extensions(trick)).rgb.tobytes() == decode(WHOLE).rgb.tobytes()


@pytest.mark.parametrize("end", [b";", b"", b"\x21", b"\x21\xf9", b"\x21\xf9\x04\0", b"\x21\xfe\xff"])
def test_a_gif_without_a_frame_is_refused(end: bytes) -> None:
    """Whether it says that it ends or is cut off; what stands behind its end is not looked at."""
    with pytest.raises(BrokenPictureError, match=r"GIF picture of .* could not be decoded"):
        decode(WHOLE[:BEGIN] + end)
    with pytest.raises(BrokenPictureError):
        decode(WHOLE[:BEGIN] + b"\x21\xf9\0;" + b"\x01a" * 200_000)


@pytest.mark.parametrize("length", [0, 6, 10, 11, 12, 13, BEGIN - 1, BEGIN])
def test_a_cut_off_header_is_left_as_it_is(length: int) -> None:
    """Whoever decodes it says what is wrong."""
    assert without_ballast(WHOLE[:length]) == WHOLE[:length]
    with pytest.raises(PictureError):
        decode(WHOLE[:length])


def test_the_first_frame_of_an_animation_is_the_one_that_is_kept() -> None:
    """With its palette of its own, and with what is behind it."""
    frames = [solid("blue"), solid("lime")]
    data = encode(solid("red"), "GIF", save_all=True, append_images=frames, duration=100, comment=b"three")
    assert len(without_ballast(data)) < len(data)
    assert decode(data).rgb.getpixel((0, 0)) == (255, 0, 0)
