"""The digest that a checkpoint must have, where somebody says which file is meant."""

import re
from pathlib import Path

from app.errors import AnotherCheckpointError
from models.checkpoint import Checkpoint

DIGEST = r"^(sha256:)?[0-9a-fA-F]{64}$"
"""As the service shows it, or as `sha256sum` prints it."""


def require(digest: str | None, checkpoint: Checkpoint, path: Path) -> None:
    """Do nothing if a checkpoint is the one that is meant.

    Args:
        digest: that its file must have; None takes any.
        checkpoint: that was read.
        path: of its file, for the sentence.

    Raises:
        AnotherCheckpointError: it has another.
    """
    if digest is not None and checkpoint.digest != (wanted := to_digest(digest)):
        raise AnotherCheckpointError(
            f"{path}: it is {checkpoint.digest}, and {wanted} was asked for. Put that one there, or ask for this."
        )


def to_digest(text: str) -> str:
    """Write a digest as `Checkpoint.digest` has it.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(DIGEST, text):
        raise ValueError("give sha256: and 64 hexadecimal digits, as /model shows it")
    return f"sha256:{text.lower().removeprefix('sha256:')}"
