"""A checkpoint as bytes: the safetensors format with Glimpse's three texts and its digests.

What the numbers mean is the business of `models.checkpoint`; here a file is whole or it is refused.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from models.errors import HeaderError, TextDigestError

_METADATA_KEYS = {"format", "glimpse", "glimpse_sha256"}
_DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
"""All that a checkpoint holds: weights, batch-norm counters, golden pictures."""
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format itself
_OTHER_KINDS = (
    (b"PK\x03\x04", "a ZIP archive, as torch.save and numpy.savez write"),
    (b"\x80", "a pickle"),
    (b"\x08", "an ONNX file, as `training export` writes"),
    (b"\x89HDF", "an HDF5 file, as Keras writes"),
    (b"\x93NUMPY", "an array of NumPy's"),
    (b"version ", "a pointer of Git LFS, which `git lfs pull` replaces with the file"),
    (b"<", "an HTML page, as a link to a file's page gives"),
)
"""What people take for a checkpoint, by the first bytes; told only of files that announce no possible header."""
_MAX_BYTES = 2**32  # 400 times the network of `accurate`; source: choice


def encode(tensors: Mapping[str, Tensor], text: str) -> bytes:
    """Write the safetensors format: 8 bytes of length, that much JSON, then the tensors one after another.

    safetensors' own writer puts the metadata in a random order; here equal content gives equal bytes.

    Args:
        tensors: on the CPU, of the dtypes float32, int64 and uint8.
        text: about the model; its digest goes beside it.
    """
    metadata = {"format": "pt", "glimpse": text, "glimpse_sha256": _text_digest(text)}
    header: dict[str, object] = {"__metadata__": metadata}
    body = bytearray()
    # widest numbers first, as the format's own writer does, so that each tensor is aligned in a mapped file
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        data = _bytes(tensors[name])
        header[name] = {
            "dtype": _DTYPES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + bytes(body)


def read_bytes(file: BinaryIO) -> bytes:
    """Read a whole file if it is as long as its header says; another one only as far as its header.

    A name may lead to anything, and a live service asks this on a reload: not a terabyte comes into memory.

    Raises:
        HeaderError: it is cut off, continued, damaged, too large, or not Glimpse's.
    """
    size = os.fstat(file.fileno()).st_size
    if size > _MAX_BYTES:
        raise HeaderError(
            f"the file has {size:,} bytes, and no checkpoint has more than {_MAX_BYTES:,}. Check the path."
        )
    start = file.read(8)
    head = file.read(_header_length(start, size))
    header = _parse_header(head)
    announced = len(start) + len(head) + _tensor_bytes(header)
    if size != announced:
        raise HeaderError(
            f"the tensors cannot be read: the file has {size:,} bytes, and its header announces {announced:,}. It "
            "was cut off, or something was added; copy it again."
        )
    file.seek(0)
    return file.read(size)


def read_text(data: bytes) -> str:
    """Read the text about the model out of the header, and compare it with its digest.

    Raises:
        HeaderError: the file is cut off, damaged, or not Glimpse's.
        TextDigestError: the text is not the one that was written.
    """
    metadata = _parse_header(data[8 : 8 + _header_length(data[:8], len(data))])["__metadata__"]
    if not isinstance(metadata, dict) or set(metadata) != _METADATA_KEYS or metadata["format"] != "pt":
        raise HeaderError(
            f"the header's metadata must be {sorted(_METADATA_KEYS)} with format 'pt', and is "
            f"{sorted(metadata) if isinstance(metadata, dict) else metadata!r}. The file is damaged or was "
            "written by another program; copy it again from where it was made."
        )
    if not all(isinstance(value, str) for value in metadata.values()):
        raise HeaderError(
            "the header's metadata holds something else than text. The file is damaged; copy it again."
        )
    text: str = metadata["glimpse"]
    if _text_digest(text) != metadata["glimpse_sha256"]:
        raise TextDigestError(
            "the text about the model does not match its digest: labels, input or another field was "
            "changed after the file was written. Restore the original file."
        )
    return text


def _header_length(start: bytes, size: int) -> int:
    """Read the header's length from the first 8 bytes of a file of some size."""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
        kind = next((kind for magic, kind in _OTHER_KINDS if start.startswith(magic)), None)
        if kind is None and start.isascii() and (words := start.decode()).isprintable():
            kind = f"a text that begins with {words!r}"
        if kind and length > _MAX_HEADER_BYTES:
            raise HeaderError(
                f"the file of {size:,} bytes is {kind}, and no checkpoint. Name the .safetensors file that "
                "`python -m training train` made."
            )
        raise HeaderError(
            f"the file of {size:,} bytes is not a whole safetensors file: it announces a header of "
            f"{length:,} bytes. It was cut off or is something else; copy it again."
        )
    return length


def _parse_header(head: bytes) -> dict[str, Any]:
    """Read the header's JSON, which has metadata."""
    try:
        header: dict[str, Any] = json.loads(head)
        header["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HeaderError(
            "the header is not that of a Glimpse checkpoint: no readable metadata. The file is damaged "
            "or was written by another program; use a file that `python -m training train` made."
        ) from error
    return header


def _tensor_bytes(header: Mapping[str, Any]) -> int:
    """Count the bytes of all tensors, by the places that a header gives them."""
    try:
        return max((int(header[name]["data_offsets"][1]) for name in header.keys() - {"__metadata__"}), default=0)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise HeaderError(
            "the tensors cannot be read: the header does not place each. The file is damaged; copy it again."
        ) from error


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """Read all tensors, or none.

    Raises:
        HeaderError: their sizes and places do not fit the file.
    """
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise HeaderError(
            f"the tensors cannot be read: {error}. The file of {len(data):,} bytes is cut off or its "
            "header is damaged; copy it again."
        ) from error


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the tensors in order of their names: name, dtype, shape and bytes of each."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _text_digest(text: str) -> str:
    # a damaged file may hold half a character, which plain UTF-8 cannot write
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest_of(data: bytes) -> str:
    """Return "sha256:" and the hexadecimal digest of a file's bytes, as `sha256sum` prints it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
