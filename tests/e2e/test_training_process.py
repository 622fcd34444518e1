"""`python -m training` as a person at a keyboard meets it."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.drawing import write_archive
from tests.e2e.processes import program, wait_for_line


@pytest.mark.parametrize("recipe", ["tutorial", "fast"])
def test_ctrl_c_ends_with_a_sentence(tmp_path: Path, recipe: str) -> None:
    """Interrupted in the middle, workers included: exit 130, one sentence, no traceback, no file."""
    random = np.random.default_rng(0)
    parts = {
        f"x_{part}": random.integers(0, 256, (4_000, 32, 32, 3), dtype=np.uint8) for part in ("train", "test")
    }
    targets = {f"y_{part}": np.arange(4_000) % 10 for part in ("train", "test")}
    write_archive(tmp_path / "noise.npz", {**parts, **targets})
    out = tmp_path / "m.safetensors"
    arguments = ["--recipe", recipe, "--data", str(tmp_path / "noise.npz"), "--out", str(out)]
    with program("-m", "training", "train", *arguments, "--epochs", "50", "--held-out", "0") as process:
        wait_for_line(process, "^noise: 4,000 pictures to learn from")
        wait_for_line(process, "^epoch ")
        os.killpg(process.pid, signal.SIGINT)
        _, rest = process.communicate(timeout=60)
        assert process.returncode == 130
    assert rest.strip().splitlines()[-1] == "Stopped by Ctrl-C; nothing was written."
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == [tmp_path / "noise.npz"]
