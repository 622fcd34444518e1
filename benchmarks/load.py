"""An open-loop load generator: requests leave on schedule, whatever the answers do.

    python -m benchmarks.load URL --body FILE --content-type TYPE --rate 3000 --seconds 10

A closed loop (wrk) waits for a slow server and so never overloads it, and leaves the waiting out of its
latencies. Here arrivals are a Poisson process drawn from a seed, and every latency counts from the moment at
which the request should have left ("coordinated omission" is not possible). Requests are bytes made
beforehand and answers are read no further than the status, the length and Retry-After, because on a small
machine the generator takes its processor time from the server. Prints one JSON line.
"""

import argparse
import asyncio
import json
import math
import random
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

MAX_CONNECTIONS = 2_000
TICK_S = 0.001
DRAIN_S = 5.0
"""How long answers are waited for after the last request has left."""


@dataclass
class Tally:
    """What came back.

    Attributes:
        statuses: answers by status; "lost" are connections that broke with a request on them.
        latencies_s: of answers 200, from the scheduled moment.
        from_sending_s: of the same answers, from the moment the bytes were written.
        without_retry_after: answers 503 that do not say when to come back.
        answered_in_time: answers 200 that came before their deadline and while requests were still being sent; the
            goodput is made of these, since a full queue that is emptied afterwards must not count as throughput.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    from_sending_s: list[float] = field(default_factory=list)
    without_retry_after: int = 0
    answered_in_time: int = 0


class Connection(asyncio.Protocol):
    """One connection with at most one request on it."""

    def __init__(self, generator: "Generator") -> None:
        self._generator = generator
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._scheduled_s = self._sent_s = 0.0
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass of it

    def send(self, scheduled_s: float) -> None:
        """Write the prepared request."""
        assert self._transport is not None
        self._scheduled_s, self._sent_s, self._is_busy = scheduled_s, time.perf_counter(), True
        self._transport.write(self._generator.request)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            self._received = received
            return
        head = received[:head_end].lower()
        at = head.find(b"content-length:") + 15
        end = head.find(b"\r\n", at)
        length = int(head[at : end if end > 0 else None])
        if len(received) < head_end + 4 + length:
            self._received = received
            return
        self._received, self._is_busy = b"", False
        self._generator.count(received[9:12].decode(), head, self._scheduled_s, self._sent_s)
        if b"connection: close" in head:
            self._close()
        else:
            self._generator.release(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        if self._is_busy:
            self._generator.tally.statuses["lost"] += 1
        self._generator.forget(self)

    def _close(self) -> None:
        assert self._transport is not None
        self._transport.close()


class Generator:
    """Sends on schedule over as many connections as are needed, up to a limit.

    Attributes:
        request: the bytes of every request.
        tally: of the answers.
        max_lag_s: how late a request left at worst for the generator's own lack of time.
        cores: processor time that it took while sending, per second.
    """

    def __init__(self, host: str, port: int, request: bytes, *, deadline_s: float) -> None:
        self.request, self.tally, self._deadline_s = request, Tally(), deadline_s
        self._host, self._port = host, port
        self._idle: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self._open = 0
        self._opening: set[asyncio.Task[None]] = set()
        self.max_lag_s = 0.0
        self.cores = 0.0

    async def run(self, *, rate: float, seconds: float, seed: int) -> float:
        """Send for some seconds, wait for the last answers, and return the seconds of sending."""
        arrivals, expected = random.Random(seed), 0.0  # noqa: S311 - a schedule, not a secret
        await self._open_first(min(MAX_CONNECTIONS, 64))
        started_s, cpu_s = time.perf_counter(), time.process_time()
        while (now_s := time.perf_counter()) < started_s + seconds:
            self.max_lag_s = max(self.max_lag_s, now_s - started_s - expected)
            while started_s + expected <= now_s and expected < seconds:
                self._dispatch(started_s + expected)
                expected += arrivals.expovariate(rate)
            await asyncio.sleep(TICK_S)
        sending_s = time.perf_counter() - started_s
        self.cores = (time.process_time() - cpu_s) / sending_s
        self.tally.answered_in_time = sum(value <= self._deadline_s for value in self.tally.latencies_s)
        give_up_s = time.perf_counter() + DRAIN_S
        while (self._waiting or len(self._idle) < self._open) and time.perf_counter() < give_up_s:
            await asyncio.sleep(0.01)
        unanswered = len(self._waiting) + self._open - len(self._idle)
        if unanswered:
            self.tally.statuses["unanswered"] += unanswered
        return sending_s

    def count(self, status: str, head: bytes, scheduled_s: float, sent_s: float) -> None:
        """Take an answer into the tally."""
        tally, now_s = self.tally, time.perf_counter()
        tally.statuses[status] += 1
        if status == "200":
            tally.latencies_s.append(now_s - scheduled_s)
            tally.from_sending_s.append(now_s - sent_s)
        elif status == "503" and b"\r\nretry-after:" not in head:
            tally.without_retry_after += 1

    def release(self, connection: Connection) -> None:
        """Take a connection back, or give it the request that has waited longest."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Leave a connection out that is closed."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._open_another()

    def _dispatch(self, scheduled_s: float) -> None:
        if self._idle:
            self._idle.popleft().send(scheduled_s)
            return
        self._waiting.append(scheduled_s)
        self._open_another()

    def _open_another(self) -> None:
        if self._open + len(self._opening) < MAX_CONNECTIONS:
            task = asyncio.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self), self._host, self._port)
        except OSError:
            if self._waiting:  # else another connection took what this one was opened for
                self._waiting.popleft()
                self.tally.statuses["refused"] += 1
            return
        self._open += 1
        self.release(connection)

    async def _open_first(self, count: int) -> None:
        for _ in range(count):
            await self._connect()


def percentile_ms(values_s: list[float], percent: float) -> float:
    """Nearest-rank percentile in milliseconds; 0 of nothing."""
    if not values_s:
        return 0.0
    ordered = sorted(values_s)
    return round(ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] * 1000, 1)


def prepare_request(url: str, body: bytes, *, content_type: str, headers: list[str]) -> tuple[str, int, bytes]:
    """Return host, port, and the bytes of one request."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return parts.hostname, parts.port, "\r\n".join([*lines, "", ""]).encode() + body


def main() -> None:
    """Generate the load and print what came back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--content-type", required=True)
    parser.add_argument("--header", action="append", default=[], help="a whole line, for example 'Accept: */*'")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--deadline-ms", type=float, default=1000.0, help="later answers 200 are counted as late")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    host, port, request = prepare_request(
        given.url, given.body.read_bytes(), content_type=given.content_type, headers=given.header
    )
    generator = Generator(host, port, request, deadline_s=given.deadline_ms / 1000)
    sending_s = uvloop.run(generator.run(rate=given.rate, seconds=given.seconds, seed=given.seed))
    json.dump(summary(generator, sending_s=sending_s, deadline_ms=given.deadline_ms), sys.stdout)


def summary(generator: Generator, *, sending_s: float, deadline_ms: float) -> dict[str, object]:
    """Say in numbers what came back."""
    tally = generator.tally
    answered = tally.latencies_s
    return {
        "sent_per_s": round(sum(tally.statuses.values()) / sending_s, 1),
        "goodput_per_s": round(tally.answered_in_time / sending_s, 1),
        "statuses": dict(tally.statuses),
        "late": sum(value * 1000 > deadline_ms for value in answered),
        "late_since_sent": sum(value * 1000 > deadline_ms for value in tally.from_sending_s),
        "without_retry_after": tally.without_retry_after,
        "p50_ms": percentile_ms(answered, 50),
        "p99_ms": percentile_ms(answered, 99),
        "max_ms": percentile_ms(answered, 100),
        "generator_cores": round(generator.cores, 2),
        "generator_max_lag_ms": round(generator.max_lag_s * 1000, 1),
    }


if __name__ == "__main__":
    main()
