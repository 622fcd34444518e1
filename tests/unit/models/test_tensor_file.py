"""The bytes of a checkpoint: what is written, and every file that is refused before its meaning counts."""

import dataclasses
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from models import checkpoint, errors
from models.errors import CheckpointError, HeaderError
from models.record import Record
from models.tensor_file import tensors_digest
from tests.forgery import Fields, Tensors, read, refusal, sha256


def _write_header(path: Path, header: bytes, body: bytes = b"") -> None:
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, network: nn.Module, record: Record) -> None:
    """Nothing of the moment, the machine or chance is in the file."""
    digests = {checkpoint.save(tmp_path / f"{i}.safetensors", network, record) for i in range(10)}
    assert len(digests) == 1


def test_the_file_is_plain_safetensors(path: Path) -> None:
    """Another program finds the weights, the golden pictures and the text under their documented names."""
    tensors, metadata = read(path)
    assert {name.split(".")[0] for name in tensors} == {"network", "golden"}
    assert {name for name in tensors if name.startswith("golden")} == {"golden.images", "golden.probabilities"}
    assert set(metadata) == {"format", "glimpse", "glimpse_sha256"}
    assert metadata["format"] == "pt"
    assert metadata["glimpse_sha256"] == sha256(metadata["glimpse"].encode())
    assert json.loads(metadata["glimpse"])["tensors_sha256"] == tensors_digest(tensors)


def test_the_digest_of_tensors_sees_everything() -> None:
    """A name, a dtype, a shape or one byte more gives another digest; the order of the names does not."""
    one, two = torch.zeros(2, 3), torch.ones(3, dtype=torch.int64)
    digest = tensors_digest({"a": one, "b": two})
    text = b"a torch.float32 [2, 3]\n" + bytes(24) + b"b torch.int64 [3]\n" + struct.pack("<3q", 1, 1, 1)
    assert digest == sha256(text) == tensors_digest({"b": two, "a": one})
    others: list[Tensors] = [
        {"a": one, "c": two},
        {"a": one.view(3, 2), "b": two},
        {"a": one.view(torch.int32), "b": two},
        {"a": one - 0.0 * one - torch.eye(2, 3), "b": two},
        {"a": two, "b": one},
        {"a": one},
    ]
    assert len({digest, *map(tensors_digest, others)}) == 1 + len(others)


@pytest.mark.parametrize("length", [0, 4, 7, 8, 100, 0.25, 0.5, 0.9, -1])
def test_a_file_that_was_cut_off_is_refused(path: Path, length: float) -> None:
    """However much is missing, the header gives it away."""
    data = path.read_bytes()
    path.write_bytes(data[: int(length * len(data)) if 0 < length < 1 else int(length)])
    refusal(path, HeaderError, r"(was|is) cut off")


@pytest.mark.parametrize("extra", [b"\0", b"\n", b"more" * 1000])
def test_a_file_with_something_behind_it_is_refused(path: Path, extra: bytes) -> None:
    """Trailing bytes belong to no tensor."""
    path.write_bytes(path.read_bytes() + extra)
    refusal(path, HeaderError, "the tensors cannot be read")


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("zeros", 2**30),
        ("zeros", 2**40),
        ("longer than its header says", 2**30),
        ("longer than its header says", 2**40),
        ("as long as its header says", 2**40),
    ],
)
def test_a_huge_file_is_refused_unread(path: Path, kind: str, size: int) -> None:
    """A sparse file takes no room on the disk; some would not fit into memory, none is looked at to its end."""
    if kind == "zeros":
        path.write_bytes(b"")
    if kind == "as long as its header says":
        _, metadata = read(path)
        head = _header({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}, **metadata)
        path.write_bytes(struct.pack("<Q", len(head)) + head)
        size += 8 + len(head)
    os.truncate(path, size)
    tracemalloc.start()
    try:
        refusal(path, HeaderError, "announces|no readable metadata|no checkpoint has more")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("noise", "not a whole safetensors file"),
        ("pointer", "a pointer of Git LFS"),
        ("text", "a text that begins with '# Glimps', and no checkpoint"),
        ("page", "an HTML page"),
        ("pickle", "a pickle, and no checkpoint"),
        ("array", "an array of NumPy's"),
        ("zip", "a ZIP archive"),
        ("torch", "a ZIP archive"),
        ("onnx", "an ONNX file"),
    ],
)
def test_a_file_of_another_kind_is_refused(path: Path, kind: str, told: str) -> None:
    """What people take for a checkpoint is called by its name; a pickle is never opened."""
    match kind:
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(5000))
        case "pointer":
            path.write_text("version https://git-lfs.github.com/spec/v1\n")
        case "text":
            path.write_text("# Glimpse\n\nTrain a small image classifier.\n")
        case "page":
            path.write_text("<!DOCTYPE html>\n<title>cifar10.safetensors</title>\n")
        case "pickle":
            path.write_bytes(pickle.dumps({"weights": [1.0] * 100}))
        case "array":
            with path.open("wb") as file:
                np.save(file, np.zeros(100))
        case "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("weights", b"\0" * 1000)
        case "torch":
            torch.save({"weights": torch.zeros(10)}, path)
        case "onnx":
            path.write_bytes(b"\x08\x0a\x12\x07pytorch" + bytes(1000))
    refusal(path, HeaderError, f"is {told}")


@pytest.mark.parametrize(
    "change",
    [
        {"format": None},
        {"glimpse": None},
        {"glimpse_sha256": None},
        {"format": "np"},
        {"format": "PT"},
        {"author": "someone"},
        dict.fromkeys(("format", "glimpse", "glimpse_sha256")),
    ],
)
def test_other_metadata_is_refused(path: Path, change: dict[str, str | None]) -> None:
    """Exactly three keys belong there, and the format is pt; a plain safetensors file is not a checkpoint."""
    tensors, metadata = read(path)
    changed = {name: text for name, text in (metadata | change).items() if text is not None}
    path.write_bytes(safetensors.torch.save(tensors, changed or None))
    refusal(path, HeaderError, "metadata")


def _flip_each(path: Path, bits: Iterable[int]) -> list[int]:
    """Load the file once with each of the bits flipped; returns those that were not refused by name."""
    original, unnoticed = path.read_bytes(), []
    for bit in bits:
        data = bytearray(original)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        message = ""
        try:
            checkpoint.load(path)
        except CheckpointError as error:
            message = str(error)
        if not message.startswith(f"{path}: "):
            unnoticed.append(bit)
    return unnoticed


@pytest.mark.parametrize("part", ["length", "header", "anywhere"])
def test_one_flipped_bit_is_never_overlooked(path: Path, part: str) -> None:
    """Every bit of the length, 200 of the header, 300 of the file: each one is refused as a bad checkpoint."""
    header_end = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    choose = np.random.default_rng(20_261_123).integers
    bits = {
        "length": range(64),
        "header": choose(64, 8 * header_end, 200).tolist(),
        "anywhere": choose(0, 8 * path.stat().st_size, 300).tolist(),
    }
    assert _flip_each(path, bits[part]) == []


def test_a_flipped_bit_in_an_emoji_is_a_bad_checkpoint(path: Path, network: nn.Module, record: Record) -> None:
    """A label may be any text; a flip that leaves half a character is refused like any other."""
    checkpoint.save(path, network, dataclasses.replace(record, labels=("🙂", "b", "c")))
    start = 8 * path.read_bytes().index(b"\\\\ud83d")
    assert _flip_each(path, range(start, start + 8 * 14)) == []


GOOD_METADATA = {"format": "pt", "glimpse": "{}", "glimpse_sha256": sha256(b"{}")}


def _header(entries: Fields, **metadata: Any) -> bytes:
    return json.dumps({"__metadata__": GOOD_METADATA | metadata, **entries}).encode()


def _entry(start: int, end: int, *shape: float) -> Fields:
    return {"dtype": "U8", "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"[1, 2]", id="longer list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"__metadata__"', id="text"),
        pytest.param(b"{}", id="no metadata"),
        pytest.param(b"\xff\xfe{}", id="not utf-8"),
        pytest.param(b'{"__metadata__": [1]}', id="metadata is a list"),
        pytest.param(b'{"__metadata__": null}', id="metadata is null"),
        pytest.param(b'{"__metadata__": ' + b"9" * 5000 + b"}", id="5,000 digits"),
        pytest.param(_header({}, glimpse=1), id="text is a number"),
        pytest.param(_header({}, glimpse=["{}"]), id="text is a list"),
        pytest.param(_header({}, glimpse_sha256=None), id="digest is null"),
        pytest.param(_header({}, format={}), id="format is an object"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b'{"__metadata__": ' + b'{"a":' * 100_000, id="nested metadata"),
    ],
)
def test_a_hostile_header_is_refused(tmp_path: Path, header: bytes) -> None:
    """A header of the announced length that holds something else is a header error."""
    _write_header(tmp_path / "a.safetensors", header)
    refusal(tmp_path / "a.safetensors", HeaderError, "the header")


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    """JSON can spell what no text can hold; its digest is computed nevertheless, and does not fit."""
    _write_header(tmp_path / "a.safetensors", _header({}, glimpse="\ud800"))
    refusal(tmp_path / "a.safetensors", errors.TextDigestError, "does not match its digest")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**32, 100_000_001])
def test_a_hostile_length_is_refused(tmp_path: Path, length: int) -> None:
    """A header longer than the file is not looked for, whatever the number."""
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + _header({}))
    refusal(tmp_path / "a.safetensors", HeaderError, f"announces a header of {length:,} bytes")


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param({"a": _entry(0, 4, 4), "b": _entry(2, 6, 4), "c": _entry(6, 8, 2)}, id="overlapping"),
        pytest.param({"a": _entry(0, 4, 4), "b": _entry(6, 8, 2)}, id="a gap"),
        pytest.param({"a": _entry(0, 9, 9)}, id="beyond the end"),
        pytest.param({"a": _entry(0, 4, 4)}, id="bytes of no tensor"),
        pytest.param({"a": _entry(4, 0, 4), "b": _entry(4, 8, 4)}, id="backwards"),
        pytest.param({"a": _entry(0, 8, 7)}, id="another size than the shape"),
        pytest.param({"a": _entry(0, 8, -8)}, id="negative shape"),
        pytest.param({"a": _entry(0, 8, 2**70)}, id="huge shape"),
        pytest.param({"a": _entry(0, 8, 2**63, 2)}, id="overflowing shape"),
        pytest.param({"a": _entry(0, 0, 0, 2**62, 2**62), "b": _entry(0, 8, 8)}, id="empty and huge"),
        pytest.param({"a": _entry(0, 2**64, 8)}, id="huge offset"),
        pytest.param({"a": _entry(0, 8, 8.5)}, id="fraction"),
        pytest.param({"a": _entry(0, 8, 8) | {"dtype": "F128"}}, id="unknown dtype"),
        pytest.param({"a": _entry(0, 8, 16) | {"dtype": "F4"}}, id="dtype that torch lacks"),
        pytest.param({"a": 3}, id="no entry"),
    ],
)
def test_hostile_offsets_and_shapes_are_refused(path: Path, entries: Fields) -> None:
    """The text is intact, so it is the tensors that are refused, before one of them is made."""
    _, metadata = read(path)
    _write_header(path, _header(entries, **metadata), bytes(8))
    refusal(path, HeaderError, "the tensors cannot be read")
