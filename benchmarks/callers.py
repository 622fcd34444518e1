"""The callers of the soak: most of them good, some with bad files, some who hang up."""

import asyncio
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.photos import Upload, encode, multipart, photo_upload, small_picture

ANSWER_TIMEOUT_S = 30.0
BOMB_SIDE = 20_000
GONE = "hung up"
HESITATION_S = 0.005
"""Between the last byte and hanging up, so that the server has begun with the request."""


@dataclass(frozen=True)
class Caller:
    """One kind of caller.

    Attributes:
        weight: how often it comes, in thousandths.
        path: that it posts to.
        uploads: one is chosen at each call.
        patience: the share of the body after which it hangs up; 1 sends all of it.
        waits: for the answer.
    """

    weight: int
    path: str
    uploads: tuple[Upload, ...]
    patience: float = 1.0
    waits: bool = True


def callers() -> dict[str, Caller]:
    """Draw what everybody sends."""
    jpegs = [encode(small_picture(seed)) for seed in range(32)]
    one = tuple(multipart("file", [data]) for data in jpegs)
    pngs = [encode(small_picture(seed), "PNG") for seed in range(8)]
    photos = (photo_upload(0), photo_upload(1))
    mixed = [*jpegs[:6], b"no picture at all", jpegs[7][:100]]
    text = multipart("file", [b"Dear service, please find no picture attached.\n" * 20], media_type="text/plain")
    whole = Upload("application/octet-stream", jpegs[0])
    return {
        "small jpeg": Caller(500, "/predict", one),
        "png": Caller(120, "/predict", tuple(multipart("file", [data]) for data in pngs)),
        "photo": Caller(60, "/predict", photos),
        "batch": Caller(60, "/predict/batch", (multipart("files", jpegs[:8]), multipart("files", jpegs[8:32]))),
        "batch with bad files": Caller(30, "/predict/batch", (multipart("files", mixed),)),
        "truncated jpeg": Caller(50, "/predict", tuple(multipart("file", [data[:200]]) for data in jpegs[:8])),
        "text": Caller(30, "/predict", (text,)),
        "zero bytes": Caller(30, "/predict", (multipart("file", [b""]),)),
        "png bomb": Caller(30, "/predict", (multipart("file", [png_bomb()]),)),
        "wrong type": Caller(20, "/predict", (Upload("application/json", b'{"file": "x"}'), whole)),
        "half a form": Caller(10, "/predict", (Upload(one[0].content_type, one[0].body[:-60]),)),
        "hangs up in the body": Caller(30, "/predict", (*one[:4], *photos), patience=0.5),
        "hangs up waiting": Caller(30, "/predict", (*one[:4], *photos), waits=False),
    }


def png_bomb() -> bytes:
    """A PNG of 400 megapixels in 50 kB."""
    rows = zlib.compress(bytes((BOMB_SIDE // 8 + 1) * BOMB_SIDE), 9)
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


async def call(caller: Caller, upload: Upload, port: int) -> str:
    """Make one call on a connection of its own.

    Returns:
        The status, "hung up" where this side did; "refused", "lost" or "unanswered" where the other did.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return "refused"
    try:
        writer.write(request_bytes(caller, upload))
        await asyncio.wait_for(writer.drain(), ANSWER_TIMEOUT_S)
        if caller.patience < 1 or not caller.waits:
            await asyncio.sleep(HESITATION_S)
            return GONE
        line = await asyncio.wait_for(reader.readline(), ANSWER_TIMEOUT_S)
        await asyncio.wait_for(reader.read(), ANSWER_TIMEOUT_S)
        return line[9:12].decode() or "lost"
    except TimeoutError:
        return "unanswered"
    except OSError:
        return "lost"
    finally:
        writer.transport.abort()  # a reset for who hangs up; the others have read to the end


def request_bytes(caller: Caller, upload: Upload) -> bytes:
    """The head, and as much of the body as the caller has patience for."""
    head = (
        f"POST {caller.path} HTTP/1.1\r\nHost: benchmark\r\nConnection: close\r\n"
        f"Content-Type: {upload.content_type}\r\nContent-Length: {len(upload.body)}\r\n\r\n"
    )
    return head.encode() + upload.body[: int(len(upload.body) * caller.patience)]


async def keep_calling(
    kinds: Mapping[str, Caller],
    *,
    port: int,
    seed: int,
    is_over: Callable[[], bool],
    count: Callable[[str, str], None],
) -> None:
    """Call again and again, each time as another kind of caller."""
    draw = random.Random(seed)  # noqa: S311 - a mixture, not a secret
    names, weights = list(kinds), [kind.weight for kind in kinds.values()]
    while not is_over():
        name = draw.choices(names, weights)[0]
        count(name, await call(kinds[name], draw.choice(kinds[name].uploads), port))
