"""The bytes of pictures out of a body, however they were sent."""

from collections.abc import Sequence

from app.errors import MissingFileError, TooManyFilesError, UnsupportedMediaTypeError
from app.wire.headers import shortened
from app.wire.multipart import FORM, Part, parse

RAW = "application/octet-stream"
_MAX_TEXTS = 8
"""Most parts of a form beside its files; nobody reads them."""
_SHOWN_FIELDS = 8
_MOST_OF_A_NAME = 255
"""Most bytes of a file's name on most systems."""


def require_unpacked(content_encoding: str | None) -> None:
    """Do nothing for a body that was sent as it is; others are not unpacked here.

    Raises:
        UnsupportedMediaTypeError: it has another Content-Encoding than identity.
    """
    if content_encoding is not None and content_encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaTypeError(
            f"The body's Content-Encoding is {shortened(content_encoding)}; only identity is read. Send the body "
            "as it is: pictures are packed already."
        )


def picture_of(body: bytes, content_type: str | None) -> bytes:
    """Return the bytes of the one picture of a request; no type at all counts as raw.

    Raises:
        RequestError: another Content-Type, a broken form, or not one file in it.
    """
    content_type = RAW if content_type is None else content_type
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == FORM:
        return _single_file(parse(body, content_type, max_parts=2 * _MAX_TEXTS))
    if media_type == RAW or media_type.startswith("image/"):
        return body
    raise UnsupportedMediaTypeError(
        f"The body's Content-Type is {shortened(media_type)}; {FORM} with a field `file`, image/* or {RAW} is "
        "read. With curl: -F file=@cat.jpg, or --data-binary @cat.jpg -H 'Content-Type: image/jpeg'."
    )


def pictures_of(body: bytes, content_type: str | None, *, max_files: int) -> list[Part]:
    """Return all files of a form's field `files`, in their order.

    Raises:
        RequestError: no form, a broken one, no file in it, too many, or a text where a file belongs.
    """
    content_type = content_type or ""
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaTypeError(
            f"The body's Content-Type is {shortened(content_type)}; {FORM} with fields `files` is read. "
            "With curl: -F files=@cat.jpg -F files=@dog.jpg"
        )
    parts = parse(body, content_type, max_parts=max_files + _MAX_TEXTS)
    found = [part for part in parts if part.name == "files"]
    files = [part for part in found if part.filename is not None]
    if len(files) > max_files:
        raise TooManyFilesError(
            f"The form has {len(files)} files; the limit is {max_files}. Send fewer in one request, or raise "
            "GLIMPSE_MAX_BATCH_FILES."
        )
    if not files or len(files) < len(found):  # left out, a text would shift the results
        raise MissingFileError(
            f"Pictures, each with a filename, are expected in the form's field `files`; received: "
            f"{_received(found)} ({_fields(parts)}). {_other_route(parts, 'file', '/predict')}"
            f"{_advice(found, 'files=@cat.jpg -F files=@dog.jpg')}"
        )
    return files


def _single_file(parts: Sequence[Part]) -> bytes:
    found = [part for part in parts if part.name == "file"]
    files = [part for part in found if part.filename is not None]
    if len(files) == 1 == len(found):
        return files[0].data
    raise MissingFileError(
        f"One picture is expected in the form's field `file`; received: {_received(found)} ({_fields(parts)}). "
        f"{_other_route(parts, 'files', '/predict/batch')}{_advice(found, 'file=@cat.jpg')}"
    )


def _received(found: Sequence[Part]) -> str:
    files = sum(part.filename is not None for part in found)
    return f"{files} files and {len(found) - files} texts in it" if found else "none"


def _other_route(parts: Sequence[Part], field: str, route: str) -> str:
    """Name the route that takes a field which came in place of the one that is expected here."""
    return f"POST {route} takes `{field}`. " if any(part.name == field for part in parts) else ""


def _advice(found: Sequence[Part], option: str) -> str:
    """Show curl's option, and say of a text why it is none: without an @ curl sends the name of a file alone."""
    text = next((part.data for part in found if part.filename is None), None)
    if text is None:
        reason = ""
    elif _may_be_name(text):
        reason = f"{shortened(text.decode())} came as a text: curl sends a file if an @ stands before its name. "
    else:
        reason = "A part without a filename is a text: give it one. "
    return f"{reason}With curl: -F {option}"


def _may_be_name(data: bytes) -> bool:
    """Tell the name of a file from its content: in a picture of so few bytes there are some that no name has."""
    text = data[:_MOST_OF_A_NAME].decode("utf-8", "ignore")
    return bool(text) and text.encode() == data and text.isprintable()


def _fields(parts: Sequence[Part]) -> str:
    names = sorted({part.name for part in parts})
    shown = ", ".join(map(shortened, names[:_SHOWN_FIELDS])) or "none"
    return f"fields: {shown}" + (f" and {len(names) - _SHOWN_FIELDS} more" if len(names) > _SHOWN_FIELDS else "")
