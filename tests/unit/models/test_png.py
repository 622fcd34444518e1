"""What of a PNG is read, and what is left out."""

import io
import time
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, PngImagePlugin

from models.errors import BrokenPictureError
from models.pictures import decode, stored_size
from models.png import without_ballast
from tests.drawing import chunk, encode, gradient

WHOLE = encode(gradient(20, 10))


def with_chunks(*chunks: bytes, data: bytes = WHOLE) -> bytes:
    """A PNG with more chunks behind its header."""
    return data[:33] + b"".join(chunks) + data[33:]


LARGE = zlib.compress(bytes(1_200_000))
PROFILE = chunk(b"iCCP", b"scanner\0\0" + LARGE)
BALLAST = (PROFILE, chunk(b"zTXt", b"Raw profile type icc\0\0" + LARGE), chunk(b"iTXt", b"note\0\1\0\0\0" + LARGE))


@pytest.mark.parametrize("ballast", BALLAST, ids=["profile", "packed text", "international text"])
def test_a_picture_with_a_large_profile_or_text_is_whole(ballast: bytes) -> None:
    """Pillow refuses more than a megabyte of them; the pixels are good."""
    found = decode(with_chunks(ballast))
    assert found.rgb.tobytes() == decode(WHOLE).rgb.tobytes()
    assert stored_size(io.BytesIO(with_chunks(ballast))) == (20, 10)


def test_what_is_left_out_is_left_out_wherever_it_stands() -> None:
    """Behind the header, between others, and at the end; nothing else is touched."""
    kept = chunk(b"tEXt", b"author\0somebody")
    end = WHOLE.index(b"IEND") - 4
    crowded = with_chunks(PROFILE, kept, *BALLAST, data=WHOLE[:end] + PROFILE + WHOLE[end:])
    assert without_ballast(crowded) == with_chunks(kept)
    assert without_ballast(WHOLE) is WHOLE


XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize("kind", ["eXIf", "text", "XMP"])
def test_orientation_is_kept(kind: str) -> None:
    """As a chunk of its own, as the packed text that ImageMagick writes, or as Adobe's, packed."""
    exif = Image.Exif()
    exif[0x0112] = 6
    if kind == "eXIf":
        turned = with_chunks(PROFILE, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    else:
        info = PngImagePlugin.PngInfo()
        words = "\nexif\n" + f"{len(exif.tobytes()):8}" + "\n" + exif.tobytes().hex()
        if kind == "XMP":
            info.add_itxt("XML:com.adobe.xmp", XMP, zip=True)
        else:
            info.add_text("Raw profile type exif", words, zip=True)
        file = io.BytesIO()
        gradient(20, 10).save(file, "PNG", pnginfo=info)
        turned = with_chunks(PROFILE, data=file.getvalue())
    found = decode(turned)
    assert (found.width, found.height) == (10, 20)


def _xmp(length: int) -> bytes:
    """An XMP packet of that length that lays the picture on its side, packed."""
    words = b'<x tiff:Orientation="6"/>'.ljust(length)
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(words))


def _raw_exif(length: int) -> bytes:
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(length)))


@pytest.mark.parametrize("text", [_xmp, _raw_exif], ids=["XMP", "EXIF"])
def test_a_text_that_pillow_refuses_is_left_out(text: Callable[[int], bytes]) -> None:
    """Of over a megabyte, unpacked: the pixels are good, and only the orientation is lost."""
    assert without_ballast(with_chunks(text(2**20))) == with_chunks(text(2**20))
    found = decode(with_chunks(text(2**20 + 1_000)))
    assert found.rgb.tobytes() == decode(WHOLE).rgb.tobytes()


def test_an_orientation_in_a_packed_xmp_counts() -> None:
    """It may be as long as Pillow allows; one that is not packed, or damaged, is left to Pillow."""
    assert decode(with_chunks(_xmp(2**20))).width == 10
    plain = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="6"/>'.ljust(1_500_000))
    assert decode(with_chunks(plain)).width == 10
    damaged = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib")
    assert decode(with_chunks(damaged)).width == 20


@pytest.mark.parametrize("length", [100, 1_200_000])
def test_one_text_of_a_name_is_unpacked(length: int) -> None:
    """A picture has one of each, and thousands would be unpacked for seconds."""
    crowded = with_chunks(*[_xmp(length)] * 2_000)
    started_s = time.process_time()
    assert len(without_ballast(crowded)) <= len(with_chunks(_xmp(length)))
    assert time.process_time() - started_s < 0.5  # 2 s and more, unpacked


def test_a_thousand_profiles_cost_nothing() -> None:
    """Each unpacks to a megabyte, and Pillow would unpack all of them."""
    bomb = with_chunks(*[PROFILE] * 1_000)
    started_s = time.process_time()
    assert decode(bomb).width == 20
    assert time.process_time() - started_s < 1  # 2 s and more, unpacked


def test_more_chunks_than_any_picture_has_are_refused() -> None:
    """Each costs Pillow a turn in Python; as many as are allowed are read."""
    with pytest.raises(BrokenPictureError, match="more than 100,000 chunks"):
        decode(with_chunks(chunk(b"prIv", b"") * 100_000))
    assert decode(with_chunks(chunk(b"prIv", b"") * 99_997)).width == 20  # with header, pixels and end 100,000


def with_late_chunks(*chunks: bytes) -> bytes:
    """A PNG with more chunks behind its pixels."""
    end = WHOLE.index(b"IEND") - 4
    return WHOLE[:end] + b"".join(chunks) + WHOLE[end:]


@pytest.mark.parametrize("name", [b"aa_1", b"0000", b"____"])
@pytest.mark.parametrize("put", [with_chunks, with_late_chunks], ids=["in front of the pixels", "behind them"])
def test_a_name_that_is_no_word_hides_nothing(put: Callable[..., bytes], name: bytes) -> None:
    """Pillow passes over a chunk whose name has digits or underscores, and reads what follows it."""
    strange = chunk(name, b"")
    assert without_ballast(put(strange, *BALLAST)) == put(strange)
    assert decode(put(strange, PROFILE)).width == 20
    with pytest.raises(BrokenPictureError, match="more than 100,000 chunks"):
        decode(put(strange, *[chunk(b"prIv", b"")] * 100_000))


@pytest.mark.parametrize("name", [b"\xe4aaa", b"aa-1", b"\0\0\0\0"])
def test_a_name_that_pillow_refuses_is_the_end(name: bytes) -> None:
    """In front of the pixels the picture is broken, behind them nothing is read any more."""
    strange = chunk(name, b"")
    assert without_ballast(with_late_chunks(strange, PROFILE)) == with_late_chunks(strange, PROFILE)
    assert decode(with_late_chunks(strange, PROFILE)).width == 20
    with pytest.raises(BrokenPictureError, match="broken PNG file"):
        decode(with_chunks(strange, PROFILE))


@pytest.mark.parametrize("more", [bytes(1_300_000), PROFILE, b"\xff" * 100])
def test_what_follows_the_end_is_nobodys(more: bytes) -> None:
    """Copies by the block are padded."""
    assert without_ballast(WHOLE + more) == WHOLE + more
    assert decode(WHOLE + more).width == 20


@pytest.mark.parametrize("length", [0, 7, 8, 12, 30, 40, 60])
def test_a_cut_off_picture_is_left_as_it_is(length: int) -> None:
    """Whoever decodes it says what is wrong."""
    assert without_ballast(WHOLE[:length]) == WHOLE[:length]
