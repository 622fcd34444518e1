"""What a training starts from: its names."""

import os

import pytest

from training.dataset import to_unicode


@pytest.mark.parametrize(
    ("name", "text"), [(b"caf\xe9", "caf?"), ("žába 猫".encode(), "žába 猫"), (b"\xff\xfe", "??")]
)
def test_a_name_becomes_text(name: bytes, text: str) -> None:
    """Bytes that are no UTF-8 become question marks, all else stays."""
    assert to_unicode(os.fsdecode(name)) == text
