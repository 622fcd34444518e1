"""What a scrape shows, of one process and of several."""

import contextlib
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.errors import Reason
from app.metrics import CONTENT_TYPE, FOLDER_VARIABLE, SCORES, STAGES, Instruments, _forget_the_dead

ROOT = Path(__file__).parents[3]
Labels = frozenset[tuple[str, str]]


def labels(**values: str) -> Labels:
    """As the key of a sample."""
    return frozenset(values.items())


def families(exposition: bytes) -> list[Metric]:
    """Read a scrape as Prometheus does."""
    return list(text_string_to_metric_families(exposition.decode()))


def samples(exposition: bytes) -> dict[tuple[str, Labels], float]:
    """Name and labels → number."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(exposition)
        for sample in family.samples
    }


def test_a_scrape_shows_what_each_number_means() -> None:
    """By its name and in a sentence, even before anything happened."""
    shown = families(Instruments().exposition())
    assert all(family.documentation.endswith(".") for family in shown)
    assert all(family.name.startswith("glimpse_") for family in shown)
    assert CONTENT_TYPE.startswith("text/plain; version=")


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    """docs/operations.md names each in backticks, and no other; `_created` is the library's own."""
    shown = families(Instruments().exposition())
    names = {family.name + ("_total" if family.type == "counter" else "") for family in shown}
    documented = set(re.findall(r"`(glimpse_\w+)", (ROOT / "docs" / "operations.md").read_text()))
    assert documented == {name for name in names if not name.endswith("_created")}


def test_every_reason_of_a_refusal_is_documented() -> None:
    """docs/operations.md has a row for each, which says what to do about it."""
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert set(get_args(Reason)) <= set(rows)


def test_requests_are_counted_by_route_and_status() -> None:
    """And their time is one of the stages."""
    metrics = Instruments()
    for status, seconds in ((200, 0.004), (200, 0.006), (503, 0.0001)):
        metrics.answered("/predict", status, seconds)
    metrics.answered("other", 404, 0.0001)
    found = samples(metrics.exposition())
    assert found["glimpse_requests_total", labels(route="/predict", status="200")] == 2
    assert found["glimpse_requests_total", labels(route="/predict", status="503")] == 1
    assert found["glimpse_requests_total", labels(route="other", status="404")] == 1
    assert found["glimpse_stage_seconds_count", labels(stage="request")] == 4
    assert found["glimpse_stage_seconds_sum", labels(stage="request")] == pytest.approx(0.0102)
    assert found["glimpse_stage_seconds_bucket", labels(stage="request", le="0.005")] == 3


def test_a_time_up_to_the_longest_deadline_has_a_bucket() -> None:
    """Callers may ask for 60 s: a quantile of such answers must not end at ten."""
    metrics = Instruments()
    for seconds in (20.0, 45.0):
        metrics.answered("/predict", 200, seconds)
    found = samples(metrics.exposition())
    bounds = ("10.0", "30.0", "60.0")
    assert [found["glimpse_stage_seconds_bucket", labels(stage="request", le=le)] for le in bounds] == [0, 1, 2]


def test_every_stage_is_there_from_the_start() -> None:
    """A dashboard shows zero, not a gap."""
    found = samples(Instruments().exposition())
    assert [found["glimpse_stage_seconds_count", labels(stage=stage)] for stage in STAGES] == [0] * len(STAGES)


def test_after_a_swap_the_new_model_is_one_and_the_old_one_zero() -> None:
    """And one again when it comes back."""
    metrics = Instruments()

    def model(digest: str) -> dict[str, str]:
        return {"model": "fast", "digest": digest, "engine": "torch", "device": "cpu", "dtype": "float32"}

    def shown() -> list[float | None]:
        found = samples(metrics.exposition())
        return [found.get(("glimpse_model_info", labels(**model(digest)))) for digest in ("old", "new")]

    assert shown() == [None, None]
    for digest, expected in (("old", [1, None]), ("new", [0, 1]), ("new", [0, 1]), ("old", [1, 0])):
        metrics.serves(accepted=None, **model(digest))
        assert shown() == expected


def test_the_share_that_is_to_be_expected_is_the_models() -> None:
    """Another model has another one; where its file does not say, no comparison is true."""
    metrics = Instruments()
    for accepted, expected in ((0.95, 0.95), (0.9, 0.9), (None, math.nan)):
        metrics.serves(accepted=accepted, model="m", digest="d", engine="e", device="cpu", dtype="float32")
        found = samples(metrics.exposition())["glimpse_expected_accepted_ratio", labels()]
        assert found == pytest.approx(expected, nan_ok=True)


def test_what_runs_is_one() -> None:
    """By its versions."""
    versions = {"version": "1.2", "python": "3.13.1", "torch": "2.14.1", "pillow": "13.0"}
    metrics = Instruments()
    metrics.runs(versions)
    assert samples(metrics.exposition())["glimpse_build_info", labels(**versions)] == 1


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_memory_is_measured_at_each_scrape() -> None:
    """This process, with torch in it, holds over 50 MB and less than 50 GB."""
    assert 50e6 < samples(Instruments().exposition())["glimpse_resident_memory_bytes", labels()] < 50e9


def test_two_applications_in_one_process_count_apart() -> None:
    """There is no registry that all share."""
    first, second = Instruments(), Instruments()
    first.decode_failures.labels("broken_picture").inc()
    key = ("glimpse_decode_failures_total", labels(code="broken_picture"))
    assert samples(first.exposition())[key] == 1
    assert key not in samples(second.exposition())


@contextlib.contextmanager
def worker(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run code in a process of its own, with `metrics` at hand and that folder to write into."""
    program = (
        f"from app.metrics import Instruments\nmetrics = Instruments()\n{code}\nprint('done', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {FOLDER_VARIABLE: str(folder)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "done\n"
        yield process
        process.kill()


def asked(folder: Path) -> dict[tuple[str, Labels], float]:
    """What one more worker answers for all."""
    code = (
        "from app.metrics import Instruments; metrics = Instruments(); metrics.ready.set(1); "
        "print(metrics.exposition().decode())"
    )
    environment = os.environ | {FOLDER_VARIABLE: str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    return samples(done.stdout)


def test_whichever_worker_is_asked_adds_up_all_of_them(tmp_path: Path) -> None:
    """Counts, depths and histograms are sums; the wait is the longest; ready only if all are; a dead worker leaves
    only counts.
    """

    def work(*, size: int, depth: int, ready: int) -> str:
        return "\n".join(
            (
                "metrics.answered('/predict', 200, 0.004)",
                f"metrics.batch_size.observe({size})",
                f"metrics.predictions.labels('cat').inc({size})",
                "metrics.abstained.inc()",
                f"metrics.best_score.add([0, {size}] + [0] * {len(SCORES) - 1}, total=0.5)",
                "metrics.serves(accepted=0.9, model='m', digest='d', engine='e', device='cpu', dtype='float32')",
                f"metrics.queue_depth.set({depth})",
                f"metrics.pictures.set({depth})",
                f"metrics.bodies.set({depth})",
                f"metrics.wait.set({depth})",
                f"metrics.ready.set({ready})",
            )
        )

    with (
        worker(work(size=3, depth=5, ready=1), tmp_path),
        worker(work(size=8, depth=100, ready=1) + "\nmetrics.close()", tmp_path),
    ):
        with worker(work(size=8, depth=7, ready=0), tmp_path):
            found = asked(tmp_path)
            assert found["glimpse_requests_total", labels(route="/predict", status="200")] == 3
            assert found["glimpse_stage_seconds_count", labels(stage="request")] == 3
            assert found["glimpse_batch_size_sum", labels()] == 19
            assert found["glimpse_batch_size_bucket", labels(le="4.0")] == 1
            for added_up in ("glimpse_queue_depth", "glimpse_in_work_pictures", "glimpse_bodies_bytes"):
                assert found[added_up, labels()] == 12
            assert found["glimpse_estimated_wait_seconds", labels()] == 7
            assert found["glimpse_predictions_total", labels(label="cat")] == 19
            assert found["glimpse_abstained_total", labels()] == 3
            assert found["glimpse_best_score_bucket", labels(le="0.25")] == 19
            assert found["glimpse_best_score_sum", labels()] == 1.5
            assert found["glimpse_expected_accepted_ratio", labels()] == 0.9
            assert found["glimpse_ready", labels()] == 0
        found = asked(tmp_path)  # the one that was not ready has been killed
        assert found["glimpse_requests_total", labels(route="/predict", status="200")] == 3
        assert found["glimpse_predictions_total", labels(label="cat")] == 19
        assert found["glimpse_queue_depth", labels()] == 5
        assert found["glimpse_ready", labels()] == 1


def test_two_scrapes_may_forget_the_same_dead_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one was faster by a moment: what shall be gone is gone."""
    left_behind = tmp_path / "gauge_livesum_999999999.db"
    left_behind.touch()
    really = os.unlink

    def second(path: Path) -> None:
        really(path)
        really(path)

    for name in ("remove", "unlink"):
        monkeypatch.setattr(os, name, second)
    _forget_the_dead(tmp_path)
    assert not left_behind.exists()
