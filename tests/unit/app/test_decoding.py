"""Which pictures are decoded on the event loop, and which on a thread: that of the pool shows which."""

import asyncio
import contextlib
import struct
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.requests import ClientDisconnect

from app.admission import Admission
from app.callers import Caller
from app.decoding import INLINE_BYTES, DecodePool, Prepared
from app.errors import DeadlineError
from app.metrics import Instruments
from app.prices import Prices
from app.usable_time import UsableTime
from app.wire.exchange import Timing
from models.errors import PictureError, TooManyPixelsError
from models.preprocessing import InputSpec
from tests.drawing import chunk, encode, solid
from tests.unit.app.loops import no_error_in_a_circle, turns

SPEC = InputSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SMALL = encode(solid("red", 128))
"""Of 16,384 pixels, and a few bytes."""


def pool_of_one(
    *, prices: Prices | None = None, metrics: Instruments | None = None, max_pixels: int = 1_000_000
) -> tuple[DecodePool, Admission]:
    """One thread, and what hears who waits for it."""
    prices = prices or Prices()
    admission = Admission(prices, UsableTime(), max_waiting=10, decoders=1)
    pool = DecodePool(
        threads=1, max_pixels=max_pixels, admission=admission, prices=prices, metrics=metrics or Instruments()
    )
    return pool, admission


def padded(data: bytes, size_bytes: int) -> bytes:
    """A PNG of so many bytes: what stands behind its end is nobody's."""
    return data.ljust(size_bytes, b"\0")


def prepared(data: bytes, *, max_pixels: int = 1_000_000) -> tuple[Prepared, bool]:
    """The picture, and whether a thread decoded it: the pool starts none before it needs one."""
    before = set(threading.enumerate())

    async def run() -> tuple[Prepared, bool]:
        pool, _ = pool_of_one(max_pixels=max_pixels)
        try:
            async with Caller(None, timeout_s=60) as caller:
                found = await pool.prepare(data, SPEC, caller, Timing())
            return found, any(it.name.startswith("decode") for it in set(threading.enumerate()) - before)
        finally:
            await pool.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "on_a_thread"),
    [
        pytest.param(SMALL, False, id="16,384 pixels"),
        pytest.param(encode(solid("red", 128).resize((129, 128))), True, id="16,512 pixels"),
        pytest.param(padded(SMALL, INLINE_BYTES), False, id="16,384 bytes"),
        pytest.param(padded(SMALL, INLINE_BYTES + 1), True, id="16,385 bytes"),
    ],
)
def test_what_is_large_is_decoded_on_a_thread(data: bytes, on_a_thread: bool) -> None:
    """By its bytes or by its pixels; the pixels for the network are the same."""
    found, was_on_a_thread = prepared(data)
    assert was_on_a_thread is on_a_thread
    assert found.image.shape == (32, 32, 3)
    assert (found.image == (255, 0, 0)).all()
    assert (found.picture_format, found.height) == ("PNG", 128)


@pytest.mark.parametrize("picture_format", ["AVIF", "GIF", "JPEG", "WEBP"])
def test_an_avif_is_decoded_on_a_thread_however_small(picture_format: str) -> None:
    """A few bytes of its headers may take long to read; of no other format."""
    found, was_on_a_thread = prepared(encode(solid("red", 8), picture_format))
    assert found.picture_format == picture_format
    assert was_on_a_thread is (picture_format == "AVIF")


PACKED = "x" * 2_000
COMMENT, NOTE = PngInfo(), PngInfo()
COMMENT.add_text("comment", PACKED, zip=True)
NOTE.add_itxt("note", PACKED, zip=True)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (b"zTXt", {"pnginfo": COMMENT}),
        (b"iTXt", {"pnginfo": NOTE}),
        (b"iCCP", {"icc_profile": PACKED.encode()}),
    ],
)
def test_a_png_with_something_packed_is_decoded_on_a_thread_however_small(
    kind: bytes, options: dict[str, Any]
) -> None:
    """A few bytes of text or of a colour profile may unfold into megabytes; without them it is small."""
    picture = solid("red", 8)
    plain, packed = encode(picture), encode(picture, **options)
    assert kind in packed
    assert not prepared(plain)[1]
    assert prepared(packed)[1]


def _with_parts(picture_format: str, number: int) -> bytes:
    """A small picture with so many segments, chunks or blocks, and some of its own."""
    data = encode(solid("red", 8), picture_format)
    match picture_format:
        case "JPEG":
            return data[:2] + b"\xff\xef\0\2" * number + data[2:]
        case "PNG":
            return data[:33] + chunk(b"prIv", b"") * number + data[33:]
    palette_end = 13 + (6 << (data[10] & 7))
    return data[:palette_end] + b"\x21\xfe\0" * number + data[palette_end:]


@pytest.mark.parametrize(
    ("picture_format", "few", "many"), [("JPEG", 50, 120), ("PNG", 90, 120), ("GIF", 900, 1_100)]
)
def test_what_has_many_parts_is_decoded_on_a_thread_however_small(
    picture_format: str, few: int, many: int
) -> None:
    """Each takes a turn in Python: thousands of segments in 16 kB kept the event loop for 12 ms."""
    for number, on_a_thread in ((few, False), (many, True)):
        data = _with_parts(picture_format, number)
        assert len(data) < INLINE_BYTES
        found, was_on_a_thread = prepared(data)
        assert (found.picture_format, found.height) == (picture_format, 8)
        assert was_on_a_thread is on_a_thread


def test_a_jpeg_with_much_filling_is_decoded_on_a_thread_however_small() -> None:
    """Pillow takes a turn for each byte; what looks like filling in the pixels is none."""
    data = encode(solid("red", 8), "JPEG")
    assert prepared(data[:2] + b"\xff\xd0" * 1_100 + data[2:])[1]
    assert not prepared(data + b"\xff\xd0" * 1_100)[1]


def test_a_bmp_of_run_lengths_is_decoded_on_a_thread_however_small() -> None:
    """Pillow unpacks them in Python; others are there at once."""
    header = struct.pack("<2sLHHLLllHHLLllLL", b"BM", 0, 0, 0, 1078, 40, 8, 8, 1, 8, 1, 0, 0, 0, 0, 0)
    found, was_on_a_thread = prepared(header + bytes(1024) + b"\x08\0\0\0" * 8)
    assert (found.picture_format, was_on_a_thread) == ("BMP", True)
    assert not prepared(encode(solid("red", 8), "BMP"))[1]


def test_a_picture_of_noise_is_large_by_its_bytes_alone() -> None:
    """No padding: 128 × 128 pixels that cannot be packed are 49 kB."""
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise))
    assert len(data) > INLINE_BYTES
    assert prepared(data)[1]


def test_a_limit_below_that_of_the_event_loop_holds_there_too() -> None:
    """The sentence is about the operator's limit, not about where a picture is decoded."""
    with pytest.raises(TooManyPixelsError, match=r"128 × 128 pixels; the limit is 1,000 pixels"):
        prepared(SMALL, max_pixels=1_000)


def test_a_thread_counts_until_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gave up does not free it, and the next one would wait for nothing; its price is learnt, too."""
    began, may_end = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> Prepared:
        began.set()
        assert may_end.wait(timeout=10)
        return Prepared(np.zeros((32, 32, 3), np.uint8), "PNG", 1, 1)

    monkeypatch.setattr("app.decoding._prepared", slow)
    data = padded(SMALL, 100_000)

    async def run() -> None:
        prices = Prices()
        prices.decoded(size_bytes=1_000, seconds=1.0)
        pool, admission = pool_of_one(prices=prices)
        try:
            async with Caller(None, timeout_s=60) as caller:
                decoded = asyncio.create_task(pool.prepare(data, SPEC, caller, Timing()))
                assert await asyncio.to_thread(began.wait, 10)
                caller.hang_up()
                with pytest.raises(ClientDisconnect):
                    await decoded
            async with Caller(None, timeout_s=0.05) as caller:  # waits for the thread, and is never decoded
                with pytest.raises(DeadlineError):
                    await pool.prepare(data, SPEC, caller, Timing())
            await turns()
            assert admission.wait_s == pytest.approx(100.0)
            may_end.set()
            async with asyncio.timeout(10):
                while admission.wait_s:
                    await asyncio.sleep(0.01)
            with admission.decoding(1_000):
                assert admission.wait_s < 0.2
        finally:
            may_end.set()
            await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize("at_once", [False, True])
def test_a_body_that_waits_for_a_thread_is_let_go_with_its_caller(
    monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """The pool keeps the job until its turn comes, but not the bytes: they are counted no more."""
    may_end = threading.Event()

    def slow(*_: object, **__: object) -> Prepared:
        assert may_end.wait(timeout=10)
        return Prepared(np.zeros((32, 32, 3), np.uint8), "PNG", 1, 1)

    monkeypatch.setattr("app.decoding._prepared", slow)
    waits = padded(SMALL, 100_001)

    async def run() -> None:
        pool, _ = pool_of_one()
        before = sys.getrefcount(waits)
        try:
            async with Caller(None, timeout_s=60) as first, Caller(None, timeout_s=60) as second:
                busy = asyncio.create_task(pool.prepare(padded(SMALL, 100_000), SPEC, first, Timing()))
                await turns()
                if at_once:
                    second.hang_up()
                waiting = asyncio.create_task(pool.prepare(waits, SPEC, second, Timing()))
                await turns()
                second.hang_up()
                (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
                assert isinstance(outcome, ClientDisconnect)
                del waiting, outcome
                await turns()  # until the event loop has let go of the task, and its error's frames
                assert sys.getrefcount(waits) == before
                may_end.set()
                await busy
        finally:
            may_end.set()
            await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"no picture", "unsupported_format"),
        (b"no picture" * INLINE_BYTES, "unsupported_format"),
        (b"", "empty_picture"),
    ],
    ids=["small", "on a thread", "empty"],
)
def test_a_file_that_is_no_picture_is_counted(data: bytes, code: str) -> None:
    """By its code, wherever it was decoded."""

    async def run() -> None:
        metrics = Instruments()
        pool, _ = pool_of_one(metrics=metrics)
        async with Caller(None, timeout_s=60) as caller:
            with pytest.raises(PictureError):
                await pool.prepare(data, SPEC, caller, Timing())
        await pool.close()
        assert f'glimpse_decode_failures_total{{code="{code}"}} 1.0' in metrics.exposition().decode()

    asyncio.run(run())


def test_of_several_pictures_the_longest_decoding_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the caller; the metrics get the time of each, in seconds, of one that is no picture too."""
    clock = iter((100.0, 102.0, 200.0, 201.0, 300.0, 300.5))
    monkeypatch.setattr("app.decoding.time", SimpleNamespace(monotonic=lambda: next(clock)))

    async def run() -> None:
        metrics, timing = Instruments(), Timing()
        pool, _ = pool_of_one(metrics=metrics)
        async with Caller(None, timeout_s=60) as caller:
            for _ in range(2):
                await pool.prepare(SMALL, SPEC, caller, timing)
            with pytest.raises(PictureError):
                await pool.prepare(b"no picture", SPEC, caller, timing)
        await pool.close()
        assert timing == Timing(decode_ms=2000.0)
        assert 'glimpse_stage_seconds_sum{stage="decode"} 3.5' in metrics.exposition().decode()

    asyncio.run(run())


def test_a_broken_picture_leaves_nothing_behind() -> None:
    """Its bytes are free with the answer, and not when the garbage collection comes by."""

    async def run() -> None:
        pool, _ = pool_of_one()
        broken = b"x" * (INLINE_BYTES + 1)

        async def asks() -> None:
            async with Caller(None, timeout_s=60) as caller:
                await pool.prepare(broken, SPEC, caller, Timing())

        try:
            with no_error_in_a_circle():
                with contextlib.suppress(PictureError):
                    await asks()
                await turns()
        finally:
            await pool.close()

    asyncio.run(run())
