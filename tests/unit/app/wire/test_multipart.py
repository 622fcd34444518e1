"""Forms as curl, browsers, httpx and requests write them, and forms that nobody should write."""

import asyncio
import re
import string
from collections.abc import AsyncGenerator, Sequence

import httpx
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartParser

from app.errors import MalformedFormError, TooManyFilesError
from app.wire.multipart import Part, parse

TYPE = "multipart/form-data; boundary=B"
FILE = b'Content-Disposition: form-data; name="file"; filename="cat.png"'
JPEG = b"\xff\xd8\xff\xe0 bytes \x00\r\n\xff\xd9"
MANY = 1_000


def form(*parts: bytes, boundary: bytes = b"B") -> bytes:
    """Each part's header and data, with the delimiters around them."""
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def part(data: bytes, head: bytes = FILE) -> bytes:
    """Header, empty line, data."""
    return head + b"\r\n\r\n" + data


def only(body: bytes, content_type: str = TYPE) -> Part:
    """The one part of a form."""
    (found,) = parse(body, content_type, max_parts=MANY)
    return found


def encode(parts: Sequence[Part], boundary: str) -> bytes:
    """Write a form as RFC 7578 says, quotes and backslashes escaped."""

    def quoted(text: str) -> bytes:
        return b'"' + text.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'

    return form(
        *(
            part(
                each.data,
                b"Content-Disposition: form-data; name="
                + quoted(each.name)
                + (b"" if each.filename is None else b"; filename=" + quoted(each.filename)),
            )
            for each in parts
        ),
        boundary=boundary.encode(),
    )


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        (b"Content-Disposition: form-data; name=file; filename*=UTF-8''%C3%A4.jpg", "ä.jpg"),
        (b"Content-Disposition: form-data; name=file; filename*=iso-8859-1'en'%E4.jpg", "ä.jpg"),
        (b"Content-Disposition: form-data; name=file; filename=a.jpg; filename*=UTF-8''%C3%A4.jpg", "a.jpg"),
        (b"Content-Disposition: form-data;\r\n name=file;\r\n\tfilename=a.jpg", "a.jpg"),
    ],
)
def test_names_of_files_as_old_clients_write_them(head: bytes, filename: str) -> None:
    """Percent-encoded with a charset and perhaps a language, or in a header of several lines."""
    assert only(form(part(JPEG, head))) == Part("file", filename, JPEG)


# What is sent out there.


@pytest.mark.parametrize(
    ("boundary", "head"),
    [
        pytest.param(
            "------------------------d74496d66958873e",
            'Content-Disposition: form-data; name="file"; filename="cat.jpg"\r\nContent-Type: image/jpeg',
            id="curl",
        ),
        pytest.param(
            "----WebKitFormBoundary7MA4YWxkTrZu0gW",
            'Content-Disposition: form-data; name="file"; filename="cat.jpg"\r\nContent-Type: image/jpeg',
            id="Chrome and Safari",
        ),
        pytest.param(
            "---------------------------9051914041544843365972754266",
            'Content-Disposition: form-data; name="file"; filename="cat.jpg"\r\nContent-Type: image/jpeg',
            id="Firefox before 130",
        ),
        pytest.param(
            "----geckoformboundary8ab3bca1a6d7f1e0b3a1d1c5f5f3e0a4",
            'Content-Disposition: form-data; name="file"; filename="cat.jpg"\r\nContent-Type: image/jpeg',
            id="Firefox",
        ),
        pytest.param(
            "7d5d2c5b1f6a4c0e9b8a3f2e1d0c9b8a",
            'Content-Disposition: form-data; name="file"; filename="cat.jpg"',
            id="requests, without a type",
        ),
        pytest.param(
            "Boundary-9F3B2A10-6E1C",
            'Content-Type: image/jpeg\r\nContent-Length: 21\r\nContent-Disposition: form-data; name="file"; '
            'filename="cat.jpg"\r\nContent-Transfer-Encoding: binary',
            id="OkHttp and other headers around it",
        ),
        pytest.param("B", "content-disposition:form-data;NAME=file;FileName=cat.jpg", id="no quotes, other case"),
        pytest.param(
            "B", 'Content-Disposition:\tform-data ; filename="cat.jpg" ; name="file"', id="other order and blanks"
        ),
    ],
)
def test_a_file_is_read_as_clients_write_it(boundary: str, head: str) -> None:
    """Whatever the order, case, quoting and the headers beside it: name, filename and every byte."""
    body = form(part(JPEG, head.encode()), boundary=boundary.encode())
    assert only(body, f"multipart/form-data; boundary={boundary}") == Part("file", "cat.jpg", JPEG)


def test_what_httpx_writes_is_read() -> None:
    """A text and two files, one with a name outside ASCII, in their order."""
    files = [("files", ("Müller 猫.png", JPEG, "image/png")), ("files", ("b.gif", b"", "image/gif"))]
    request = httpx.Request("POST", "http://here/", data={"note": "für dich"}, files=files)
    assert parse(request.read(), request.headers["content-type"], max_parts=3) == [
        Part("note", None, "für dich".encode()),
        Part("files", "Müller 猫.png", JPEG),
        Part("files", "b.gif", b""),
    ]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        pytest.param(b'"a\\"b.png"', 'a"b.png', id="an escaped quote: curl before 7.81"),
        pytest.param(b'"a%22b.png"', "a%22b.png", id="a quote in percent stays so: nobody can tell what it was"),
        pytest.param(b'"a\\\\b.png"', "a\\b.png", id="an escaped backslash: httpx"),
        pytest.param(b'"b\\"', "b\\", id="a backslash at the end that nobody escaped: requests"),
        pytest.param(b'"b\\"; size=1', "b\\", id="another parameter behind it"),
        pytest.param(b'"C:\\pictures\\b.png"', "C:\\pictures\\b.png", id="backslashes that nobody escaped"),
        pytest.param(b'"a;b=c; name=evil.png"', "a;b=c; name=evil.png", id="what looks like a parameter"),
        pytest.param('"Zoë 猫 🐈.png"'.encode(), "Zoë 猫 🐈.png", id="UTF-8"),
        pytest.param(b'"Zo\xeb.png"', "Zo\ufffd.png", id="Latin-1 is replaced, not refused"),
        pytest.param(b'""', "", id="no file chosen"),
        pytest.param(b"", "", id="nothing at all"),
        pytest.param(b"cat.png", "cat.png", id="a bare word"),
        pytest.param(b"\"b.png\"; filename*=UTF-8''%C3%A4.png", "b.png", id="RFC 7578 forbids filename*"),
    ],
)
def test_a_filename_is_read(sent: bytes, read: str) -> None:
    """Quotes and backslashes are unescaped, all else stays as it was sent."""
    head = b'Content-Disposition: form-data; name="file"; filename=' + sent
    assert only(form(part(b"x", head))) == Part("file", read, b"x")


def test_a_part_without_a_filename_is_a_text() -> None:
    """As RFC 7578 has it."""
    assert only(form(part(b"x", b'Content-Disposition: form-data; name="file"'))).filename is None


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/form-data; boundary="B"', "B"),
        ('multipart/form-data; boundary="with blank:and=(more)?"', "with blank:and=(more)?"),
        ("multipart/form-data; boundary='()+_,-./:=?", "'()+_,-./:=?"),
        ("multipart/form-data; charset=utf-8; BOUNDARY=B", "B"),
        (r'multipart/form-data; boundary="\B\+"', "B+"),
        ("multipart/form-data;boundary=B;charset=utf-8", "B"),
        ("multipart/form-data; boundary=B ; charset=utf-8", "B"),
        (f"multipart/form-data; boundary={'x' * 70}", "x" * 70),
        (r"multipart/form-data; boundary=.*\d[+", r".*\d[+"),
        ('multipart/form-data; charset="x; boundary=other ;"; boundary=B', "B"),
    ],
)
def test_a_boundary_is_read_from_the_content_type(content_type: str, boundary: str) -> None:
    """Quoted or bare, with every character that RFC 2046 allows, and beside other parameters."""
    body = form(part(JPEG), boundary=boundary.encode())
    assert only(body, content_type).data == JPEG


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\r\n", id="a line's end"),
        pytest.param(b"\r\n\r\n", id="an empty line"),
        pytest.param(b"\r\n--", id="a delimiter without its boundary"),
        pytest.param(b"a\r\n--\r\nb", id="dashes on a line"),
        pytest.param(b"a\r\n--Bx\r\nb", id="a longer line"),
        pytest.param(b"a\r\n--B-\r\nb", id="a longer line with one dash"),
        pytest.param(b"a\r\n--B \tx\r\nb", id="a longer line after blanks"),
        pytest.param(b"a--B\r\nb--B--", id="not at the start of a line"),
        pytest.param(b"--B\r\nb", id="at the very start"),
        pytest.param(b"a\n--B\nb\r--B--\r", id="lines that end otherwise"),
        pytest.param(b"a\r\n--b--\r\nb", id="the boundary in small letters"),
        pytest.param(b"a\r", id="half a line's end before the delimiter"),
    ],
)
def test_data_may_look_like_a_delimiter(data: bytes) -> None:
    """Only a line's end, two dashes and the boundary, followed by dashes or by the line's end, ends a part."""
    assert parse(form(part(data), part(b"second")), TYPE, max_parts=2) == [
        Part("file", "cat.png", data),
        Part("file", "cat.png", b"second"),
    ]


def test_blanks_after_a_delimiter_belong_to_it() -> None:
    """RFC 2046 calls it transport padding."""
    body = form(part(b"1"), part(b"2")).replace(b"--B\r\n", b"--B \t \r\n")
    assert [each.data for each in parse(body, TYPE, max_parts=2)] == [b"1", b"2"]


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"For old readers.\r\n", b"--Bx\r\n", b"a\r\n--Bx\r\n"])
@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"--B\r\nnonsense", b"\r\n--B\r\nnonsense"])
def test_what_stands_before_and_behind_is_ignored(preamble: bytes, epilogue: bytes) -> None:
    """Preamble and epilogue are nobody's business, even where they look like a delimiter."""
    assert only(preamble + form(part(JPEG)) + epilogue).data == JPEG


def test_the_last_line_needs_no_end() -> None:
    """Some clients leave the last CRLF away."""
    assert only(form(part(JPEG)).removesuffix(b"\r\n")).data == JPEG


def test_a_form_may_be_empty() -> None:
    """FormData without a field is its last delimiter alone."""
    assert parse(b"--B--\r\n", TYPE, max_parts=1) == []


# What is refused.


@pytest.mark.parametrize(
    ("content_type", "reason"),
    [
        ("multipart/form-data", "names no boundary"),
        ("multipart/form-data; boundary=", "names no boundary"),
        ('multipart/form-data; boundary=""', "names no boundary"),
        ("multipart/form-data; xboundary=B", "names no boundary"),
        (f"multipart/form-data; boundary={'x' * 71}", "boundary has 71 characters, over 70"),
        (f'multipart/form-data; boundary="{"x" * 71}"', "boundary has 71 characters, over 70"),
        ("multipart/form-data; boundary=Bär", "is not ASCII"),
    ],
)
def test_a_form_without_a_boundary_is_refused(content_type: str, reason: str) -> None:
    """There is no telling where its parts begin."""
    with pytest.raises(MalformedFormError, match=rf"cannot be read: its .*{reason}\. Send it again\."):
        parse(form(part(JPEG)), content_type, max_parts=1)


WHOLE = form(part(b"data"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "ends before its last boundary", id="nothing"),
        pytest.param(b"--", "ends before its last boundary", id="dashes"),
        pytest.param(b"--B", "ends before its last boundary", id="half a delimiter"),
        pytest.param(JPEG, "ends before its last boundary", id="no form"),
        pytest.param(b"x" + b"--B--", "ends before its last boundary", id="not at the start of a line"),
        pytest.param(WHOLE.replace(b"B", b"C"), "ends before its last boundary", id="another boundary"),
        pytest.param(WHOLE.replace(b"\r\n", b"\n"), "ends before its last boundary", id="lines end in LF"),
        pytest.param(WHOLE.replace(b"\r\n\r\n", b"\n\n"), "no end of its header", id="its header ends in LF"),
        pytest.param(WHOLE.removesuffix(b"--B--\r\n"), "ends before its last boundary", id="no last boundary"),
        pytest.param(
            WHOLE.removesuffix(b"--\r\n"), "ends before its last boundary", id="cut in its last boundary"
        ),
        pytest.param(WHOLE.removesuffix(b"--\r\n") + b"\r\n", "no end of its header", id="not the last"),
        pytest.param(b"--B\r\n" + FILE, "no end of its header", id="cut in a header"),
        pytest.param(form(part(b"x", b"Content-Type: image/png")), "no Content-Disposition", id="no name"),
        pytest.param(form(part(b"x", b"")), "no Content-Disposition", id="no header"),
        pytest.param(form(b"\r\nx"), "no Content-Disposition", id="an empty header"),
        pytest.param(
            form(part(b"x", b'Content-Disposition: form-data; filename="a"')), "no Content-D", id="no name="
        ),
        pytest.param(
            form(part(b"x", b'Content-Disposition: attachment; name="a"')), "no Content-D", id="no form-data"
        ),
        pytest.param(
            form(part(b"x", b'X-Content-Disposition: form-data; name="a"')), "no Content-D", id="another"
        ),
    ],
)
def test_a_broken_form_is_refused(body: bytes, reason: str) -> None:
    """Each way to be broken has its own sentence."""
    with pytest.raises(MalformedFormError, match=rf"cannot be read: .*{reason}"):
        parse(body, TYPE, max_parts=MANY)


def test_a_header_has_a_limit() -> None:
    """8,192 bytes with the empty line behind it; one more is refused."""
    fits = FILE + b"\r\nX: " + b"x" * (8_192 - len(FILE) - len(b"\r\nX: \r\n\r\n"))
    assert only(form(part(JPEG, fits))).data == JPEG
    with pytest.raises(MalformedFormError, match="a part has no end of its header"):
        parse(form(part(JPEG, fits + b"x")), TYPE, max_parts=1)


def test_a_form_has_as_many_parts_as_it_may() -> None:
    """The next one is refused, and its neighbours behind it are not even looked at."""
    assert len(parse(form(*[part(b"x")] * 3), TYPE, max_parts=3)) == 3
    with pytest.raises(TooManyFilesError, match=r"more than 3 parts\. Send fewer"):
        parse(form(*[part(b"x")] * 4).removesuffix(b"--B--\r\n") + b"--B\r\nbroken", TYPE, max_parts=3)


# Whatever comes.

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)
BOUNDARIES = st.text(string.ascii_letters + string.digits + "'()+_,-./:=? ", min_size=1, max_size=70).filter(
    lambda boundary: not boundary.endswith(" ")
)


@st.composite
def forms(draw: st.DrawFn, names: st.SearchStrategy[str] = TEXTS) -> tuple[str, list[Part]]:
    """A boundary, and parts whose data comes as close to it as it may."""
    boundary = draw(BOUNDARIES)
    start = f"\r\n--{boundary[:-1]}".encode()
    pieces = st.one_of(st.binary(max_size=20), st.sampled_from([b"\r\n", b"--", b"\r\n--", b"\r", b"\n", start]))
    data = st.lists(pieces, max_size=6).map(b"".join).filter(lambda data: f"--{boundary}".encode() not in data)
    parts = st.builds(Part, names, st.none() | names, data)
    return boundary, draw(st.lists(parts, max_size=4))


@given(forms())
def test_every_form_comes_back_as_it_was(written: tuple[str, list[Part]]) -> None:
    """Any names, any bytes, any boundary that the bytes do not contain."""
    boundary, parts = written
    content_type = f'multipart/form-data; boundary="{boundary}"'
    assert parse(encode(parts, boundary), content_type, max_parts=4) == parts


SYNTAX = (b"--B", b"--B--", b"\r\n", b"\r\n\r\n", b"\n", b"--", b" ", b"\\", b'"', b"; name=", b'; filename="')
LINES = (FILE, b"Content-Disposition: form-data", b"\r\n--B\r\n" + part(b""), b"\r\n--B--\r\n")
FRAGMENTS = st.one_of(st.binary(max_size=6), st.sampled_from(SYNTAX), st.sampled_from(LINES))


@settings(max_examples=300)
@given(
    body=st.lists(FRAGMENTS, max_size=12).map(b"".join),
    content_type=st.just(TYPE) | st.text(max_size=30).map(lambda text: f"{TYPE[:-1]}{text}"),
    max_parts=st.integers(0, 3),
)
@example(body=b"x--B--", content_type=TYPE, max_parts=1)
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str, max_parts: int) -> None:
    """Never another error, and never more parts than allowed."""
    try:
        parts = parse(body, content_type, max_parts=max_parts)
    except (MalformedFormError, TooManyFilesError):
        return
    assert len(parts) <= max_parts
    assert all(each.data in body for each in parts)


async def _read_by_starlette(body: bytes, content_type: str) -> list[Part]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    read = await MultiPartParser(Headers({"content-type": content_type}), stream()).parse()
    found = []
    for name, value in read.multi_items():
        if isinstance(value, UploadFile):
            found.append(Part(name, value.filename, await value.read()))
        else:
            found.append(Part(name, None, value.encode()))
    await read.close()
    return found


@settings(max_examples=60)
@given(
    forms(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters='\\"'), max_size=9))
)
def test_starlette_reads_the_same(written: tuple[str, list[Part]]) -> None:
    """On well-formed forms the framework's own parser finds what this one finds."""
    boundary, parts = written
    assume(all(each.filename is not None or each.data.isascii() for each in parts))  # a text is decoded there
    body, content_type = encode(parts, boundary), f'multipart/form-data; boundary="{boundary}"'
    assert parse(body, content_type, max_parts=4) == asyncio.run(_read_by_starlette(body, content_type))


# What wants to take long. A parser whose time grew with the square of the length would not come to an end here.

LONG = 200_000
HEAD = 8_000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\n--Bx" * 999, id="longer lines"),
        pytest.param(b"\r\n--" * (LONG // 4), id="lines of dashes"),
        pytest.param(b"\r" * LONG, id="half line ends"),
        pytest.param(b"\r\n--B" + b" " * LONG, id="blanks behind a delimiter"),
        pytest.param((b"\r\n--B" + b" " * 1_000 + b"x") * (LONG // 1_000), id="blanks behind many delimiters"),
    ],
)
def test_data_of_near_delimiters_is_read_in_one_pass(data: bytes) -> None:
    """Each byte is looked at a fixed number of times."""
    assert only(form(part(data + b"!"))).data == data + b"!"


def test_too_many_lines_that_begin_with_the_boundary_are_refused() -> None:
    """RFC 2046 forbids them, and 20 MB of them would hold the event loop for a second."""
    with pytest.raises(MalformedFormError, match="the beginning of too many lines"):
        parse(form(part(b"\r\n--Bx" * 1_000)), TYPE, max_parts=4)


def test_a_boundary_that_repeats_itself_is_found_in_one_pass() -> None:
    """The search does not begin again at each byte of a long run."""
    boundary = "-" * 69 + "x"
    data = (b"\r\n" + b"-" * 1_000) * (LONG // 1_000)
    content_type = f"multipart/form-data; boundary={boundary}"
    assert only(form(part(data), boundary=boundary.encode()), content_type).data == data


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(b";name=" * (HEAD // 6), id="names without a value"),
        pytest.param(b';name="' * (HEAD // 7), id="quotes that are opened again and again"),
        pytest.param(b';name="' + b"\\" * HEAD, id="backslashes"),
        pytest.param(b';name="' + b'\\"' * (HEAD // 2), id="escaped quotes without an end"),
        pytest.param(b';name="\\' * (HEAD // 8), id="quotes behind backslashes"),
        pytest.param(b"; " * (HEAD // 2), id="semicolons and blanks"),
        pytest.param(b";" + b" \t" * (HEAD // 2), id="blanks"),
    ],
)
def test_a_hostile_header_costs_what_its_length_costs(parameters: bytes) -> None:
    """No expression here tries the same place in more than one way; the header's end is found or missed once."""
    head = b'Content-Disposition: form-data; name="file"' + parameters
    parts = parse(form(*[part(b"x", head)] * 8), TYPE, max_parts=8)
    assert [each.data for each in parts] == [b"x"] * 8
    assert all(re.fullmatch(r'(file|[";name=\\ ]*)', each.name) for each in parts)


@given(st.text('"\\ab').map(str.encode))
def test_what_a_sender_escapes_comes_back(name: bytes) -> None:
    """Whatever quotes and backslashes are in it."""
    escaped = name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    head = b'Content-Disposition: form-data; name="' + escaped + b'"; filename=x'
    assert parse(form(part(b"x", head)), TYPE, max_parts=1)[0].name == name.decode()


def test_what_stands_in_quotes_is_no_parameter() -> None:
    """A value may hold anything, another name with its equals sign included."""
    head = b'Content-Disposition: form-data; name="file"; more="; name=other "; filename="cat.jpg"\r\n\r\n'
    assert only(form(head + JPEG), TYPE) == Part("file", "cat.jpg", JPEG)
