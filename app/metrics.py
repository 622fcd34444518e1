"""What Prometheus may ask: the instruments, and where their numbers are read out.

With PROMETHEUS_MULTIPROC_DIR in the environment, as `--workers` sets it, every process writes its numbers into
that folder, and whichever process is asked adds them all up.
"""

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SCORES = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Upper bounds of the buckets of best scores: closest together where a trained network gives most of them."""
STAGES = ("decode", "queue", "infer", "request")


class CountedHistogram(Histogram):
    """A histogram without labels that takes many observations at once, counted by bucket already.

    The library itself takes them one by one, at a microsecond each and more where several processes count.
    """

    def add(self, counts: Sequence[int], *, total: float) -> None:
        """Add observations.

        Args:
            counts: number of them in each bucket, the one above all bounds included; not added up.
            total: sum of their values.
        """
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class Instruments:
    """The instruments of one application, each with its meaning; docs/operations.md lists them all."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter("glimpse_requests", "Answers.", ["route", "status"], registry=registry)
        seconds = Histogram(
            "glimpse_stage_seconds", "Time by stage.", ["stage"], buckets=_SECONDS, registry=registry
        )
        self.stages = {stage: seconds.labels(stage) for stage in STAGES}
        self.batch_size = Histogram("glimpse_batch_size", "Pictures a run.", buckets=_SIZES, registry=registry)
        self.queue_depth = Gauge(
            "glimpse_queue_depth", "Pictures that wait.", multiprocess_mode="livesum", registry=registry
        )
        self.dropped = Counter("glimpse_dropped", "Pictures not run.", ["reason"], registry=registry)
        self.refused = Counter("glimpse_refused", "Requests refused.", ["code", "reason"], registry=registry)
        self.wait = Gauge(
            "glimpse_estimated_wait_seconds",
            "Time that a request would wait.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.pictures = Gauge(
            "glimpse_in_work_pictures", "Pictures let in.", multiprocess_mode="livesum", registry=registry
        )
        self.bodies = Gauge(
            "glimpse_bodies_bytes", "Bodies in memory.", multiprocess_mode="livesum", registry=registry
        )
        self.decode_failures = Counter(
            "glimpse_decode_failures", "Files that are no picture.", ["code"], registry=registry
        )
        self.engine_failures = Counter("glimpse_engine_failures", "Pictures that failed alone.", registry=registry)
        self.golden_checks = Counter(
            "glimpse_golden_checks", "Golden pictures asked.", ["result"], registry=registry
        )
        self.predictions = Counter(
            "glimpse_predictions", "Answered pictures by best label.", ["label"], registry=registry
        )
        self.abstained = Counter("glimpse_abstained", "Answers not to be relied on.", registry=registry)
        self.second_looks = Counter(
            "glimpse_second_looks", "Pictures looked at again.", ["result"], registry=registry
        )
        self.best_score = CountedHistogram(
            "glimpse_best_score", "Score of the best label.", buckets=SCORES, registry=registry
        )
        self._expected_accepted = Gauge(
            "glimpse_expected_accepted_ratio",
            "Share without abstain, as the checkpoint has it.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.ready = Gauge("glimpse_ready", "1 while ready.", multiprocess_mode="livemin", registry=registry)
        self._model_info = Gauge(
            "glimpse_model_info",
            "1 for what answers now.",
            ["model", "digest", "engine", "device", "dtype"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._build_info = Gauge(
            "glimpse_build_info",
            "1 for what runs.",
            ["version", "python", "torch", "pillow"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._memory = Gauge(
            "glimpse_resident_memory_bytes", "Memory.", multiprocess_mode="livesum", registry=registry
        )
        self._model: dict[str, str] = {}
        self._answers: dict[tuple[str, int], Counter] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request that is over."""
        self.count_answer(route, status)
        self.stages["request"].observe(seconds)

    def count_answer(self, route: str, status: int) -> None:
        """Count an answer, without the time that it took."""
        answers = self._answers.get((route, status))
        if answers is None:
            answers = self._answers[route, status] = self.requests.labels(route, status)
        answers.inc()

    def runs(self, versions: Mapping[str, str]) -> None:
        """Say which versions run, as `app.build.versions` names them."""
        self._build_info.labels(**versions).set(1)

    def serves(self, *, accepted: float | None, **model: str) -> None:
        """Say which model answers from now on.

        Args:
            accepted: share of pictures on which it did not abstain when it was measured; None shows as NaN, with
                which no comparison is true.
            model: model, digest, engine, device, dtype.
        """
        self._expected_accepted.set(math.nan if accepted is None else accepted)
        if self._model:
            self._model_info.labels(**self._model).set(0)
        self._model_info.labels(**model).set(1)
        self._model = model

    def measure_memory(self) -> None:
        """Read this process's resident memory, where there is /proc."""
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
        except OSError:
            return
        self._memory.set(pages * os.sysconf("SC_PAGE_SIZE"))

    def exposition(self) -> bytes:
        """Write all numbers in Prometheus' text format: of this process, or of all workers together."""
        self.measure_memory()
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        _forget_the_dead(Path(os.environ[FOLDER_VARIABLE]))
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)
        return generate_latest(everybody)

    def close(self) -> None:
        """Take this process out of what is added up as living."""
        if FOLDER_VARIABLE in os.environ:
            mark_process_dead(os.getpid())


def _forget_the_dead(folder: Path) -> None:
    """Take killed workers out of what is added up as living: they could not do it themselves.

    Another worker may be asked at the same moment, and do the same.
    """
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        with contextlib.suppress(PermissionError):  # somebody else's process, which lives
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                file.unlink(missing_ok=True)
