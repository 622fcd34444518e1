"""What a training starts from: its names and classes."""

import os

import pytest
import torch

from training.data.dataset import MOST_CLASSES, Dataset, Split, to_unicode
from training.errors import DataError


@pytest.mark.parametrize(
    ("name", "text"), [(b"caf\xe9", "caf?"), ("žába 猫".encode(), "žába 猫"), (b"\xff\xfe", "??")]
)
def test_a_name_becomes_text(name: bytes, text: str) -> None:
    """Bytes that are no UTF-8 become question marks, all else stays."""
    assert to_unicode(os.fsdecode(name)) == text


def test_more_classes_than_a_checkpoint_can_tell_of_are_refused() -> None:
    """Before hours of training, whose file could not be read again."""
    nothing = Split(torch.zeros(0, 1, 1, 3, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    labels = tuple(map(str, range(MOST_CLASSES + 1)))
    Dataset("many", labels[1:], nothing, nothing)
    with pytest.raises(DataError, match=r"many has 3,001 classes; 3,000 is the limit\."):
        Dataset("many", labels, nothing, nothing)
