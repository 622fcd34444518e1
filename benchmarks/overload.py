"""What is left of Glimpse when three times as many requests come as it can answer.

First its peak: wrk, 32 connections, closed loop. Then `benchmarks.load`, an open loop, at the peak's rate and at
three times it. The generator takes processor time from the server on the same cores, and more of it at three
times the rate; so the goodput is compared with both peaks, wrk's and the generator's own.
"""

import tempfile
from collections.abc import Mapping
from typing import Any

from benchmarks.photos import Upload, small_upload
from benchmarks.processes import run_module
from benchmarks.servers import GLIMPSE
from benchmarks.wrk import drive

FACTOR = 3
DEADLINE_MS = 1000
DEADLINE_HEADER = f"X-Request-Timeout-Ms: {DEADLINE_MS}"


def overload(*, seconds: int) -> dict[str, object]:
    """Measure the peak, then overload the server, and print what came back.

    Raises:
        StartError: Glimpse did not come up.
        RuntimeError: wrk or the generator failed.
    """
    upload = small_upload()
    with GLIMPSE.start() as running:
        url = running.url("/predict")
        peak_per_s = drive(url, upload, connections=32, seconds=seconds).answered_per_s
        print(f"peak, closed loop, 32 connections: {peak_per_s:,.0f} answers/s", flush=True)
        near = generate(url, upload, rate=peak_per_s, seconds=seconds)
        _print_load("at the peak's rate", near)
        over = generate(url, upload, rate=FACTOR * peak_per_s, seconds=seconds)
        _print_load(f"at {FACTOR} times it", over)
        status, _ = running.post("/predict", upload)
    found = {
        "peak_per_s": round(peak_per_s, 1),
        "near_capacity": near,
        "overload": over,
        "goodput_to_peak": round(over["goodput_per_s"] / peak_per_s, 3),
        "goodput_to_generator_peak": round(over["goodput_per_s"] / max(near["goodput_per_s"], 0.1), 3),
        "deadline_ms": DEADLINE_MS,
        "status_afterwards": status,
    }
    print(
        f"goodput under overload: {found['goodput_to_peak']:.1%} of wrk's peak, "
        f"{found['goodput_to_generator_peak']:.1%} of the generator's own; afterwards a request gets {status}"
    )
    return found


def generate(url: str, upload: Upload, *, rate: float, seconds: int) -> dict[str, Any]:
    """Run the generator in a process of its own.

    Raises:
        RuntimeError: it failed; carries what it said.
    """
    with tempfile.NamedTemporaryFile() as body:
        body.write(upload.body)
        body.flush()
        return run_module(
            "benchmarks.load",
            *(url, "--body", body.name, "--content-type", upload.content_type, "--header", DEADLINE_HEADER),
            *("--rate", str(rate), "--seconds", str(seconds), "--deadline-ms", str(DEADLINE_MS)),
            timeout_s=seconds + 60,
        )


def _print_load(name: str, found: Mapping[str, Any]) -> None:
    print(
        f"{name}: {found['sent_per_s']:,.0f}/s sent, {found['goodput_per_s']:,.0f}/s answered 200, "
        f"statuses {found['statuses']}, 503 without Retry-After {found['without_retry_after']}\n"
        f"    accepted: p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms, max {found['max_ms']} ms since "
        f"they were due; later than {DEADLINE_MS} ms: {found['late']} since due, {found['late_since_sent']} since "
        f"sent; the generator itself took {found['generator_cores']} cores and was up to "
        f"{found['generator_max_lag_ms']} ms late",
        flush=True,
    )
