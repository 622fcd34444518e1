"""Glimpse for minutes under a mixed load: does its memory grow, does anything but 503 fail?"""

import asyncio
import statistics
import time
from collections import Counter

from benchmarks.callers import callers, keep_calling
from benchmarks.processes import Running, resident_bytes
from benchmarks.servers import GLIMPSE

CALLERS = 16
FIRST_S = 60
WINDOW_S = 10
"""Memory is the median over so many samples, one a second: photos in flight come and go."""

LONGEST_MINUTES = 60


def soak(*, minutes: float) -> dict[str, object]:
    """Keep 16 callers busy and print memory by the minute.

    Args:
        minutes: above 0, at most 60. Below two, "after the first minute" is half of it.

    Returns:
        Resident memory after the first minute and at the end, and statuses by kind of caller.

    Raises:
        StartError: Glimpse did not come up.
    """
    with GLIMPSE.start() as running:
        samples, statuses = asyncio.run(_run(running, seconds=minutes * 60))
        ready = running.get("/health/ready")
    first_end = min(FIRST_S, len(samples) // 2)
    first = statistics.median(samples[max(0, first_end - WINDOW_S) : first_end])
    last = statistics.median(samples[-WINDOW_S:])
    for name, counts in statuses.items():
        print(f"{name:<22} {dict(sorted(counts.items()))}")
    failures = count_failures(statuses)
    print(
        f"resident after the first minute {first / 1e6:.1f} MB, at the end {last / 1e6:.1f} MB, "
        f"ratio {last / first:.3f}; 5xx other than 503: {failures['server_errors']}; lost, refused or "
        f"unanswered: {failures['broken']}; ready afterwards: {ready}"
    )
    return {
        "minutes": minutes,
        "callers": CALLERS,
        "resident_first_mb": round(first / 1e6, 1),
        "resident_last_mb": round(last / 1e6, 1),
        "resident_peak_mb": round(max(samples) / 1e6, 1),
        "resident_ratio": round(last / first, 4),
        "statuses": {name: dict(counts) for name, counts in statuses.items()},
        "requests": sum(counts.total() for counts in statuses.values()),
        **failures,
        "ready_afterwards": ready,
    }


def count_failures(statuses: dict[str, Counter[str]]) -> dict[str, int]:
    """Count what must not happen: a 5xx other than 503, and a connection that the server broke."""
    total: Counter[str] = sum(statuses.values(), Counter())
    return {
        "server_errors": sum(n for status, n in total.items() if status.startswith("5") and status != "503"),
        "unavailable": total["503"],
        "broken": total["lost"] + total["refused"] + total["unanswered"],
    }


async def _run(running: Running, *, seconds: float) -> tuple[list[int], dict[str, Counter[str]]]:
    kinds = callers()
    statuses: dict[str, Counter[str]] = {name: Counter() for name in kinds}
    end_s = time.monotonic() + seconds
    tasks = [
        asyncio.create_task(
            keep_calling(
                kinds,
                port=running.port,
                seed=number,
                is_over=lambda: time.monotonic() >= end_s,
                count=lambda name, status: statuses[name].update([status]),
            )
        )
        for number in range(CALLERS)
    ]
    samples = await _sample(running, end_s=end_s)
    await asyncio.gather(*tasks)
    return samples, statuses


async def _sample(running: Running, *, end_s: float) -> list[int]:
    """Read resident memory once a second, and print it once a minute."""
    samples = [resident_bytes(running.session)]
    while time.monotonic() < end_s:
        await asyncio.sleep(1)
        samples.append(resident_bytes(running.session))
        if len(samples) % 60 == 0:
            print(f"minute {len(samples) // 60}: {samples[-1] / 1e6:.1f} MB resident", flush=True)
    return samples
