"""What an operator may write as an origin, and what is said of anything else."""

import re

import pytest

from app.origins import to_origins


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://app.example", "https://app.example"),
        ("https://app.example,http://localhost:3000", "https://app.example, http://localhost:3000"),
        ("  http://b.example ,\thttp://a.example\n", "http://b.example, http://a.example"),
        ("HTTPS://App.Example", "https://app.example"),
        ("https://app.example:443, http://app.example:80", "https://app.example, http://app.example"),
        ("https://app.example:80, http://app.example:0443", "https://app.example:80, http://app.example:443"),
        ("https://a.example:65535", "https://a.example:65535"),
        ("https://a.example, https://A.example:443, https://a.example,", "https://a.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[0:0:0:0:0:0:0:1]:3000, http://[2001:DB8::A]", "http://[::1]:3000, http://[2001:db8::a]"),
        ("capacitor://localhost, chrome-extension://abcd", "capacitor://localhost, chrome-extension://abcd"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("*", "*"),
        (" * , *", "*"),
    ],
)
def test_origins_are_written_as_browsers_write_them(text: str, origins: str) -> None:
    """Small letters, no port that the scheme has anyway, each once; and written so they stay as they are."""
    assert to_origins(text) == origins
    assert to_origins(origins) == origins


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "name an origin, such as https://app.example, or leave it out"),
        (" ,", "name an origin, such as https://app.example, or leave it out"),
        ("https://a.example/", "leave the slash at the end out of 'https://a.example/'; write https://a.example"),
        ("https://a.example:8/b/", "leave the path out of 'https://a.example:8/b/'; write https://a.example:8"),
        ("https://a.example?b", "leave the path out of 'https://a.example?b'; write https://a.example"),
        ("a.example", "'a.example' has no scheme; write https://a.example or http://a.example"),
        (
            "localhost:3000",
            "'localhost:3000' has no scheme; write https://localhost:3000 or http://localhost:3000",
        ),
        ("htps://a.example:8", "no browser knows the scheme of 'htps://a.example:8'; write https://a.example:8"),
        ("null", "null is the origin of files and sandboxed pages, whoever wrote them; only * lets them in"),
        ("*, https://a.example", "* is every origin: leave out either it or the others"),
        ("https://*.example", "'https://*.example' has a *, which stands alone for every origin; name each one"),
        (
            "https://a.example https://b.example",
            "'https://a.example https://b.example' is more than one; put a comma between two origins",
        ),
        ("http://a;http://b", "'http://a;http://b' is more than one; put a comma between two origins"),
        (
            "https://bücher.example",
            "'https://bücher.example' is not in ASCII; write the host as browsers send it, xn--…",
        ),
        ("http://a:0", "'http://a:0' has no port that there is; one is a number from 1 to 65535"),
        ("http://a:65536", "'http://a:65536' has no port that there is; one is a number from 1 to 65535"),
        (
            "http://[::ffff:127.0.0.1]:3000",
            "'http://[::ffff:127.0.0.1]:3000' has an IPv4 address between [ and ]; browsers write all of it in "
            "hexadecimal",
        ),
        ("http://[:::]", "'http://[:::]' has no IPv6 address between [ and ]; write http://[::1]:3000, say"),
    ],
)
def test_what_is_often_meant_is_told(text: str, sentence: str) -> None:
    """The sentence names what was written, and what to write."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        to_origins(text)


@pytest.mark.parametrize(
    "text",
    ["https://", "://a", "https:/a.example", "http://a:", "http://a:b", "https://me@a", "http://[::g]", '"a"'],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    """It would never be the origin of a page."""
    with pytest.raises(
        ValueError, match=r"is no origin; write https://app\.example or http://localhost:3000, say$"
    ):
        to_origins(text)


def test_a_word_of_thousands_of_letters_is_refused_in_a_short_sentence() -> None:
    """A number of so many digits Python itself would not read; a host of the greatest length is one."""
    with pytest.raises(ValueError, match=r"^'http://a:9{31}'… has 10009 characters, and no origin more than 267$"):
        to_origins(f"http://a:{'9' * 10_000}")
    longest = f"https://{'a' * 253}:65535"
    assert to_origins(longest) == longest
