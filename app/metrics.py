"""What Prometheus may ask: the instruments, and where their numbers are read out.

With PROMETHEUS_MULTIPROC_DIR in the environment, as `--workers` sets it, every process writes its numbers into
that folder, and whichever process is asked adds them all up.
"""

import contextlib
import os
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STAGES = ("decode", "queue", "infer", "request")


class Metrics:
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
        self.refused = Counter("glimpse_refused", "Requests turned away.", ["code", "reason"], registry=registry)
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
        self.ready = Gauge("glimpse_ready", "1 while ready.", multiprocess_mode="livemin", registry=registry)
        self._model_info = Gauge(
            "glimpse_model_info",
            "1 for what answers now.",
            ["model", "digest", "engine", "device", "dtype"],
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

    def serves(self, **model: str) -> None:
        """Say which model answers from now on: model, digest, engine, device, dtype."""
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
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)

    def close(self) -> None:
        """Take this process out of what is added up as living."""
        if FOLDER_VARIABLE in os.environ:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


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
