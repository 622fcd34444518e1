"""Bytes from a stranger: what becomes a picture, and what is refused with which sentence."""

import base64
import functools
import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, _avif
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from models import jpeg
from models.errors import (
    BrokenPictureError,
    EmptyPictureError,
    PictureError,
    TooManyPixelsError,
    UnsupportedFormatError,
)
from models.pictures import FORMATS, Picture, decode, stored_size
from tests.drawing import encode, gradient, solid

EXACT = {"PNG": {}, "BMP": {}, "WEBP": {"lossless": True}}
CLOSE = {"JPEG": {"quality": 95, "subsampling": 0}, "AVIF": {"quality": 95}, "GIF": {}}
OPTIONS = EXACT | CLOSE
_ORIENTATION = 0x0112
_TURN = Image.Transpose
STORED_AS = {
    1: None,
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_90,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_270,
}
"""EXIF orientation → how a camera that is held that way stores an upright picture."""


_as_served = pytest.mark.filterwarnings("ignore")
"""Pillow warns about some damage; a service goes on where these tests would stop at the warning."""


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif.tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _keyed(png: bytes, *key: int) -> bytes:
    """Say which grey or colour of a PNG is transparent."""
    return png[:33] + _chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) + png[33:]


def _bmp(*, alpha: int) -> bytes:
    """One pixel of 32 bits, with masks for all four channels."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 1, 1, 1, 32, 3, 4, 0, 0, 0, 0) + masks + bytes(52)
    return b"BM" + struct.pack("<IHHI", 14 + 108 + 4, 0, 0, 14 + 108) + header + bytes((10, 20, 30, alpha))


def _png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 0, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _patched(data: bytes, marker: bytes, offset: int, content: bytes) -> bytes:
    start = data.index(marker) + offset
    return data[:start] + content + data[start + len(content) :]


def _announcing(picture_format: str, side: int) -> bytes:
    """A small file of that format whose header announces side × side pixels."""
    data = encode(solid("black", 4), picture_format, **OPTIONS[picture_format])
    both = (side, side)
    match picture_format:
        case "PNG":
            return _png(side, side, b"")
        case "JPEG":
            return _patched(data, b"\xff\xc0", 5, struct.pack(">HH", *both))
        case "GIF":
            return _patched(data, b"GIF8", 6, struct.pack("<HH", *both))
        case "BMP":
            return _patched(data, b"BM", 18, struct.pack("<II", *both))
        case "AVIF":
            return _patched(data, b"ispe", 8, struct.pack(">II", *both))
    last_bits = data[data.index(b"VP8L") + 12] & 0xF0  # WEBP: 14 bits of width − 1, 14 of height − 1, 4 others
    return _patched(data, b"VP8L", 9, struct.pack("<I", (side - 1) | (side - 1) << 14 | last_bits << 24))


@functools.cache
def _valid(picture_format: str) -> bytes:
    return (
        encode(gradient(), picture_format, exif=_exif(6)) if picture_format != "GIF" else encode(gradient(), "GIF")
    )


def _is_decoded(data: bytes) -> bool:
    """Decode; anything but a picture or a picture error fails the test."""
    try:
        picture = decode(data, max_pixels=100_000)
    except PictureError:
        return False
    assert picture.rgb.mode == "RGB"
    assert picture.rgb.size == (picture.width, picture.height)
    return True


def _colour(picture: Picture) -> tuple[int, ...]:
    return tuple(np.asarray(picture.rgb)[0, 0].tolist())


def test_six_formats_are_read() -> None:
    """The list of formats is the one that is announced."""
    assert set(FORMATS) == {"JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"} == set(OPTIONS)


@pytest.mark.parametrize("picture_format", FORMATS)
def test_each_format_becomes_rgb(picture_format: str) -> None:
    """The pixels are those that were drawn, and format, width and height are reported."""
    drawn = gradient(48, 32)
    picture = decode(encode(drawn, picture_format, **OPTIONS[picture_format]))
    assert (picture.format, picture.width, picture.height) == (picture_format, 48, 32)
    assert picture.rgb.mode == "RGB"
    tolerance = 0 if picture_format in EXACT else 30  # a GIF has 256 colours
    np.testing.assert_allclose(np.asarray(picture.rgb).astype(int), np.asarray(drawn).astype(int), atol=tolerance)


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_a_picture_comes_back_upright(picture_format: str, orientation: int) -> None:
    """All eight EXIF orientations give the same picture, and width and height are those of the upright one."""
    upright = gradient(48, 32)
    turn = STORED_AS[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    picture = decode(encode(stored, picture_format, exif=_exif(orientation), **OPTIONS[picture_format]))
    assert (picture.width, picture.height) == picture.rgb.size == (48, 32)
    tolerance = 0 if picture_format in EXACT else 30
    np.testing.assert_allclose(
        np.asarray(picture.rgb).astype(int), np.asarray(upright).astype(int), atol=tolerance
    )


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "I;16"])
def test_pictures_of_every_mode_are_turned(mode: str) -> None:
    """Turning happens before the colours are converted, and works for each kind of pixels."""
    grey = np.asarray(gradient(48, 32, "L"))
    drawn = Image.fromarray(grey.astype(np.uint16) << 8) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    turned = decode(encode(drawn.transpose(_TURN.ROTATE_90), "PNG", exif=_exif(6)))
    assert (turned.width, turned.height) == (48, 32)
    np.testing.assert_array_equal(np.asarray(turned.rgb), np.asarray(decode(encode(drawn, "PNG")).rgb))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    """Only 2 to 8 turn a picture."""
    assert decode(encode(gradient(), "PNG", exif=_exif(orientation))).width == 48


@_as_served
@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"", b"garbage!", b"II*\0\xff\xff\xff\xff", _exif(6)[6:20], _exif(6)[6:-6]])
def test_a_damaged_exif_block_is_ignored(picture_format: str, exif: bytes) -> None:
    """The pixels are still good, so they are decoded as they are stored."""
    picture = decode(encode(gradient(), picture_format, exif=b"Exif\0\0" + exif, **OPTIONS[picture_format]))
    assert (picture.width, picture.height) == (48, 32)


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_pillow_unpacks_no_exif(monkeypatch: pytest.MonkeyPatch, picture_format: str) -> None:
    """It makes an object of each fraction, and millions may stand where one number belongs."""
    exif = Image.Exif()
    exif[_ORIENTATION], exif[0x0128], exif[0x011A], exif[0xC61A] = 6, 2, 72.0, (0.5,) * 2_000
    data = encode(gradient(), picture_format, exif=exif)
    unpacked: list[object] = []
    monkeypatch.setattr(ImageFileDirectory_v2, "load", lambda _, file: unpacked.append(file))
    assert decode(data).width == 32
    assert stored_size(io.BytesIO(data)) == (48, 32)
    assert not unpacked


def _indexed(**options: object) -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    return encode(image, "PNG", **options)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(encode(Image.new("L", (4, 4), 100)), (100, 100, 100), id="grey"),
        pytest.param(encode(Image.new("LA", (4, 4), (100, 255))), (100, 100, 100), id="opaque grey"),
        pytest.param(encode(Image.new("LA", (4, 4), (100, 0))), (255, 255, 255), id="transparent grey"),
        pytest.param(encode(Image.new("RGBA", (4, 4), (9, 8, 7, 255))), (9, 8, 7), id="opaque"),
        pytest.param(encode(Image.new("RGBA", (4, 4), (255, 0, 0, 0))), (255, 255, 255), id="transparent"),
        pytest.param(encode(Image.new("RGBA", (4, 4), (255, 0, 0, 51))), (255, 204, 204), id="translucent"),
        pytest.param(encode(Image.new("RGBA", (4, 4), 0), "WEBP"), (255, 255, 255), id="transparent webp"),
        pytest.param(encode(Image.new("RGBA", (4, 4), 0), "AVIF"), (255, 255, 255), id="transparent avif"),
        pytest.param(encode(Image.new("RGBA", (4, 4), 0), "GIF"), (255, 255, 255), id="transparent gif"),
        pytest.param(_indexed(), (200, 100, 50), id="palette"),
        pytest.param(_indexed(transparency=1), (255, 255, 255), id="palette, this colour transparent"),
        pytest.param(_indexed(transparency=0), (200, 100, 50), id="palette, another colour transparent"),
        pytest.param(encode(solid("blue"), transparency=(0, 0, 255)), (255, 255, 255), id="key colour"),
        pytest.param(encode(solid("blue"), transparency=(0, 0, 254)), (0, 0, 255), id="other key colour"),
        pytest.param(encode(Image.new("1", (4, 4), 1)), (255, 255, 255), id="1 bit, white"),
        pytest.param(encode(Image.new("1", (4, 4), 0)), (0, 0, 0), id="1 bit, black"),
        pytest.param(_png(1, 1, b"\0\x80\xff", depth=16), (128, 128, 128), id="16 bits, grey"),
        pytest.param(_png(1, 1, b"\0\x00\xff", depth=16), (0, 0, 0), id="16 bits, nearly black"),
        pytest.param(
            _png(1, 1, b"\0\x80\xff\x12\xff\x00\xff", depth=16, colour=2), (128, 18, 0), id="16 bits, rgb"
        ),
        pytest.param(
            _keyed(_png(1, 1, b"\0\x80", depth=4), 8), (255, 255, 255), id="4 bits, this grey transparent"
        ),
        pytest.param(_keyed(_png(1, 1, b"\0\x80", depth=4), 136), (136, 136, 136), id="4 bits, another grey"),
        pytest.param(
            _keyed(_png(1, 1, b"\0\x40", depth=2), 1), (255, 255, 255), id="2 bits, this grey transparent"
        ),
        pytest.param(_keyed(_png(1, 1, b"\0\x64", depth=8), 100), (255, 255, 255), id="8 bits, this grey"),
        pytest.param(
            _keyed(_png(1, 1, b"\0" + bytes(6), depth=16, colour=2), 0x8000, 0x8000, 0x8000),
            (0, 0, 0),
            id="16 bits, black",
        ),
        pytest.param(_bmp(alpha=0), (30, 20, 10), id="bmp, alpha is filling"),
        pytest.param(_bmp(alpha=255), (30, 20, 10), id="bmp, opaque"),
    ],
)
def test_every_kind_of_pixel_becomes_rgb_over_white(data: bytes, expected: tuple[int, int, int]) -> None:
    """Transparency is laid over white, palettes are looked up, 16 bits keep the high byte."""
    assert _colour(decode(data)) == expected


@pytest.mark.parametrize(
    ("ink", "expected"),
    [((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0))],
)
def test_a_cmyk_jpeg_becomes_rgb(ink: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    """Ink takes light away: none is white, magenta and yellow are red, black is black."""
    picture = decode(encode(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95))
    np.testing.assert_allclose(_colour(picture), expected, atol=3)


@pytest.mark.parametrize("picture_format", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_counts(picture_format: str) -> None:
    """A red frame followed by blue ones is a red picture."""
    frames = [solid("blue"), solid("lime")]
    picture = decode(encode(solid("red"), picture_format, save_all=True, append_images=frames, duration=100))
    np.testing.assert_allclose(_colour(picture), (255, 0, 0), atol=3)


def test_no_bytes_are_refused() -> None:
    """Zero bytes are called an empty picture and not a broken one."""
    with pytest.raises(EmptyPictureError, match="it has 0 bytes"):
        decode(b"")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC photo"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC photo"),
        (encode(gradient(), "TIFF"), "a TIFF picture"),
        (b"MM\0*\0\0\0\x08", "a TIFF picture"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        (b"\x1f\x8b\x08\0", "packed by gzip"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG or XML text"),
        (b"\n <?xml version='1.0'?><svg/>", "an SVG or XML text"),
        (b"<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b'{"detail": "not found"}', "a JSON text"),
        (base64.b64encode(encode(gradient(), "JPEG")), "a base64 text, and the bytes are needed"),
        (base64.b64encode(encode(gradient())), "a base64 text, and the bytes are needed"),
        (b"data:image/webp;base64,UklGR", "a base64 text, and the bytes are needed"),
        (b"hello, world", "no picture format known here"),
        (pickle.dumps({"weights": [1.0]}), "no picture format known here"),
        (encode(gradient(), "PPM"), "no picture format known here"),
        (encode(gradient(32, 32), "ICO"), "no picture format known here"),
        (np.random.default_rng(0).bytes(1000), "no picture format known here"),
        (b"\xff\xd8", "no picture format known here"),
        (b"\0", "no picture format known here"),
    ],
)
def test_other_files_are_called_by_their_kind(data: bytes, kind: str) -> None:
    """The message says what was sent and what is read, also for formats that Pillow itself could read."""
    with pytest.raises(
        UnsupportedFormatError, match=rf"The file is {kind}.*JPEG, PNG, WEBP, GIF, BMP, AVIF are read"
    ):
        decode(data)


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "Convert it, for example to JPEG."),
        (encode(gradient(), "TIFF"), "Convert it, for example to JPEG."),
        (b"%PDF-1.7\n", "If it is a picture, convert it, for example to JPEG."),
    ],
)
def test_what_was_recognised_as_a_picture_is_not_doubted(data: bytes, advice: str) -> None:
    """The sentence has just called it one."""
    with pytest.raises(UnsupportedFormatError, match=rf" are read\. {advice}$"):
        decode(data)


@pytest.mark.parametrize("picture_format", FORMATS)
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_picture_that_was_cut_off_is_broken(picture_format: str, share: float) -> None:
    """Part of a file is refused by its format and size; no half picture is classified."""
    data = encode(gradient(), picture_format)
    part = data[: int(share * len(data))]
    with pytest.raises(
        BrokenPictureError, match=rf"The {picture_format} picture of {len(part):,} bytes could not"
    ):
        decode(part)


@_as_served
@pytest.mark.parametrize("picture_format", FORMATS)
def test_a_cut_anywhere_does_no_harm(picture_format: str) -> None:
    """Whatever the length, the answer is a picture or a picture error."""
    data = _valid(picture_format)
    outcomes = [_is_decoded(data[:length]) for length in (*range(1, 80), *range(80, len(data), 37))]
    assert outcomes[0] is False
    assert _is_decoded(data)


@_as_served
@settings(max_examples=250, deadline=None)
@given(
    picture_format=st.sampled_from(FORMATS),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damage_anywhere_does_no_harm(picture_format: str, changes: list[tuple[float, int]]) -> None:
    """Other bytes at any place of a valid file give a picture or a picture error, and nothing else."""
    data = bytearray(_valid(picture_format))
    for place, value in changes:
        data[int(place * len(data))] = value
    _is_decoded(bytes(data))


@_as_served
@settings(max_examples=250, deadline=None)
@given(picture_format=st.sampled_from(FORMATS), kept=st.integers(12, 80), noise=st.binary(max_size=200))
def test_noise_behind_a_true_beginning_does_no_harm(picture_format: str, kept: int, noise: bytes) -> None:
    """A file that begins as its format does and goes on at random is a picture error or a picture."""
    _is_decoded(_valid(picture_format)[:kept] + noise)


@pytest.mark.parametrize("picture_format", FORMATS)
def test_too_many_pixels_are_refused_by_the_header_alone(picture_format: str) -> None:
    """Each format's size is read from its header; the message holds it, the limit and the way out."""
    sentence = r"is 8000 × 8000 pixels; the limit is 51,000,000 pixels in all\. "
    with pytest.raises(TooManyPixelsError, match=f"{sentence}Resize it\\.$"):
        decode(_announcing(picture_format, 8000))
    with pytest.raises(TooManyPixelsError, match=f"{sentence}Or raise your limit\\.$"):
        decode(_announcing(picture_format, 8000), advice="Or raise your limit.")


@pytest.mark.parametrize("picture_format", FORMATS)
def test_the_size_is_read_from_the_header_alone(picture_format: str) -> None:
    """Of a picture whose second half is missing, too; one of a few bytes, or of too many pixels, is refused."""
    data = encode(gradient(300, 200), picture_format)
    whole = data if picture_format in {"AVIF", "WEBP"} else data[: len(data) // 2]  # these two are checked at once
    assert stored_size(io.BytesIO(whole)) == (300, 200)
    with pytest.raises(BrokenPictureError, match=r"header of the \w+ picture cannot be read"):
        stored_size(io.BytesIO(data[:16]))
    with pytest.raises(TooManyPixelsError, match="8000 × 8000"):
        stored_size(io.BytesIO(_announcing(picture_format, 8000)))


def test_the_size_of_a_text_is_refused() -> None:
    """It has none."""
    with pytest.raises(UnsupportedFormatError, match="no picture format"):
        stored_size(io.BytesIO(b"text"))


def test_far_too_many_pixels_are_refused_even_by_pillow() -> None:
    """The largest WebP there can be is refused, by Pillow's own limit if that comes first; ours is named."""
    with pytest.raises(TooManyPixelsError, match=r"(16383 × 16383|268402689) pixels.* limit is 51,000,000"):
        decode(_announcing("WEBP", 16383))


def test_around_a_smaller_frame_a_gif_is_white() -> None:
    """Browsers show nothing there; its colours mean nothing outside of it."""
    data = encode(solid("red", 4), "GIF")
    canvas = _patched(data, b"GIF8", 6, struct.pack("<HH", 8, 6))
    larger = _patched(canvas, b"\x2c\0\0\0\0", 1, struct.pack("<HH", 3, 1))
    rgb = np.array(decode(larger).rgb)
    assert rgb.shape == (6, 8, 3)
    inside = rgb[1:5, 3:7]
    assert (inside == (255, 0, 0)).all()
    rgb[1:5, 3:7] = 255
    assert (rgb == 255).all()


def test_a_frame_that_is_larger_than_its_gif_is_refused() -> None:
    """A GIF may announce 4 × 4 pixels and hold a frame of 65535 × 65535; nothing is made for it."""
    data = _patched(encode(solid("black", 4), "GIF"), b"\x2c\0\0\0\0\x04\0\x04\0", 5, b"\xff\xff\xff\xff")
    with pytest.raises(TooManyPixelsError, match=r"limit is 1,000(\.| pixels)"):
        decode(data, max_pixels=1000)


@pytest.mark.skipif(os.name != "posix", reason="the memory of a process is read with resource.getrusage")
def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """A PNG of 100 megapixels and a WebP of 268 in small files are refused within 30 MB."""
    rows = zlib.compressobj()
    zeros = b"".join([*(rows.compress(bytes(10_001)) for _ in range(10_000)), rows.flush()])
    png = _announcing("PNG", 10_000)[:33] + _chunk(b"IDAT", zeros) + _chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(png)
    (tmp_path / "bomb.webp").write_bytes(_announcing("WEBP", 16383))
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 110_000
    script = """
import resource, sys
from models.errors import TooManyPixelsError
from models.pictures import decode
bombs = [open(path, "rb").read() for path in sys.argv[1:]]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in bombs:
    try:
        decode(bomb)
    except TooManyPixelsError:
        print("refused")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    paths = [str(tmp_path / "bomb.png"), str(tmp_path / "bomb.webp")]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, *paths], cwd=root, capture_output=True, text=True, check=True
    )
    *refused, growth = done.stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024
    assert refused == ["refused", "refused"]
    assert int(growth) * unit < 30_000_000


def test_the_limit_itself_is_allowed() -> None:
    """A picture of exactly the limit passes, one pixel over it does not."""
    data = encode(gradient(48, 32))
    assert decode(data, max_pixels=48 * 32).width == 48
    with pytest.raises(TooManyPixelsError, match="is 48 × 32 pixels; the limit is 1,535 pixels"):
        decode(data, max_pixels=48 * 32 - 1)


@pytest.mark.parametrize("size", [(65_537, 1), (1, 65_537)])
def test_more_pixels_a_side_than_65536_are_refused(size: tuple[int, int]) -> None:
    """Each row costs Pillow an address, in each copy; nothing that stands behind the header is looked at."""
    width, height = size
    data = _png(width, height, b"")
    sentence = (
        rf"is {width} × {height} pixels; the limit is 65,536 pixels a side\. Resize it, or cut it into parts\.$"
    )
    with pytest.raises(TooManyPixelsError, match=sentence):
        decode(data, advice="Or raise your limit.")
    with pytest.raises(TooManyPixelsError, match=sentence):
        stored_size(io.BytesIO(data))
    longest = Image.new("L", (min(width, 65_536), min(height, 65_536)))
    assert decode(encode(longest)).rgb.size == longest.size


@functools.cache
def _photo(orientation: int = 1) -> bytes:
    return encode(gradient(800, 600), "JPEG", quality=80, exif=_exif(orientation))


@pytest.mark.parametrize(
    ("at_least", "decoded"),
    [
        ((32, 32), (100, 75)),
        ((37, 37), (100, 75)),
        ((38, 38), (200, 150)),
        ((20, 38), (200, 150)),
        ((150, 150), (400, 300)),
        ((151, 20), (800, 600)),
        ((5000, 5000), (800, 600)),
    ],
)
def test_a_large_jpeg_is_decoded_at_a_fraction(at_least: tuple[int, int], decoded: tuple[int, int]) -> None:
    """The smallest scale that keeps twice what is needed is taken, and the stored size is still reported."""
    picture = decode(_photo(), at_least=at_least)
    assert picture.rgb.size == decoded
    assert (picture.width, picture.height) == (800, 600)


def test_a_fraction_shows_the_same_picture() -> None:
    """A reduced picture is the whole picture made smaller, and not a part of it."""
    reduced, whole = decode(_photo(), at_least=(32, 32)).rgb, decode(_photo()).rgb
    smaller = np.asarray(whole.resize(reduced.size, Image.Resampling.BOX)).astype(int)
    np.testing.assert_allclose(np.asarray(reduced).astype(int), smaller, atol=8)


def test_a_turned_jpeg_reports_its_upright_size() -> None:
    """Reduction and turning together: width and height are of the upright picture as stored."""
    picture = decode(_photo(6), at_least=(32, 32))
    assert (picture.width, picture.height) == (600, 800)
    assert picture.rgb.size == (75, 100)


def test_a_turned_jpeg_keeps_what_is_needed() -> None:
    """Twice what is needed is kept in the directions of the upright picture."""
    picture = decode(encode(gradient(200, 800), "JPEG", exif=_exif(6)), at_least=(20, 80))
    assert picture.rgb.width >= 2 * 20
    assert picture.rgb.height >= 2 * 80


@pytest.mark.parametrize("picture_format", ["PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_other_formats_are_decoded_whole(picture_format: str) -> None:
    """Only a JPEG can be decoded at a fraction."""
    assert decode(encode(gradient(300, 200), picture_format), at_least=(8, 8)).rgb.size == (300, 200)


@pytest.mark.parametrize("extra", [b"\0" * 100, b"<?php", encode(gradient(), "PNG")])
def test_what_follows_a_whole_picture_does_not_matter(extra: bytes) -> None:
    """Trailing bytes, which phones and editors append, are not looked at."""
    data = encode(gradient(), "JPEG")
    plain, followed = decode(data), decode(data + extra)
    np.testing.assert_array_equal(np.asarray(plain.rgb), np.asarray(followed.rgb))


def _with_pillows_reader(data: bytes, at_least: tuple[int, int] | None) -> tuple[Any, ...] | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "plain_size", lambda _: None)
        return _outcome(data, at_least)


def _outcome(data: bytes, at_least: tuple[int, int] | None) -> tuple[Any, ...] | str:
    try:
        picture = decode(data, max_pixels=100_000, at_least=at_least)
        told = picture.format, picture.width, picture.height, picture.padding
        return picture.rgb.size, picture.rgb.tobytes(), told
    except PictureError as error:
        return str(error)


@pytest.mark.parametrize(
    "options", [{}, {"quality": 5}, {"subsampling": 0}, {"optimize": True}, {"comment": b"x"}]
)
def test_a_plain_jpeg_is_decoded_without_pillows_reader(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Its header is not read in Python twice."""
    data = encode(gradient(), "JPEG", **options)
    with_reader = _with_pillows_reader(data, None)
    monkeypatch.setattr(JpegImageFile, "_open", None)
    assert _outcome(data, None) == with_reader


@_as_served
@settings(max_examples=500, deadline=None)
@given(
    width=st.integers(1, 140),
    height=st.integers(1, 140),
    subsampling=st.integers(0, 2),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
    at_least=st.sampled_from([None, (32, 32), (8, 4)]),
)
def test_a_plain_jpeg_is_what_pillows_reader_makes_of_it(
    width: int, height: int, subsampling: int, changes: list[tuple[float, int]], at_least: tuple[int, int] | None
) -> None:
    """To the pixel, of whatever size; and what is damaged is refused with the same sentence."""
    data = bytearray(encode(gradient(width, height), "JPEG", subsampling=subsampling))
    for place, value in changes:
        data[3 + int(place * (len(data) - 4))] = value
    assert _outcome(bytes(data), at_least) == _with_pillows_reader(bytes(data), at_least)


@pytest.mark.parametrize("size", [(300, 300), (128, 128)])
def test_a_large_jpeg_is_left_to_pillows_reader(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it has many pixels, or is to be reduced."""
    monkeypatch.setattr(JpegImageFile, "_open", None)
    with pytest.raises(BrokenPictureError):
        decode(encode(gradient(*size), "JPEG"), at_least=(32, 32))


def test_an_avif_is_decoded_by_the_thread_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine of 64 cores, too: a service decodes one picture a core already."""
    data = encode(gradient(), "AVIF")
    threads: list[int] = []
    pillows_own = _avif.AvifDecoder

    def noted(data: bytes, codec: str, max_threads: int) -> object:
        threads.append(max_threads)
        return pillows_own(data, codec, max_threads)

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(_avif, "AvifDecoder", noted)
    assert decode(data).format == "AVIF"
    assert threads == [1]


@pytest.mark.parametrize("size", [(8160, 6120), (8160, 6144), (8192, 6144)])
def test_the_photo_of_a_50_megapixel_phone_passes(size: tuple[int, int]) -> None:
    """Most have some more than 50 million pixels."""
    data = _patched(encode(solid("black", 4), "JPEG"), b"\xff\xc0", 5, struct.pack(">HH", *reversed(size)))
    assert stored_size(io.BytesIO(data)) == size


def test_a_small_plain_jpeg_is_held_to_the_limit_of_pixels_too() -> None:
    """It is decoded without Pillow's reader, and refused like any other."""
    data = encode(gradient(100, 80), "JPEG")
    assert decode(data, max_pixels=8_000).rgb.size == (100, 80)
    with pytest.raises(TooManyPixelsError):
        decode(data, max_pixels=7_999)
