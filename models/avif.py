"""How large the frames inside an AVIF file are, read from their own headers before anything is decoded.

An AVIF file says its size twice: in its boxes, which Pillow reports, and in its AV1 frames, which the decoder
goes by. A file of 1 kB that says 10 × 10 may hold a frame of 65536 × 65536, so both are read here.

Source: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (ispe, grid), AV1 Image File Format.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from models.av1 import Bits, Budget, Size, frame_sizes

_MOST_BOXES = 4096
"""On one level of the file. A grid of 256 tiles has 600. Source: choice, a bound on the work."""
_MOST_ITEMS = 1024
"""A grid of 256 tiles with alpha has 514. Source: choice, a bound on the work."""
_MOST_EXTENTS, _MOST_EXTENTS_OF_A_FILE = 64, 4096
"""Of one item; most have 1, a layered one has 4. Source: choice, a bound on the work."""
_MOST_TRACKS = 16
"""An animation has one for colour and one for alpha. Source: choice, a bound on the work."""
_MOST_FRAMES = 8
"""All frames together have at most so many times the pixels of the largest: 4 layers, each with alpha. Without
this bound one frame could be named a thousand times, as tiles. Source: choice; AV1 6.2.3 for the layers."""

_FIELDS = {b"meta": 4, b"stsd": 8, b"av01": 78}
"""Bytes before the first inner box: FullBox, SampleDescriptionBox, VisualSampleEntry in ISO/IEC 14496-12."""

_EXIF_ENTRY = re.compile(rb"(infe(?:.{8})?(?:\x02.{3}..|\x03.{3}....)..)Exif", re.DOTALL)
"""ISO/IEC 14496-12, ItemInfoEntry of version 2 or 3: flags, number and item_protection_index, then the type. In
front of that the box may have its size, in eight bytes."""


def largest_frame(data: bytes) -> Size:
    """Return the largest size, by its pixels, that a box or a frame of an AVIF file announces.

    All images count, tiles and alpha too, and the first frame of each track. The bytes are a stranger's: the
    work is bounded for the whole file, and what a decoder could understand in another way is refused.

    Raises:
        ValueError: the frames cannot be found or read, or are too many; no decoder should see this file.
    """
    file = memoryview(data)
    announced: list[Size] = []
    frames: list[Size] = []
    known: dict[_Place, list[Size]] = {}
    budget = Budget(len(file))
    for meta in _at_most_one(_inside(file, b"meta")):
        announced += [_ispe_size(box) for box in _inside(meta, b"iprp", b"ipco", b"ispe")]
        sources = [file, *_at_most_one(_inside(meta, b"idat"))]
        for kind, place in _items(meta):
            if kind == b"grid":
                announced.append(_grid_size(_stored(place, sources, budget)))
                continue
            if place in known:  # equal tiles are stored once
                budget.spend(obus=len(known[place]))
            else:
                known[place] = frame_sizes(_stored(place, sources, budget), budget)
            frames += known[place]
    for track in _picture_tracks(file):
        announced += [_track_size(box) for box in _inside(track, b"tkhd")]
        frames += frame_sizes(_first_sample(track, file, budget), budget)
    if not frames:
        raise ValueError("no AV1 frame was found in it")
    largest = max(announced + frames, key=_area)
    if sum(map(_area, frames)) > _MOST_FRAMES * _area(largest):
        raise ValueError("it has too many frames for one picture")
    return largest


def without_exif(data: bytes) -> bytes:
    """Let nobody see the EXIF of an AVIF file: its item becomes one of a type that no decoder knows."""
    return _EXIF_ENTRY.sub(rb"\1free", data)


def _area(size: Size) -> int:
    return size[0] * size[1]


def _boxes(body: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and content of the boxes in a row: ISO/IEC 14496-12, Box."""
    bits = Bits(body)
    while not bits.is_at_end():
        size, kind, header = bits.read(32), bits.read(32).to_bytes(4), 8
        if size == 1:
            size, header = bits.read(64), 16
        if 0 < size < header:
            raise ValueError("a box in it is smaller than its own header")
        content = bits.take(size - header if size else None)  # 0: up to the end
        yield kind, content[_FIELDS.get(kind, 0) :]


def _outer_boxes(file: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the boxes of the file itself up to the first that is none: phones append other things."""
    try:
        yield from _boxes(file)
    except ValueError:
        return


def _inside(body: memoryview, *path: bytes) -> list[memoryview]:
    """Return the content of every box at this path; meta and moov are looked for in the file itself."""
    level = [body]
    for kind in path:
        opened = map(_outer_boxes if kind in {b"meta", b"moov"} else _boxes, level)
        boxes = list(islice(chain.from_iterable(opened), _MOST_BOXES + 1))
        if len(boxes) > _MOST_BOXES:
            raise ValueError("it has too many boxes")
        level = [content for name, content in boxes if name == kind]
    return level


def _at_most_one(boxes: list[memoryview]) -> list[memoryview]:
    """Refuse what the standard does not allow either: a decoder might take another box than the one read here."""
    if len(boxes) > 1:
        raise ValueError("it has a box twice that should be there once")
    return boxes


def _ispe_size(box: memoryview) -> Size:
    bits = Bits(box[4:])
    return bits.read(32), bits.read(32)


def _grid_size(stored: memoryview) -> Size:
    """ISO/IEC 23008-12, ImageGrid: version, flags, rows, columns, then the size in 16 or in 32 bits each."""
    bits = Bits(stored)
    width = 32 if bits.read(32) >> 16 & 1 else 16
    return bits.read(width), bits.read(width)


def _track_size(box: memoryview) -> Size:
    """ISO/IEC 14496-12, TrackHeaderBox: the size is in 16.16 fixed point; version 1 has longer times before it."""
    bits = Bits(box[88 if Bits(box).read(8) == 1 else 76 :])
    return bits.read(32) >> 16, bits.read(32) >> 16


@dataclass(frozen=True)
class _Place:
    method: int  # the offsets count from the beginning of 0: the file, 1: the idat box, 2: another item
    extents: tuple[tuple[int, int], ...]  # offset and length in bytes


def _items(meta: memoryview) -> Iterator[tuple[bytes, _Place]]:
    """Yield type (av01 or grid) and place of each item that makes pixels."""
    kinds = set(_item_kinds(meta))
    located: set[int] = set()
    for item, place in chain.from_iterable(map(_locations, _at_most_one(_inside(meta, b"iloc")))):
        if item in located:
            raise ValueError("an item in it has two places")
        located.add(item)
        for kind in (b"av01", b"grid"):
            if (item, kind) in kinds:
                yield kind, place


def _stored(place: _Place, sources: list[memoryview], budget: Budget) -> memoryview:
    """Return the data of an item, without a copy where it is in one part."""
    if place.method >= len(sources):
        raise ValueError("an image in it is stored where no decoder looks")
    parts = [_part(sources[place.method], *extent, budget) for extent in place.extents]
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def _item_kinds(meta: memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield number and type of the items: ISO/IEC 14496-12, ItemInfoBox; its oldest entries have no type."""
    for box in _at_most_one(_inside(meta, b"iinf")):
        for entry in _inside(box[8 if Bits(box).read(8) else 6 :], b"infe"):
            bits = Bits(entry)
            version = bits.read(32) >> 24
            if version >= 2:
                number = bits.read(16 if version == 2 else 32)
                bits.read(16)  # item_protection_index
                yield number, bits.read(32).to_bytes(4)


def _locations(box: memoryview) -> Iterator[tuple[int, _Place]]:
    """Yield number and place of the items: ISO/IEC 14496-12, ItemLocationBox."""
    bits = Bits(box)
    version = bits.read(32) >> 24
    offset_bits, length_bits, base_bits, index_bits = (8 * bits.read(4) for _ in range(4))
    number_bits = 16 if version < 2 else 32
    item_count = bits.read(number_bits)
    if item_count > _MOST_ITEMS:
        raise ValueError("it has too many items")
    extents_left = _MOST_EXTENTS_OF_A_FILE
    for _ in range(item_count):
        item = bits.read(number_bits)
        method = bits.read(16) & 0xF if version else 0
        bits.read(16)  # data_reference_index
        base, extent_count = bits.read(base_bits), bits.read(16)
        extents_left -= extent_count
        if extent_count > _MOST_EXTENTS or extents_left < 0:
            raise ValueError("an item in it has too many parts")
        extents = []
        for _ in range(extent_count):
            bits.read(index_bits if version else 0)
            extents.append((base + bits.read(offset_bits), bits.read(length_bits)))
        yield item, _Place(method, tuple(extents))


def _part(source: memoryview, offset: int, length: int, budget: Budget) -> memoryview:
    part = source[offset : offset + length]
    if len(part) < length:
        raise ValueError("a part of it reaches beyond its end")
    budget.spend(size_bytes=length)
    return part


def _picture_tracks(file: memoryview) -> list[memoryview]:
    tracks = _inside(file, b"moov", b"trak")
    if len(tracks) > _MOST_TRACKS:
        raise ValueError("it has too many tracks")
    return [track for track in tracks if _inside(track, b"mdia", b"minf", b"stbl", b"stsd", b"av01")]


def _first_sample(track: memoryview, file: memoryview, budget: Budget) -> memoryview:
    """Return the data of the first frame: where the first chunk begins, as long as the first sample."""
    table = (b"mdia", b"minf", b"stbl")
    short, long = _inside(track, *table, b"stco"), _inside(track, *table, b"co64")
    chunks, sizes = _at_most_one(short + long), _at_most_one(_inside(track, *table, b"stsz"))
    if not chunks or not sizes:
        raise ValueError("it does not say where its first frame is")
    offset, size = Bits(chunks[0][8:]), Bits(sizes[0][4:])
    common_size, _ = size.read(32), size.read(32)
    return _part(file, offset.read(32 if short else 64), common_size or size.read(32), budget)
