"""A checkpoint as bytes: the safetensors format with Glimpse's three texts and its digests.

What the numbers mean is the business of `models.checkpoint`; here a file is whole or it is refused.
"""

import hashlib
import json
from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from models.errors import HeaderError, TextDigestError

_METADATA_KEYS = {"format", "glimpse", "glimpse_sha256"}
_DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
"""All that a checkpoint holds: weights, batch-norm counters, golden pictures."""
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format itself


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


def read_text(data: bytes) -> str:
    """Read the text about the model out of the header, and compare it with its digest.

    Raises:
        HeaderError: the file is cut off, damaged, or not Glimpse's.
        TextDigestError: the text is not the one that was written.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise HeaderError(
            f"the file of {len(data):,} bytes is not a whole safetensors file: it announces a header of "
            f"{length:,} bytes. It was cut off or is something else; copy it again."
        )
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = header["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HeaderError(
            "the header is not that of a Glimpse checkpoint: no readable metadata. The file is damaged "
            "or was written by another program; use a file that `python -m training train` made."
        ) from error
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
    return sha256(text.encode("utf-8", "surrogatepass"))


def sha256(data: bytes) -> str:
    """Hexadecimal digest, as `sha256sum` prints it."""
    return hashlib.sha256(data).hexdigest()
