"""Pictures a second through `POST /predict/batch`, against what the engine does without HTTP."""

import json

from benchmarks.peers.network import CHECKPOINT
from benchmarks.photos import batch_upload
from benchmarks.processes import run_module
from benchmarks.servers import GLIMPSE
from benchmarks.wrk import drive

FILES = 64
CONNECTIONS = 4
"""Enough that one request is read and decoded while another is in the engine."""

ROUTE = "/predict/batch"


def batch_route(*, seconds: int) -> dict[str, object]:
    """Measure the engine alone, then the route, and print the ratio.

    Raises:
        StartError: Glimpse did not come up.
        RuntimeError: the route did not answer every file, or a measurement failed.
    """
    engine = run_module("benchmarks.engine", "--checkpoint", str(CHECKPOINT), timeout_s=600)
    upload = batch_upload(FILES)
    with GLIMPSE.start() as running:
        status, body = running.post(ROUTE, upload)
        results = json.loads(body).get("results", []) if status == 200 else []
        if len(results) != FILES or any("predictions" not in result for result in results):
            raise RuntimeError(f"{ROUTE} answered {status} with {len(results)} results: {body[:300]!r}")
        measured = drive(running.url(ROUTE), upload, connections=CONNECTIONS, seconds=seconds, count_503=True)
    pictures_per_s = measured.answered_per_s * FILES
    ratio = pictures_per_s / engine["best"]["pictures_per_s"]
    print(
        f"{ROUTE}, {FILES} small pictures a request, {CONNECTIONS} connections: {pictures_per_s:,.0f} pictures/s, "
        f"p50 {measured.p50_ms} ms, failed {measured.other_failures}, 503 {measured.unavailable}\n"
        f"engine alone: {engine['best']['pictures_per_s']:,.0f} pictures/s at {engine['best']['batch']} "
        f"({engine['best']['way']}); ratio {ratio:.1%}"
    )
    return {
        "pictures_per_s": round(pictures_per_s, 1),
        "ratio_to_engine": round(ratio, 3),
        "files": FILES,
        "connections": CONNECTIONS,
        "p50_ms": measured.p50_ms,
        "p99_ms": measured.p99_ms,
        "unavailable": measured.unavailable,
        "other_failures": measured.other_failures,
        "socket_errors": measured.socket_errors + measured.timeouts,
        "engine": engine,
    }
