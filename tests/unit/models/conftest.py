"""A short name for what most tests here need."""

from pathlib import Path

import pytest


@pytest.fixture
def path(trained_checkpoint: Path) -> Path:
    """A checkpoint that reacts as a trained one does, alone in its folder."""
    return trained_checkpoint
