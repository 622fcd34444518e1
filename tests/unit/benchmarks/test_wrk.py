"""What wrk printed, as numbers."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.photos import Upload
from benchmarks.wrk import Measurement, drive
from tests.unit.benchmarks.measurements import measurement


def test_refusals_and_failures_are_no_answers() -> None:
    """1,000 a second for 10 s, of which 2,000 were 503 and 500 failed: 750 a second."""
    assert measurement(1_000.0, unavailable=2_000, other_failures=500).answered_per_s == 750.0
    assert measurement(1_000.0).answered_per_s == 1_000.0


def test_a_server_that_only_refuses_answers_nothing() -> None:
    """However fast it does."""
    assert measurement(50_000.0, unavailable=500_000).answered_per_s == pytest.approx(0)


_FAKE = """#!{python}
import json, pathlib, sys
script = pathlib.Path(sys.argv[sys.argv.index("-s") + 1]).read_text()
assert sys.argv[-1] == "http://127.0.0.1:1/predict", sys.argv
assert {{"-t1", "-c32", "-d3s", "--latency"}} < set(sys.argv), sys.argv
print("Running 3s test")
print("GLIMPSE " + json.dumps({facts}))
sys.exit({code})
"""
FACTS = {
    "requests": 3_000,
    "duration_us": 2_000_000,
    "p50_us": 5_000.0,
    "p99_us": 90_000.0,
    "max_us": 200_000.0,
    "status": 70,
    "socket": 3,
    "timeout": 4,
    "unavailable": 50,
    "without_retry_after": 5,
}


def _drive(folder: Path, monkeypatch: pytest.MonkeyPatch, *, code: int = 0) -> Measurement:
    """Let something that prints the same stand for wrk."""
    program = folder / "wrk"
    program.write_text(_FAKE.format(python=sys.executable, facts=FACTS, code=code))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return drive("http://127.0.0.1:1/predict", Upload("image/jpeg", b"body"), connections=32, seconds=3)


def test_what_wrk_printed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each figure in its place and unit; 503 are told apart from the other failures."""
    assert _drive(tmp_path, monkeypatch) == Measurement(
        requests_per_s=1_500.0,
        p50_ms=5.0,
        p99_ms=90.0,
        max_ms=200.0,
        requests=3_000,
        seconds=2.0,
        unavailable=50,
        without_retry_after=5,
        other_failures=20,
        socket_errors=3,
        timeouts=4,
    )


def test_a_wrk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it said, whatever it printed."""
    with pytest.raises(RuntimeError, match=r"wrk failed on http://127\.0\.0\.1:1/predict: Running 3s test"):
        _drive(tmp_path, monkeypatch, code=1)
