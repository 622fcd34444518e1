"""Trainings of the tests: through the real command line, on data that take seconds."""

from pathlib import Path

import numpy as np
import torch

from models.checkpoint import load
from tests.drawing import write_archive
from training.cli import run


def write_bright(path: Path, *, seed: int = 0, side: int = 12) -> Path:
    """Write three classes of brightness, 12 pixels wide or another size: 96 to learn from, 30 to measure on."""
    noise = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    for part, n in (("train", 96), ("test", 30)):
        targets = np.arange(n) % 3
        pixels = noise.integers(0, 90, (n, side, side, 3)) + 80 * targets[:, None, None, None]
        arrays |= {f"x_{part}": pixels.astype(np.uint8), f"y_{part}": targets}
    write_archive(path, arrays)
    return path


def train(*arguments: object) -> int:
    """Train on the CPU; the status that the command ends with."""
    return run(["train", "--device", "cpu", *map(str, arguments)])


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """The weights that a run ended with."""
    return load(folder / "checkpoint.safetensors").network.state_dict()
