"""`python -m app tensors` as a real process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "out", "error"),
    [
        (["numpy-bridge", "--rows", "4"], 0, "  | tensor([2., 2., 2., 2.])\n", ""),
        (["dynamic-graph"], 0, "  weight ? MulBackward0\n", ""),
        (["numpy"], 2, "", "Error: There is no demo 'numpy'. There are: creation, "),
    ],
)
def test_the_lab_in_a_terminal(arguments: list[str], exit_code: int, out: str, error: str) -> None:
    """It prints and ends with 0, or says one sentence and ends with 2; also where stdout has no UTF-8."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "tensors", *arguments],
        capture_output=True,
        encoding="ascii",
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == exit_code
    assert out in done.stdout
    assert done.stderr.startswith(error)
    assert done.stderr.count("\n") == bool(error)
