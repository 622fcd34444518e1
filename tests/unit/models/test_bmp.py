"""The BMPs that Pillow alone would not read as they are meant."""

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from models.errors import BrokenPictureError, TooManyPixelsError, UnsupportedFormatError
from models.pictures import decode
from tests.drawing import encode, solid

BLACK_AND_WHITE = (0, 255)
CHECKERBOARD: npt.NDArray[np.uint8] = (np.indices((6, 12)).sum(axis=0) % 2).astype(np.uint8)


def bmp(
    width: int, height: int, pixels: bytes, greys: Sequence[int], *, bits: int = 8, compression: int = 0
) -> bytes:
    """A BMP with a palette of these greys; a negative height stores the rows from the top."""
    palette = b"".join(bytes((grey, grey, grey, 0)) for grey in greys)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, len(greys), 0)
    return _file(header + palette, pixels)


def _file(head: bytes, pixels: bytes) -> bytes:
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels


def packed(rows: npt.NDArray[np.uint8], bits: int) -> bytes:
    """The pixels of a BMP: rows from the bottom, each filled up to 4 bytes."""
    stored = rows[::-1] if bits == 8 else rows[::-1, ::2] << 4 | rows[::-1, 1::2]
    return np.pad(stored, ((0, 0), (0, -stored.shape[1] % 4))).tobytes()


def greys_of(data: bytes) -> npt.NDArray[np.uint8]:
    """The red of each pixel; the other colours are the same."""
    rgb = np.asarray(decode(data).rgb)
    assert (rgb == rgb[..., :1]).all()
    return rgb[..., 0]


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("greys", [(0, 255), (255, 0), (0, 254)])
def test_a_palette_of_two_greys_is_looked_up(bits: int, greys: tuple[int, int]) -> None:
    """Black and white too, where Pillow takes each bit for a pixel, without a word."""
    data = bmp(12, 6, packed(CHECKERBOARD, bits), greys, bits=bits)
    np.testing.assert_array_equal(greys_of(data), np.array(greys)[CHECKERBOARD])
    top_down = bmp(12, -6, packed(CHECKERBOARD[::-1], bits), greys, bits=bits)
    np.testing.assert_array_equal(greys_of(top_down), greys_of(data))


def test_a_palette_of_the_darkest_greys_is_looked_up() -> None:
    """Where entry 3 is grey 3, and so on, Pillow takes a byte for a pixel, of four bits too."""
    pixels = np.arange(72, dtype=np.uint8).reshape(6, 12) % 16
    np.testing.assert_array_equal(greys_of(bmp(12, 6, packed(pixels, 4), range(16), bits=4)), pixels)
    np.testing.assert_array_equal(greys_of(bmp(12, 6, packed(pixels, 8), range(256))), pixels)


def test_what_is_beyond_the_palette_is_black() -> None:
    """As browsers show it."""
    assert greys_of(bmp(4, 1, b"\0\1\2\xff", BLACK_AND_WHITE)).tolist() == [[0, 255, 0, 0]]


def test_an_old_header_has_a_palette_too() -> None:
    """BITMAPCOREHEADER: 12 bytes, and colours of three."""
    head = struct.pack("<IHHHH", 12, 12, 6, 1, 4) + b"".join(bytes((grey, grey, grey)) for grey in range(16))
    np.testing.assert_array_equal(greys_of(_file(head, packed(CHECKERBOARD, 4))), CHECKERBOARD)


def test_two_colours_of_one_bit_are_read_by_pillow() -> None:
    """There each bit is a pixel."""
    assert greys_of(bmp(8, 1, b"\x5c\0\0\0", BLACK_AND_WHITE, bits=1)).tolist() == [
        [0, 255, 0, 255, 255, 255, 0, 0]
    ]


@pytest.mark.parametrize(("bits", "compression", "codes"), [(8, 1, b"\4\1\4\0"), (4, 2, b"\4\x11\4\0")])
def test_run_lengths_in_black_and_white_are_looked_up(bits: int, compression: int, codes: bytes) -> None:
    """Four white pixels and four black ones, in both kinds of run lengths."""
    data = bmp(8, 1, codes + b"\0\1", BLACK_AND_WHITE, bits=bits, compression=compression)
    assert greys_of(data).tolist() == [[255] * 4 + [0] * 4]


@pytest.mark.parametrize("bits", [4, 8])
def test_too_few_pixels_are_refused(bits: int) -> None:
    """Whoever decodes them."""
    with pytest.raises(BrokenPictureError, match="damaged or cut off; export"):
        decode(bmp(12, 6, packed(CHECKERBOARD, bits)[:-5], BLACK_AND_WHITE, bits=bits))


def _one_red_run(width: int, height: int) -> bytes:
    """Rows of which one red pixel is there and the others are Pillow's to fill."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 4, 0, 0, 256, 0)
    return _file(header + b"\0\0\0\0\0\0\xff\0" + bytes(254 * 4), b"\x01\x01\x00\x00" * height)


def test_a_large_bmp_of_run_lengths_is_refused() -> None:
    """Pillow unpacks it byte by byte in Python: a kilobyte kept a core, and the interpreter, for seconds."""
    assert decode(_one_red_run(50_000, 20)).width == 50_000
    with pytest.raises(TooManyPixelsError, match=r"50001 × 20 pixels; the limit is 1,000,000 .* or as PNG"):
        decode(_one_red_run(50_001, 20))
    assert decode(encode(solid("red", 1_001), "BMP")).width == 1_001


@pytest.mark.parametrize(
    "code", [b"\x64\0", b"\0\0", b"\0\2\0\0"], ids=["beyond the row", "end of row", "no step"]
)
def test_endless_run_lengths_are_refused(code: bytes) -> None:
    """10 MB of codes that make no pixels kept a core for 3 s, of a picture of 100 × 100."""
    with pytest.raises(
        BrokenPictureError, match=r"has more run lengths than its 10,000 pixels need\. Save it without"
    ):
        decode(bmp(100, 100, code * 100_000, range(256), compression=1))


def test_the_longest_run_lengths_are_decoded() -> None:
    """Each pixel a run of its own, and an end for each row: as long as an honest file can be."""
    codes = b"".join(b"\1\7" * 300 + b"\0\0" for _ in range(300)) + b"\0\1"
    assert (greys_of(bmp(300, 300, codes, range(256), compression=1)) == 7).all()


def test_run_lengths_that_end_early_are_refused_with_advice() -> None:
    """The standard allows it, Pillow does not; it is not called damage alone."""
    with pytest.raises(
        BrokenPictureError, match="or its run lengths end early; save it without compression, or as PNG"
    ):
        decode(bmp(8, 8, b"\x08\x01\0\1", BLACK_AND_WHITE, compression=1))


@pytest.mark.parametrize(("bits", "compression"), [(2, 0), (64, 0), (24, 4), (24, 5)])
def test_a_kind_that_is_not_read_is_not_called_damaged(bits: int, compression: int) -> None:
    """Two bits a pixel, or a JPEG in a BMP: whole files, but none that are read here."""
    with pytest.raises(UnsupportedFormatError, match=r"of a kind that is not read: Unsupported BMP .* or as PNG"):
        decode(bmp(4, 4, bytes(64), (), bits=bits, compression=compression))
