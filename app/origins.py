"""The origins whose pages may call the service, as an operator writes them and as browsers do."""

import difflib
import ipaddress
import re

EVERY = "*"
_USUAL_PORTS = {"http": 80, "https": 443}
"""Browsers leave them out."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST_AND_PORT = re.compile(r"([a-z0-9_][a-z0-9_.-]*|\[[0-9a-f:.]+\])(?::([0-9]+))?")
_LAST_PORT = 65_535
_LONGEST = len("https://") + 253 + len(":65535")
"""Characters; the name of a host has 253 at most (RFC 1035)."""


def to_origins(text: str) -> str:
    """Write a list of origins as browsers write them: with these letters the header Origin is compared.

    Args:
        text: `*`, which is every origin; or origins with commas between them.

    Returns:
        The same, each once: scheme and host in small letters, and no port that the scheme has anyway.

    Raises:
        ValueError: there is none, or a part of it is none; it says what to write.
    """
    origins = list(dict.fromkeys(_to_origin(word.strip()) for word in text.split(",") if word.strip()))
    if not origins:
        raise ValueError("name an origin, such as https://app.example, or leave it out")
    if EVERY in origins and len(origins) > 1:
        raise ValueError("* is every origin: leave out either it or the others")
    return ", ".join(origins)


def _to_origin(word: str) -> str:
    if word == EVERY:
        return word
    if len(word) > _LONGEST:
        raise ValueError(f"{word[:40]!r}… has {len(word)} characters, and no origin more than {_LONGEST}")
    _refuse_what_is_often_meant(word)
    scheme, _, rest = word.lower().partition("://")
    found = _HOST_AND_PORT.fullmatch(rest)
    if not (_SCHEME.fullmatch(scheme) and found):
        raise ValueError(f"{word!r} is no origin; write https://app.example or http://localhost:3000, say")
    if scheme not in _USUAL_PORTS and (close := difflib.get_close_matches(scheme, _USUAL_PORTS, n=1)):
        raise ValueError(f"no browser knows the scheme of {word!r}; write {close[0]}://{rest}")
    host, digits = found.groups()
    return f"{scheme}://{_to_host(host, word)}{_to_port(scheme, digits, word)}"


def _refuse_what_is_often_meant(word: str) -> None:
    """Refuse what is no origin, but can be told what to write instead.

    Raises:
        ValueError: it says so.
    """
    if word == "null":
        raise ValueError(
            "null is the origin of files and sandboxed pages, whoever wrote them; only * lets them in"
        )
    if EVERY in word:
        raise ValueError(f"{word!r} has a *, which stands alone for every origin; name each one")
    if re.search(r"[\s;]", word):
        raise ValueError(f"{word!r} is more than one; put a comma between two origins")
    if not word.isascii():
        raise ValueError(f"{word!r} is not in ASCII; write the host as browsers send it, xn--…")
    if _HOST_AND_PORT.fullmatch(word.lower()):
        raise ValueError(f"{word!r} has no scheme; write https://{word} or http://{word}")
    scheme, separator, rest = word.partition("://")
    behind = re.search(r"[/?#].*", rest)
    if separator and behind:
        what = "the slash at the end" if behind[0] == "/" else "the path"
        raise ValueError(f"leave {what} out of {word!r}; write {scheme}://{rest[: behind.start()]}")


def _to_host(host: str, word: str) -> str:
    if not host.startswith("["):
        return host
    if "." in host:
        raise ValueError(f"{word!r} has an IPv4 address between [ and ]; browsers write all of it in hexadecimal")
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    except ValueError as error:
        raise ValueError(f"{word!r} has no IPv6 address between [ and ]; write http://[::1]:3000, say") from error


def _to_port(scheme: str, digits: str | None, word: str) -> str:
    if digits is None:
        return ""
    port = int(digits)
    if not 1 <= port <= _LAST_PORT:
        raise ValueError(f"{word!r} has no port that there is; one is a number from 1 to {_LAST_PORT}")
    return "" if _USUAL_PORTS.get(scheme) == port else f":{port}"
