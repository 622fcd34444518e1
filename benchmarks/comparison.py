"""Glimpse and its peers, one after another, under the same load."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from benchmarks.conditions import versions_of
from benchmarks.photos import Upload, photo_upload, small_upload
from benchmarks.processes import Running, StartError, predicted_label
from benchmarks.servers import GLIMPSE, PLAIN, Server
from benchmarks.wrk import Measurement, drive

WARM_UP_S = 3
SHORTEST_PHOTO_S = 30
"""A peer answers up to 32 photos at once, 2 to 16 a second: in a short window one batch is a third."""
LONGEST_SETTLE_S = 10.0
FIRST_SECOND = "first second"
MANY = 256
"""Connections that only the small picture gets: 256 photos at once are 400 MB of bodies and no use case."""


_FAILURES = (StartError, RuntimeError, OSError, subprocess.SubprocessError, ValueError, LookupError)
"""It did not start or its environment is broken; wrk failed on it; or its last answer is none."""


@dataclass(frozen=True)
class Row:
    """One server under one load."""

    server: str
    picture: str
    connections: int
    measured: Measurement


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        servers: in this order.
        pictures: "small", "photo".
        connections: 1, 32, 256 or others.
        seconds: per point; photos get 30 at least.
    """

    servers: Sequence[Server]
    pictures: Sequence[str]
    connections: Sequence[int]
    seconds: int

    def points(self) -> list[tuple[str, int]]:
        """Pictures with connections, in the order in which they are measured."""
        return [
            (picture, count)
            for picture in self.pictures
            for count in self.connections
            if picture == "small" or count < MANY
        ]

    def seconds_of(self, picture: str) -> int:
        """How long a point with this picture lasts."""
        return self.seconds if picture == "small" else max(self.seconds, SHORTEST_PHOTO_S)


def compare(plan: Plan) -> dict[str, object]:
    """Measure every server and print rows as they come.

    Returns:
        Rows, ratios to Glimpse, versions, the label that each server gave the same picture, and which
        servers could not be measured and why: one of them does not end the others.
    """
    uploads = {"small": small_upload(), "photo": photo_upload()}
    rows: list[Row] = []
    labels: dict[str, str] = {}
    failed: dict[str, str] = {}
    versions, starts_s = {}, {}
    print(_HEADER, flush=True)
    for server in plan.servers:
        try:
            versions[server.name] = versions_of(server.python, server.packages)
            with server.start() as running:
                starts_s[server.name] = running.start_s
                for row in _measure(server, running, plan, uploads):
                    rows.append(row)
                    print(_line(row, rows), flush=True)
                labels[server.name] = predicted_label(running.post("/predict", uploads["small"])[1])
        except _FAILURES as error:
            failed[server.name] = str(error)
            print(f"{server.title} could not be measured: {error}", flush=True)
    if len(set(labels.values())) > 1:
        print(f"The servers do not agree on the small picture: {labels}. The figures cannot be compared.")
    return {
        "rows": [_flat(row) for row in rows],
        "ratios": ratios(rows),
        "server_versions": versions,
        "labels": labels,
        "not_measured": failed,
        "start_s": starts_s,
        "upload_bytes": {name: len(upload.body) for name, upload in uploads.items()},
    }


def _measure(server: Server, running: Running, plan: Plan, uploads: dict[str, Upload]) -> Iterator[Row]:
    """Glimpse is measured from its first request on; a peer gets 3 s to warm up before each point.

    Glimpse's first second stands in a row of its own, so that what is slow only once cannot hide among the
    requests of the following ones.
    """
    url = running.url("/predict")
    if server.is_glimpse and "small" in plan.pictures:
        first = drive(url, uploads["small"], connections=32, seconds=1)
        yield Row(server.name, FIRST_SECOND, 32, first)
    for picture, connections in plan.points():
        if not server.is_glimpse:
            warm_up = drive(url, uploads[picture], connections=connections, seconds=WARM_UP_S)
            _settle(running, warm_up, uploads["small"])
        count_503 = server.is_glimpse and connections >= MANY
        measured = drive(
            url, uploads[picture], connections=connections, seconds=plan.seconds_of(picture), count_503=count_503
        )
        yield Row(server.name, picture, connections, measured)
        _settle(running, measured, uploads["small"])


def _settle(running: Running, before: Measurement, upload: Upload) -> None:
    """Let the server work off the requests that wrk left behind: they would slow the next point down.

    Twice the latency of the run before is time enough for all of them; a run without an answer says nothing,
    and gets the longest time.
    """
    time.sleep(min(LONGEST_SETTLE_S, 2 * before.p99_ms / 1000) if before.requests else LONGEST_SETTLE_S)
    running.post("/predict", upload)


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """What Glimpse is measured by: figures against the best peer, the plain service, and itself."""
    found: dict[str, float] = {}
    by = {(row.server, row.picture, row.connections): row.measured for row in rows}
    for (server, picture, connections), ours in by.items():
        if server != GLIMPSE.name or picture == FIRST_SECOND:
            continue
        theirs = {
            row.server: row.measured.answered_per_s
            for row in rows
            if row.server != server and (row.picture, row.connections) == (picture, connections)
        }
        if theirs and max(theirs.values()):
            name = max(theirs, key=lambda peer: theirs[peer])
            found[f"{picture}, {_count(connections)}, to the best peer ({name})"] = round(
                ours.answered_per_s / theirs[name], 2
            )
    for picture, connections in ((FIRST_SECOND, 32), ("small", 32)):
        if (point := by.get((GLIMPSE.name, picture, connections))) and point.p50_ms:
            found[f"{picture}, {connections} connections, p99 to p50"] = round(point.p99_ms / point.p50_ms, 2)
    alone, plain = (by.get((name, "small", 1)) for name in (GLIMPSE.name, PLAIN.name))
    if alone and plain and plain.p50_ms:
        found["small, 1 connection, p50 to plain FastAPI's"] = round(alone.p50_ms / plain.p50_ms, 3)
    many, few = (by.get((GLIMPSE.name, "small", count)) for count in (MANY, 32))
    if many and few and few.answered_per_s:
        found["small, 256 connections to 32"] = round(many.answered_per_s / few.answered_per_s, 3)
    return found


def _count(connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}"


def _flat(row: Row) -> dict[str, object]:
    where = {"server": row.server, "picture": row.picture, "connections": row.connections}
    return {**where, "answered_per_s": round(row.measured.answered_per_s, 1), **asdict(row.measured)}


_HEADER = (
    f"{'server':<14} {'picture':<12} {'conn.':>5} {'answers/s':>10} {'p50 ms':>9} {'p99 ms':>9} "
    f"{'503':>6} {'failed':>6} {'socket':>6} {'Glimpse is':>11}"
)


def _line(row: Row, rows: Sequence[Row]) -> str:
    measured = row.measured
    ours = next(
        (
            other.measured.answered_per_s
            for other in rows
            if other.server == GLIMPSE.name
            and (other.picture, other.connections) == (row.picture, row.connections)
        ),
        None,
    )
    ratio = f"{ours / measured.answered_per_s:10.2f}×" if ours and measured.answered_per_s > 0 else f"{'–':>11}"
    return (
        f"{row.server:<14} {row.picture:<12} {row.connections:5} {measured.answered_per_s:10,.1f} "
        f"{measured.p50_ms:9.2f} {measured.p99_ms:9.2f} {measured.unavailable:6} {measured.other_failures:6} "
        f"{measured.socket_errors + measured.timeouts:6} {ratio}"
    )
