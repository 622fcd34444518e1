"""Files that may be pictures: found in folders, and read no further than needed.

What is hidden, and what other programs leave in folders, is nobody's picture and passed over.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from models.pictures import recognise

_OF_OTHER_PROGRAMS = {"@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
"""Folders of thumbnails, deleted files and attributes: Synology's systems, archives from macOS, and drives of
Windows and Linux have them."""


def picture_bytes(path: Path) -> bytes:
    """Read the file of a picture; a film of gigabytes is recognised by its beginning, and not read whole.

    Raises:
        OSError: it cannot be read.
        UnsupportedFormatError: it is no picture of a format that is read.
    """
    with path.open("rb") as file:
        head = file.read(64)
        if head:  # what is empty is told by whoever decodes it
            recognise(head)
        return head + file.read()


def folders_in(root: Path) -> list[Path]:
    """List the folders right in a folder, sorted, but those that are hidden."""
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not is_hidden(entry, below=root))


def files_below(folder: Path) -> Sequence[Path]:
    """List all files below a folder, sorted, but those that are hidden."""
    return sorted(path for path in entries_below(folder) if path.is_file())


def entries_below(folder: Path, on_failure: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield all files, folders and links below a folder, but those that are hidden; links are not followed.

    Args:
        folder: to look through.
        on_failure: told why a folder in it cannot be opened.
    """
    for top, folders, files in os.walk(folder, onerror=on_failure):
        folders[:] = [name for name in folders if not _is_hidden_name(name)]
        yield from (Path(top, name) for name in (*folders, *files) if not _is_hidden_name(name))


def is_hidden(path: Path, *, below: Path) -> bool:
    """Whether a file, or a folder on the way to it, is hidden."""
    return any(_is_hidden_name(part) for part in path.relative_to(below).parts)


def _is_hidden_name(name: str) -> bool:
    """Whether it belongs to other programs: thumbnails, bins and notes."""
    return name.startswith(".") or name in _OF_OTHER_PROGRAMS
