"""What an AVIF file says about its size, in its boxes and in its frames, and that the larger one counts."""

import functools
import io
import itertools
import os
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.av1 import Budget, frame_sizes
from models.avif import largest_frame, without_exif
from models.errors import BrokenPictureError, TooManyPixelsError
from models.pictures import decode
from tests.drawing import encode, gradient, solid

_SIZES = [(1, 1), (3, 5), (48, 32), (65, 33), (513, 7)]
_KEY_FRAME_SHOWN = ((0, 1), (0, 2), (1, 1))
"""show_existing_frame, frame_type, show_frame: each a value and its width in bits."""
_TEMPORAL_DELIMITER = b"\x12\0"


@functools.cache
def _still(mode: str = "RGB") -> bytes:
    return encode(gradient(48, 32, mode), "AVIF")


@functools.cache
def _animation(mode: str = "RGB") -> bytes:
    frames = [gradient(48, 32, mode).rotate(angle) for angle in (90, 180)]
    return encode(gradient(48, 32, mode), "AVIF", save_all=True, append_images=frames)


def _replaced(data: bytes, marker: bytes, offset: int, content: bytes) -> bytes:
    """Change the bytes behind every place where the marker stands."""
    parts = data.split(marker)
    return marker.join(
        [parts[0], *(part[:offset] + content + part[offset + len(content) :] for part in parts[1:])]
    )


def _bomb(side: int) -> bytes:
    """A file that says 10 × 10 and holds a black frame of side × side."""
    return _replaced(encode(solid("black", side), "AVIF", speed=10), b"ispe", 4, struct.pack(">II", 10, 10))


def _packed(*fields: tuple[int, int]) -> bytes:
    """Write values of given widths in bits, the most significant bit first, and fill up with zeros."""
    digits = "".join(f"{value:0{width}b}" for value, width in fields if width)
    return int(digits.ljust(-(-len(digits) // 8) * 8, "0"), 2).to_bytes(-(-len(digits) // 8))


def _obu(kind: int, content: bytes) -> bytes:
    length = bytes([len(content) & 127 | 128, len(content) >> 7])
    return bytes([kind << 3 | 2]) + length + content


def _sequence(
    width: int,
    height: int,
    before: Sequence[tuple[int, int]] = ((0, 1), (0, 1), (0, 5), (0, 12), (0, 5)),
    after: Sequence[tuple[int, int]] = ((0, 1), (0, 3), (0, 4), (0, 1), (1, 1), (1, 1)),
) -> bytes:
    """A sequence header OBU with these fields before and behind the size, which gets 16 bits each.

    By default: no timing, no delay, one operating point; no frame numbers, no tools, each frame decides.
    """
    size = ((15, 4), (15, 4), (width - 1, 16), (height - 1, 16))
    return _obu(1, _packed((0, 5), *before, *size, *after, (0, 64)))


def _frame(*, has_own_size: bool = False, extra: Sequence[tuple[int, int]] = ((0, 1), (0, 1))) -> bytes:
    """A frame OBU, up to frame_size_override_flag; before it disable_cdf_update and allow_screen_content_tools."""
    return _obu(6, _packed(*_KEY_FRAME_SHOWN, *extra, (has_own_size, 1), (0, 64)))


def _sizes(stream: bytes) -> list[tuple[int, int]]:
    return frame_sizes(memoryview(stream), Budget(len(stream)))


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _entry(number: int, kind: bytes) -> bytes:
    return _box(b"infe", struct.pack(">IHH4s", 2 << 24, number, 0, kind), b"\0")


def _file(*items: tuple[bytes, bytes]) -> bytes:
    """A file of these items, type and data; it says 10 × 10, and iloc (version 1) finds the data in idat."""
    starts = itertools.accumulate((len(stored) for _, stored in items), initial=0)
    places = [
        struct.pack(">HHHHII", number, 1, 0, 1, start, len(stored))
        for number, (start, (_, stored)) in enumerate(zip(starts, items, strict=False), 1)
    ]
    entries = [_entry(number, kind) for number, (kind, _) in enumerate(items, 1)]
    meta = [
        _box(b"iloc", b"\1\0\0\0\x44\0", struct.pack(">H", len(items)), *places),
        _box(b"iinf", bytes(4), struct.pack(">H", len(items)), *entries),
        _box(b"iprp", _box(b"ipco", _box(b"ispe", struct.pack(">III", 0, 10, 10)))),
        _box(b"idat", *(stored for _, stored in items)),
    ]
    return _box(b"ftyp", b"avif\0\0\0\0mif1") + _box(b"meta", bytes(4), *meta)


def _shared(stream: bytes, numbers: Sequence[int], *, cuts: Sequence[int] = (0,)) -> bytes:
    """A file of one image for each of these numbers in iloc; each leaves out one of the cuts from the stream."""
    entries = [_entry(number, b"av01") for number in sorted({*numbers})]
    places = [
        struct.pack(">HHHHII", number, 1, 0, 1, cut, len(stream) - cut)
        for number, cut in zip(numbers, itertools.cycle(cuts), strict=False)
    ]
    meta = [
        _box(b"iloc", b"\1\0\0\0\x44\0", struct.pack(">H", len(numbers)), *places),
        _box(b"iinf", bytes(4), struct.pack(">H", len(entries)), *entries),
        _box(b"idat", stream),
    ]
    return _box(b"ftyp", b"avif\0\0\0\0mif1") + _box(b"meta", bytes(4), *meta)


def _located(iloc: bytes, *, version: int = 2) -> bytes:
    """A file of one item, at 1000 in the file, with this iloc box and this version of infe."""
    number = struct.pack(">H" if version == 2 else ">I", 1)
    entry = _box(b"infe", bytes([version, 0, 0, 0]), number, b"\0\0av01\0")
    count = b"\0\1" if version == 2 else b"\0\0\0\1"
    meta = _box(b"meta", bytes(4), _box(b"iinf", bytes([version - 2, 0, 0, 0]), count, entry), _box(b"iloc", iloc))
    start = _box(b"ftyp", b"avif\0\0\0\0mif1") + meta
    return start.ljust(1000, b"\0") + _sequence(600, 400) + _frame()


def _is_measured(data: bytes) -> bool:
    """Measure; anything but a size or a ValueError fails the test, and so does a second of work."""
    start = time.process_time()
    try:
        width, height = largest_frame(data)
    except ValueError:
        return False
    finally:
        assert time.process_time() - start < 1
    assert width >= 0
    assert height >= 0
    return True


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("size", _SIZES)
def test_a_still_picture_is_as_large_as_it_was_drawn(size: tuple[int, int], mode: str) -> None:
    """Boxes and frames agree in an honest file, with and without alpha."""
    data = encode(gradient(*size, mode), "AVIF")
    assert largest_frame(data) == size
    picture = decode(data, max_pixels=size[0] * size[1])
    assert (picture.width, picture.height) == size


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 0},
        {"quality": 100},
        {"subsampling": "4:4:4"},
        {"subsampling": "4:0:0"},
        {"speed": 10},
        {"tile_rows": 2, "tile_cols": 2},
        {"range": "limited"},
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"},
    ],
)
def test_how_a_picture_was_encoded_does_not_matter(options: dict[str, Any]) -> None:
    """Quality, colours, AV1's own tiles and metadata leave the size where it is found."""
    data = encode(gradient(300, 200), "AVIF", **options)
    assert largest_frame(data) == (300, 200)
    assert decode(data, max_pixels=60_000).width == 300


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size", _SIZES)
def test_an_animation_is_as_large_as_its_first_frame(size: tuple[int, int], mode: str) -> None:
    """The frames of tracks have the longer of the two kinds of sequence header."""
    frames = [gradient(*size, mode)] * 2
    data = encode(gradient(*size, mode), "AVIF", save_all=True, append_images=frames)
    assert largest_frame(data) == size
    assert decode(data, max_pixels=size[0] * size[1]).width == size[0]


def test_a_frame_that_is_larger_than_its_boxes_counts() -> None:
    """The container says 10 × 10, the frame 640 × 640, and the frame is what would be decoded."""
    data = _bomb(640)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (10, 10)
    assert largest_frame(data) == (640, 640)
    with pytest.raises(TooManyPixelsError, match="is 640 × 640 pixels; the limit is 1,000 pixels"):
        decode(data, max_pixels=1000)


def test_a_box_that_is_larger_than_its_frame_counts() -> None:
    """A decoder scales a small frame up to what the container says."""
    data = _replaced(_still(), b"ispe", 4, struct.pack(">II", 9000, 7000))
    assert largest_frame(data) == (9000, 7000)


def test_the_frame_of_a_track_counts() -> None:
    """Where the still image is left out and every box says 10 × 10, the frame in the track still counts."""
    small = struct.pack(">II", 10, 10)
    data = _replaced(_replaced(_animation(), b"ispe", 4, small), b"infe", 8, b"mime")
    data = _replaced(data, b"tkhd", 88, struct.pack(">II", 10 << 16, 10 << 16))
    assert largest_frame(data) == (48, 32)


def test_the_box_of_a_track_counts() -> None:
    """A track header may say more than all frames."""
    data = _replaced(_animation(), b"tkhd", 88, struct.pack(">II", 700 << 16, 50 << 16))
    assert largest_frame(data) == (700, 50)


@pytest.mark.skipif(os.name != "posix", reason="the memory of a process is read with resource.getrusage")
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """25 megapixels in 1 kB that call themselves 10 × 10 are refused within 30 MB; decoded they take 56."""
    bomb = tmp_path / "bomb.avif"
    bomb.write_bytes(_bomb(5000))
    assert bomb.stat().st_size < 2000
    script = """
import resource, sys
from models.errors import TooManyPixelsError
from models.pictures import decode
bomb = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(bomb, max_pixels=1000)
except TooManyPixelsError:
    print("refused")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(bomb)], cwd=root, capture_output=True, text=True, check=True
    )
    refused, growth = done.stdout.split()
    assert refused == "refused"
    assert int(growth) * (1 if sys.platform == "darwin" else 1024) < 30_000_000


def test_every_frame_of_an_image_counts() -> None:
    """A large frame behind a small one is found, since a decoder goes on until a frame is to be shown."""
    stream = _TEMPORAL_DELIMITER + _sequence(8, 8) + _frame() + _sequence(8, 8) + _frame(has_own_size=True)
    assert _sizes(stream) == [(8, 8), (65536, 65536)]
    assert largest_frame(_file((b"av01", stream))) == (65536, 65536)


def test_every_image_of_a_file_counts() -> None:
    """A small image before it, or another kind of item, hides no large one."""
    small, large = _sequence(8, 8) + _frame(), _sequence(600, 400) + _frame()
    assert largest_frame(_file((b"av01", small), (b"Exif", b"no frame"), (b"av01", large))) == (600, 400)


def test_a_frame_with_a_size_of_its_own_counts_as_the_largest_possible() -> None:
    """Decoders believe a frame that is larger than its sequence says; 16 bits can say 65536."""
    stream = _sequence(8, 8) + _frame(has_own_size=True)
    assert _sizes(stream) == [(65536, 65536)]


def test_a_switch_frame_has_a_size_of_its_own() -> None:
    """The fourth type of frame has no flag for it."""
    stream = _sequence(8, 8) + _obu(3, _packed((0, 1), (3, 2), (1, 1), (0, 64)))
    assert _sizes(stream) == [(65536, 65536)]


def test_a_frame_that_is_shown_again_is_no_new_one() -> None:
    """show_existing_frame decodes nothing."""
    stream = _sequence(8, 8) + _frame() + _obu(3, _packed((1, 1), (0, 7)))
    assert _sizes(stream) == [(8, 8)]


_TIMING = ((1, 1), (1, 32), (25, 32))
_MODEL = ((1, 1), (9, 5), (1, 32), (7, 5), (22, 5))
"""decoder_model_info: delays of 10 bits, removal times of 8, presentation times of 23."""


@pytest.mark.parametrize(
    ("before", "extra"),
    [
        pytest.param([*_TIMING, (0, 1), (0, 1), (0, 1), (0, 5), (0, 12), (0, 5)], [], id="timing"),
        pytest.param(
            [*_TIMING, (1, 1), (0b00101, 5), (0, 1), (0, 1), (0, 5), (0, 12), (0, 5)], [], id="equal intervals"
        ),
        pytest.param(
            [*_TIMING, (0, 1), *_MODEL, (0, 1), (0, 5), (0, 12), (0, 5), (1, 1), (0, 21)],
            [(0, 23)],
            id="decoder model",
        ),
        pytest.param(
            [*_TIMING, (1, 1), (1, 1), *_MODEL, (0, 1), (0, 5), (0, 12), (0, 5), (0, 1)],
            [],
            id="decoder model, equal intervals",
        ),
        pytest.param([(0, 1), (1, 1), (0, 5), (0, 12), (0, 5), (1, 1), (9, 4)], [], id="display delay"),
        pytest.param(
            [(0, 1), (0, 1), (2, 5), (0, 12), (8, 5), (1, 1), (0, 12), (7, 5), (0, 12), (31, 5), (0, 1)],
            [],
            id="three operating points, two with a tier",
        ),
    ],
)
@pytest.mark.parametrize("has_own_size", [False, True])
def test_optional_fields_before_the_size_are_stepped_over(
    before: list[tuple[int, int]], extra: list[tuple[int, int]], has_own_size: bool
) -> None:
    """Each optional part of a sequence header is as long as the specification says."""
    frame = _frame(has_own_size=has_own_size, extra=[*extra, (0, 1), (0, 1)])
    expected = (65536, 65536) if has_own_size else (600, 400)
    assert _sizes(_sequence(600, 400, before) + frame) == [expected]


@pytest.mark.parametrize(
    ("after", "extra"),
    [
        pytest.param([(0, 8), (0, 1), (0, 1), (0, 1)], [(0, 1)], id="no screen content tools"),
        pytest.param([(0, 8), (0, 1), (0, 1), (1, 1), (0, 2)], [(0, 1)], id="always, integer vectors never"),
        pytest.param(
            [(0, 8), (0, 1), (0, 1), (1, 1), (1, 1)], [(0, 1), (0, 1)], id="always, integer vectors per frame"
        ),
        pytest.param([(0, 8), (1, 1), (0, 2), (1, 1), (1, 1)], [(0, 1), (1, 1), (0, 1)], id="order hints"),
        pytest.param(
            [(1, 1), (3, 4), (2, 3), (0, 3), (0, 4), (0, 1), (1, 1), (1, 1)], [(0, 1), (0, 1), (0, 8)], id="ids"
        ),
    ],
)
@pytest.mark.parametrize("has_own_size", [False, True])
def test_optional_fields_before_the_flag_are_stepped_over(
    after: list[tuple[int, int]], extra: list[tuple[int, int]], has_own_size: bool
) -> None:
    """The flag for a size of its own is found, whatever the sequence header asks each frame for."""
    ones = [(value if width == 1 else (1 << width) - 1, width) for value, width in extra]
    stream = _sequence(600, 400, after=after) + _frame(has_own_size=has_own_size, extra=ones)
    assert _sizes(stream) == [(65536, 65536) if has_own_size else (600, 400)]


@pytest.mark.parametrize(
    ("iloc", "version"),
    [
        pytest.param(b"\0\0\0\0\x44\0\0\1" + struct.pack(">HHHII", 1, 0, 1, 1000, 33), 2, id="version 0"),
        pytest.param(b"\0\0\0\0\x88\x80\0\1" + struct.pack(">HHQHQQ", 1, 0, 600, 1, 400, 33), 2, id="64 bits"),
        pytest.param(
            b"\1\0\0\0\x44\x04\0\1" + struct.pack(">HHHHIII", 1, 0, 0, 1, 9, 1000, 33), 2, id="version 1, index"
        ),
        pytest.param(b"\2\0\0\0\x44\0\0\0\0\1" + struct.pack(">IHHHII", 1, 0, 0, 1, 1000, 33), 3, id="version 2"),
        pytest.param(
            b"\0\0\0\0\x44\x40\0\1" + struct.pack(">HHIHIIII", 1, 0, 1000, 2, 0, 20, 20, 13), 2, id="two extents"
        ),
    ],
)
def test_data_is_found_by_every_kind_of_location(iloc: bytes, version: int) -> None:
    """Item locations have three versions, numbers of several widths, a base and several parts."""
    data = _located(iloc, version=version)
    assert len(data) == 1033
    assert largest_frame(data) == (600, 400)


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (b"\0\0\0\1" + struct.pack(">HH", 1200, 400), (1200, 400)),
        (b"\0\1\0\1" + struct.pack(">II", 120_000, 400), (120_000, 400)),
    ],
)
def test_a_grid_is_as_large_as_it_says(grid: bytes, expected: tuple[int, int]) -> None:
    """Tiles that make up one picture are added up by the grid item, in 16 or 32 bits."""
    tile = (b"av01", _sequence(600, 400) + _frame())
    assert largest_frame(_file((b"grid", grid), tile, tile)) == expected


def test_one_frame_cannot_be_named_as_many() -> None:
    """A thousand tiles of the same large frame are refused: each would be decoded."""
    tile = (b"av01", _sequence(600, 400) + _frame())
    assert largest_frame(_file(*[tile] * 8)) == (600, 400)
    with pytest.raises(ValueError, match="too many frames for one picture"):
        largest_frame(_file(*[tile] * 9))


def test_one_image_cannot_be_placed_twice() -> None:
    """A kilobyte in which 1024 places are those of one image took 0.8 s to read; the standard has one of each."""
    stream = _sequence(8, 8) + _frame()
    assert largest_frame(_shared(stream, [1])) == (8, 8)
    with pytest.raises(ValueError, match="an item in it has two places"):
        largest_frame(_shared(stream, [1] * 1024))


def test_equal_tiles_that_are_stored_once_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As encoders store them; each counts as a frame, all the same."""
    reads: list[int] = []

    def counted(stream: memoryview, budget: Budget) -> list[tuple[int, int]]:
        reads.append(len(stream))
        return frame_sizes(stream, budget)

    monkeypatch.setattr("models.avif.frame_sizes", counted)
    stream = _sequence(8, 8) + _frame()
    assert largest_frame(_shared(stream, range(1, 9))) == (8, 8)
    assert reads == [len(stream)]
    with pytest.raises(ValueError, match="too many frames for one picture"):
        largest_frame(_shared(stream, range(1, 10)))


def test_all_images_of_a_file_have_one_bound() -> None:
    """4096 OBUs are those of a grid of 256 tiles with alpha; the bounds of items and of OBUs would multiply."""
    stream = _sequence(8, 8) + _frame() * 127
    with pytest.raises(ValueError, match="its images have too many parts"):
        largest_frame(_shared(stream, range(1, 1025)))
    with pytest.raises(ValueError, match="its images have too many parts"):
        largest_frame(_file(*[(b"av01", stream)] * 33))


def test_images_that_overlap_are_not_read_again_and_again() -> None:
    """A long header that a hundred images share, each from another place on, is read twice at most."""
    stream = _TEMPORAL_DELIMITER * 100 + _obu(2, bytes(10_000)) + _sequence(8, 8) + _frame()
    with pytest.raises(ValueError, match="its images are longer than the file"):
        largest_frame(_shared(stream, range(1, 101), cuts=range(0, 200, 2)))


def test_an_avif_with_damaged_exif_is_decoded() -> None:
    """Its orientation stands in boxes of its own, and counts."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    data = encode(gradient(48, 32), "AVIF", exif=exif)
    damaged = data.replace(b"MM\0*", b"XX\0*")
    with pytest.raises(ValueError, match="Invalid Exif"):
        Image.open(io.BytesIO(damaged), formats=["AVIF"])
    assert damaged != data
    assert decode(damaged).rgb.tobytes() == decode(data).rgb.tobytes()
    assert decode(damaged).width == 32


@pytest.mark.parametrize("options", [{}, {"xmp": b'<x tiff:Orientation="6"/>'}], ids=["EXIF", "and XMP"])
def test_boxes_alone_turn_an_avif_that_has_exif(options: dict[str, Any]) -> None:
    """EXIF has no say against them, nor has XMP against EXIF; alone, XMP has."""
    exif = b"Exif\0\0II*\0" + struct.pack("<LHHHLH", 8, 1, 0x0111, 3, 1, 6) + bytes(6)
    data = encode(gradient(48, 32), "AVIF", exif=exif, **options)
    turned = data.replace(b"\x11\x01\x03\0", b"\x12\x01\x03\0")  # Pillow would not write it
    assert turned != data
    assert decode(turned).width == 48
    assert decode(encode(gradient(48, 32), "AVIF", **options)).width == (32 if options else 48)


@pytest.mark.parametrize("size", [b"", bytes(7) + b"\x15"], ids=["size in front", "size behind the name"])
@pytest.mark.parametrize("version", [b"\2\0\0\1\0\3", b"\3\0\0\1\0\0\0\3"], ids=["short number", "long number"])
def test_exif_is_hidden_however_its_entry_is_written(size: bytes, version: bytes) -> None:
    """All that a decoder reads as the entry of an item of that type."""
    entry = b"infe" + size + version + b"\0\0"
    assert without_exif(b"before" + entry + b"Exif\0 Exif") == b"before" + entry + b"free\0 Exif"
    assert without_exif(entry + b"mime\0") == entry + b"mime\0"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "no AV1 frame", id="nothing"),
        pytest.param(_file(), "no AV1 frame", id="no item"),
        pytest.param(_file((b"mime", b"text")), "no AV1 frame", id="no image"),
        pytest.param(_file((b"av01", b"")), "has no frame", id="empty image"),
        pytest.param(_file((b"av01", _sequence(8, 8))), "has no frame", id="sequence header alone"),
        pytest.param(_file((b"av01", _frame())), "no sequence header", id="frame alone"),
        pytest.param(
            _file((b"av01", _sequence(8, 8) + _frame() + _sequence(9, 8))),
            "two sequence headers",
            id="second size",
        ),
        pytest.param(_still() + _still(), "a box twice", id="second file"),
        pytest.param(_animation().replace(b"stsc", b"stsz"), "a box twice", id="second table"),
        pytest.param(_file((b"av01", b"\x0a\x7f\0")), "beyond its end", id="cut obu"),
        pytest.param(_file((b"av01", b"\x0a" + b"\x80" * 8)), "has no end", id="endless length"),
        pytest.param(_file((b"av01", b"\x0a\1\0")), "ends too early", id="cut sequence header"),
        pytest.param(
            _file((b"av01", _sequence(8, 8, [*_TIMING, (1, 1), (0, 64)]))), "has no end", id="endless number"
        ),
        pytest.param(_file((b"av01", _TEMPORAL_DELIMITER * 200)), "too many parts", id="many obus"),
        pytest.param(_file(*[(b"mime", b"")] * 1025), "too many items", id="many items"),
        pytest.param(_file((b"grid", b"\0")), "ends too early", id="cut grid"),
        pytest.param(
            _located(b"\0\0\0\0\x44\0\0\1" + struct.pack(">HHHII", 1, 0, 1, 1000, 34)), "beyond", id="too long"
        ),
        pytest.param(
            _located(b"\0\0\0\0\0\0\0\1" + struct.pack(">HHH", 1, 0, 65535)), "too many parts", id="many extents"
        ),
        pytest.param(
            _located(b"\0\0\0\0\0\0\0\x42" + b"".join(struct.pack(">HHH", at, 0, 63) for at in range(66, 0, -1))),
            "too many parts",
            id="many extents of many items",
        ),
        pytest.param(
            _located(b"\0\0\0\0\x44\0\0\1" + struct.pack(">HHH", 1, 0, 3) + 3 * struct.pack(">II", 0, 1033)),
            "longer than the file",
            id="overlapping extents",
        ),
        pytest.param(
            _located(b"\1\0\0\0\x44\0\0\1" + struct.pack(">HHHHII", 1, 2, 0, 1, 0, 33)),
            "no decoder looks",
            id="in another item",
        ),
        pytest.param(
            _located(b"\1\0\0\0\x44\0\0\1" + struct.pack(">HHHHII", 1, 1, 0, 1, 0, 33)),
            "no decoder looks",
            id="in an idat box that is not there",
        ),
        pytest.param(_box(b"meta", bytes(4), bytes(80_000)), "no AV1 frame", id="zeros"),
        pytest.param(_box(b"meta", bytes(4), _box(b"free") * 5000), "too many boxes", id="many boxes"),
        pytest.param(_box(b"meta", bytes(4), b"\0\0\0\7free"), "smaller than its own header", id="tiny box"),
        pytest.param(_box(b"moov", _box(b"trak") * 17), "too many tracks", id="many tracks"),
    ],
)
def test_what_cannot_be_measured_is_refused(data: bytes, reason: str) -> None:
    """A file whose frames are not found, not readable or too many never reaches a decoder."""
    with pytest.raises(ValueError, match=reason):
        largest_frame(data)


@pytest.mark.parametrize("table", [b"stco", b"stsz"])
def test_a_track_that_does_not_say_where_its_frames_are_is_refused(table: bytes) -> None:
    """One table of places and one of sizes must be there."""
    with pytest.raises(ValueError, match="does not say where its first frame is"):
        largest_frame(_animation().replace(table, b"free"))


def test_what_cannot_be_measured_is_a_broken_picture() -> None:
    """The firewall gives the reason in its own sentence."""
    with pytest.raises(
        BrokenPictureError, match=r"could not be decoded: no AV1 frame was found in it\. It is damaged"
    ):
        decode(_still().replace(b"av01", b"mime"))


def test_what_follows_a_whole_file_does_not_matter() -> None:
    """Bytes that are no box may be appended."""
    assert largest_frame(_still() + b"\0\0\0\1something else") == (48, 32)


@pytest.mark.parametrize("data", [_still("RGBA"), _animation("RGBA")], ids=["still", "animation"])
def test_a_cut_anywhere_is_a_value_error(data: bytes) -> None:
    """No length of a whole file gives another error, and the whole file is measured."""
    outcomes = [_is_measured(data[:length]) for length in range(0, len(data), 3)]
    assert not outcomes[0]
    assert _is_measured(data)


@settings(max_examples=500)
@given(
    is_animation=st.booleans(),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damage_anywhere_is_a_value_error(is_animation: bool, changes: list[tuple[float, int]]) -> None:
    """Other bytes at any place give a size or a ValueError, and both within a second."""
    data = bytearray(_animation("RGBA") if is_animation else _still("RGBA"))
    for place, value in changes:
        data[int(place * len(data))] = value
    _is_measured(bytes(data))


@settings(max_examples=300)
@given(noise=st.binary(max_size=300))
def test_noise_as_a_frame_is_a_value_error(noise: bytes) -> None:
    """Any bytes in the place of an image give a size or a ValueError."""
    _is_measured(_file((b"av01", noise)))
    _is_measured(_file((b"av01", _sequence(8, 8) + noise)))
