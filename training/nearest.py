"""Name the word that was meant by one that is not known."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

_NO_CHOICE = re.compile(r"(?P<typed>'.*') is not one of (?P<choices>'.*')\.?")
"""What typer says of an option that takes one of a few words."""
_LEAST_LIKENESS = 0.7
"""Of a word that may have been meant. Source: choice; swapped letters are above, gpu and cpu below."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Find the known word that is most like another one; None where none is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=_LEAST_LIKENESS)), None)


def with_nearest_choice(sentence: str) -> str:
    """Add the word that was meant to typer's sentence about an option that takes one of a few; keep any other."""
    found = _NO_CHOICE.search(sentence)
    if found is None:
        return sentence
    close = nearest(found["typed"].strip("'"), re.findall(r"'([^']*)'", found["choices"]))
    return found[0] if close is None else f"{found[0].rstrip('.')}. Did you mean {close!r}?"


def nearest_data(source: str, *, words: Iterable[str]) -> str | None:
    """Find what `--data` was meant to name; None where nothing has a name like it.

    Args:
        source: what was typed, and names nothing.
        words: that may be typed instead of a path.

    Returns:
        One of the words, or a folder or an archive that lies where the first part of the path that is not there
        was looked for.
    """
    path = Path(source)
    while path != path.parent and not path.parent.is_dir():
        path = path.parent
    try:
        beside = [entry for entry in path.parent.iterdir() if entry.suffix.lower() == ".npz" or entry.is_dir()]
    except OSError:  # it cannot be looked into
        beside = []
    places = {entry.name: str(entry) for entry in beside}
    if path.name == source:
        places |= {word: word for word in words}
    close = nearest(path.name, places)
    return None if close is None else places[close]
