"""Which file is meant, and which one is there."""

from pathlib import Path

import pytest

from app.errors import AnotherCheckpointError
from app.pinning import require, to_digest
from models.checkpoint import load

DIGITS = "0123456789abcdef" * 4


def test_the_file_that_is_meant_is_taken(checkpoint_path: Path) -> None:
    """However its digest is written; and any file where none is named."""
    checkpoint = load(checkpoint_path)
    for digest in (None, checkpoint.digest, checkpoint.digest.removeprefix("sha256:").upper()):
        require(digest, checkpoint, checkpoint_path)


def test_another_file_is_refused_with_both_digests(checkpoint_path: Path) -> None:
    """Whoever reads it sees which one lies there, and which one was named."""
    checkpoint = load(checkpoint_path)
    with pytest.raises(
        AnotherCheckpointError,
        match=f"a.safetensors: it is {checkpoint.digest}, and sha256:{DIGITS} was asked for",
    ):
        require(DIGITS, checkpoint, Path("a.safetensors"))


@pytest.mark.parametrize("text", [DIGITS, f"sha256:{DIGITS}", DIGITS.upper()])
def test_a_digest_may_be_written_as_sha256sum_prints_it(text: str) -> None:
    """With or without the prefix that the service shows."""
    assert to_digest(text) == f"sha256:{DIGITS}"


@pytest.mark.parametrize(
    "text", ["", "sha256:", DIGITS[1:], f"{DIGITS}0", f"md5:{DIGITS}", f"{DIGITS}\n", "g" * 64]
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    """A part of one would match by chance, or never."""
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        to_digest(text)
