"""The bytes of pictures out of requests."""

import re

import pytest

from app.errors import MalformedFormError, MissingFileError, TooManyFilesError, UnsupportedMediaTypeError
from app.wire.uploads import picture_of, pictures_of, require_unpacked

FORM = "multipart/form-data; boundary=B"
PICTURE = b"\x89PNG\r\n\x1a\n any bytes"


def form(*fields: tuple[str, bytes]) -> bytes:
    """Parameters behind `form-data; ` and the data of each part."""
    parts = (
        b"--B\r\nContent-Disposition: form-data; " + f"{head}".encode() + b"\r\n\r\n" + data
        for head, data in fields
    )
    return b"".join(part + b"\r\n" for part in parts) + b"--B--\r\n"


FILE = ('name="file"; filename="a.png"', PICTURE)
TEXT = ('name="file"', b"a text")
OTHER = ('name="note"', b"for you")


def named(name: str) -> tuple[str, bytes]:
    """A file of a batch."""
    return f'name="files"; filename="{name}"', PICTURE


def filenames(*fields: tuple[str, bytes], max_files: int) -> list[str | None]:
    """Of /predict/batch."""
    return [part.filename for part in pictures_of(form(*fields), FORM, max_files=max_files)]


@pytest.mark.parametrize(
    "content_type",
    [None, "application/octet-stream", "image/jpeg", "image/anything", "IMAGE/PNG", "image/png; name=multipart"],
)
def test_a_raw_body_is_the_picture(content_type: str | None) -> None:
    """With any picture's type, or none; what it really is, its bytes say."""
    assert picture_of(PICTURE, content_type) == PICTURE


@pytest.mark.parametrize("content_encoding", [None, "", "identity", " Identity "])
def test_what_is_not_packed_is_read(content_encoding: str | None) -> None:
    """Some clients say that they did nothing."""
    require_unpacked(content_encoding)


@pytest.mark.parametrize("content_encoding", ["gzip", "br", "identity, gzip"])
def test_what_is_packed_is_refused(content_encoding: str) -> None:
    """It is named, before anything looks for a picture in it."""
    with pytest.raises(UnsupportedMediaTypeError, match=rf"Content-Encoding is '{content_encoding}'; only"):
        require_unpacked(content_encoding)


def test_the_forms_one_file_is_the_picture() -> None:
    """Texts and files of other names beside it do not matter."""
    other_file = ('name="thumbnail"; filename="b.png"', b"small")
    assert picture_of(form(OTHER, FILE, other_file), FORM) == PICTURE
    assert picture_of(form(FILE), FORM.replace("multipart", "Multipart")) == PICTURE


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/json", "multipart/mixed; boundary=B", "x"]
)
def test_other_types_are_refused(content_type: str) -> None:
    """The sentence names the type that came, and shows two that work."""
    shown = content_type.partition(";")[0]
    with pytest.raises(UnsupportedMediaTypeError, match=rf"Content-Type is '{shown}'; .* -F file=@cat\.jpg"):
        picture_of(form(FILE), content_type)


@pytest.mark.parametrize(
    ("fields", "received"),
    [
        ([], r"none \(fields: none\)"),
        ([OTHER], r"none \(fields: 'note'\)"),
        ([TEXT], r"0 files and 1 texts in it \(fields: 'file'\)"),
        ([FILE, FILE], r"2 files and 0 texts in it \(fields: 'file'\)"),
        ([FILE, TEXT, OTHER], r"1 files and 1 texts in it \(fields: 'file', 'note'\)"),
        ([('name="files"; filename="a.png"', PICTURE)], r"none \(fields: 'files'\)"),
    ],
)
def test_not_one_file_is_refused(fields: list[tuple[str, bytes]], received: str) -> None:
    """It says what was there instead."""
    with pytest.raises(MissingFileError, match=rf"One picture is expected .* received: {received}"):
        picture_of(form(*fields), FORM)


def test_the_field_of_the_other_route_is_told_where_it_belongs() -> None:
    """One picture and many go by two names."""
    with pytest.raises(MissingFileError, match=r"POST /predict/batch takes `files`\. With curl: -F file=@cat"):
        picture_of(form(('name="files"; filename="cat.png"', PICTURE)), FORM)
    with pytest.raises(MissingFileError, match=r"POST /predict takes `file`\. With curl: -F files=@cat"):
        pictures_of(form(('name="file"; filename="cat.png"', PICTURE)), FORM, max_files=2)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"my cat.jpg", "'my cat.jpg' came as a text: curl sends a file if an @ stands before its name. With"),
        (b"x" * 255, f"'{'x' * 40}…' came as a text"),
        (b"x" * 256, "A part without a filename is a text: give it one. With curl: -F"),
        (b"", "A part without a filename"),
        (PICTURE, "A part without a filename"),
        (b"two\nlines", "A part without a filename"),
        ("Käse.jpg".encode(), "'Käse.jpg' came as a text"),
        ("Käse.jpg".encode("latin-1"), "A part without a filename"),
    ],
)
def test_a_text_in_the_place_of_a_file_is_told_why_it_is_none(data: bytes, told: str) -> None:
    """Whoever forgot curl's @ has sent the name; another client has sent the bytes without a name."""
    with pytest.raises(MissingFileError, match=re.escape(told)):
        picture_of(form(('name="file"', data)), FORM)
    with pytest.raises(MissingFileError, match=re.escape(told)):
        filenames(named("a"), ('name="files"', data), max_files=3)


def test_a_file_that_was_not_chosen_is_an_empty_picture() -> None:
    """A browser sends such a part; what is wrong with it the decoder says."""
    assert picture_of(form(('name="file"; filename=""', b"")), FORM) == b""


def test_broken_forms_and_forms_of_many_fields_are_refused() -> None:
    """Nobody needs more than 16 parts around one picture."""
    with pytest.raises(MalformedFormError, match="ends before its last boundary"):
        picture_of(b"--B\r\nnonsense", FORM.replace("=B", "=C"))
    assert picture_of(form(FILE, *[OTHER] * 15), FORM) == PICTURE
    with pytest.raises(TooManyFilesError, match="more than 16 parts"):
        picture_of(form(FILE, *[OTHER] * 16), FORM)


def test_a_batchs_files_keep_their_order() -> None:
    """Repeated names are files of their own; other fields between them do not count."""
    fields = [named("b"), OTHER, named("a"), FILE, named("b")]
    assert filenames(*fields, max_files=3) == ["b", "a", "b"]


def test_a_batch_has_as_many_files_as_it_may() -> None:
    """One more is refused, with the setting that allows it."""
    assert filenames(*[named("a")] * 3, max_files=3) == ["a"] * 3
    with pytest.raises(TooManyFilesError, match=r"has 4 files; the limit is 3\. .* GLIMPSE_MAX_BATCH_FILES"):
        filenames(*[named("a")] * 4, max_files=3)
    with pytest.raises(TooManyFilesError, match="more than 11 parts"):
        filenames(*[named("a")] * 12, max_files=3)


def test_a_batch_needs_a_file() -> None:
    """It says which fields were there."""
    with pytest.raises(MissingFileError, match=r"each with a filename, .* none \(fields: 'file', 'note'\)"):
        filenames(FILE, OTHER, max_files=3)


@pytest.mark.parametrize("files", [0, 2])
def test_a_part_without_a_filename_is_not_left_out_of_a_batch(files: int) -> None:
    """Some clients send a file whose name is empty without any: the results would belong to other parts."""
    fields = [named("a"), ('name="files"', PICTURE), named("b")] if files else [('name="files"', PICTURE)]
    with pytest.raises(MissingFileError, match=rf"each with a filename, .* received: {files} files and 1 texts"):
        filenames(*fields, max_files=3)


@pytest.mark.parametrize("content_type", [None, "image/png", "application/octet-stream"])
def test_a_batch_is_a_form(content_type: str | None) -> None:
    """One raw picture is no batch."""
    with pytest.raises(
        UnsupportedMediaTypeError, match=r"with fields `files` is read\. With curl: -F files=@cat\.jpg"
    ):
        pictures_of(PICTURE, content_type, max_files=3)
