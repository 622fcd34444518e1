"""An open-loop load generator: requests leave on schedule, whatever the answers do.

    python -m benchmarks.load URL --body FILE --content-type TYPE --rate 3000 --seconds 10

A closed loop (wrk) waits for a slow server and so never overloads it, and leaves the waiting out of its
latencies. Here arrivals are a Poisson process drawn from a seed, and every latency counts from the moment at
which the request should have left ("coordinated omission" is not possible). Requests are bytes made
beforehand and answers are read no further than the status, the length and Retry-After, because on a small
machine the generator takes its processor time from the server. For the same reason it looks only once a
millisecond for answers, which is how exact a latency is: woken by each of them it took nearly twice the time, and
waking it cost the server more than writing the answer (docs/experiments.md, 2026-11-27). Prints one JSON line.
"""

import argparse
import errno
import json
import math
import random
import select
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MAX_CONNECTIONS = 2_000
TICK_S = 0.001
DRAIN_S = 5.0
"""How long answers are waited for after the last request has left."""
_FIRST_CONNECTIONS = 64
_READ_BYTES = 65_536


@dataclass
class Tally:
    """What came back.

    Attributes:
        statuses: answers by status; "lost" are connections that broke with a request on them, "refused" such as
            never came about, "unanswered" requests whose answer was not waited for any longer.
        latencies_s: of answers 200, from the moment at which the request was due.
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

    def count(self, head: bytes, *, due_s: float, sent_s: float, now_s: float) -> None:
        """Take an answer in.

        Args:
            head: of the answer, in small letters.
            due_s: when its request should have left, as the other two seconds on the steady clock.
            sent_s: when it did.
            now_s: when the answer was read.
        """
        status = head[9:12].decode()
        self.statuses[status] += 1
        if status == "200":
            self.latencies_s.append(now_s - due_s)
            self.from_sending_s.append(now_s - sent_s)
        elif status == "503" and b"\r\nretry-after:" not in head:
            self.without_retry_after += 1


class Connection:
    """One connection with at most one request on it; nothing that it does waits.

    Attributes:
        socket: not blocking.
        is_open: whether the server has taken it.
        due_s: when the request on it should have left; None while it is idle.
        sent_s: when it did.
    """

    def __init__(self, family: int, address: tuple[Any, ...]) -> None:
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_on_its_way = self.socket.connect_ex(address) in (0, errno.EINPROGRESS)
        self.is_open = False
        self.due_s: float | None = None
        self.sent_s = 0.0
        self._unsent = memoryview(b"")
        self._received = b""

    @property
    def waits_to_write(self) -> bool:
        """Whether something is to be done as soon as the system takes more from here."""
        return not self.is_open or bool(self._unsent)

    def open(self) -> bool:
        """Look whether the server has taken it."""
        failed = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.is_open = self._is_on_its_way and not failed
        return self.is_open

    def send(self, request: bytes, *, due_s: float) -> None:
        """Begin to write a request."""
        self.due_s, self.sent_s = due_s, time.perf_counter()
        self._unsent = memoryview(request)
        self.send_on()

    def send_on(self) -> None:
        """Write what the system takes of the request; what breaks is seen when the answer is read."""
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = memoryview(b"")

    def receive(self) -> bytes | None:
        """Read what has come.

        Returns:
            The head of the answer in small letters, once all of the answer is there; b"" until then, None at the
            end of the connection.
        """
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            return None
        if not data:
            return None
        received = self._received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            return b""
        head = received[:head_end].lower()
        at = head.find(b"content-length:") + 15
        end = head.find(b"\r\n", at)
        if len(received) < head_end + 4 + int(head[at : end if end > 0 else None]):
            return b""
        self._received = b""
        return head


class Generator:
    """Sends on schedule over as many connections as are needed, up to a limit.

    Attributes:
        request: the bytes of every request.
        tally: of the answers.
        max_lag_s: how late a request left at worst for the generator's own lack of time.
        cores: processor time that it took while sending, per second.

    Raises:
        OSError: the host has no address.
    """

    def __init__(self, host: str, port: int, request: bytes, *, deadline_s: float) -> None:
        self.request, self.tally, self._deadline_s = request, Tally(), deadline_s
        self._family: int
        self._address: tuple[Any, ...]
        self._family, _, _, _, self._address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self.max_lag_s = 0.0
        self.cores = 0.0

    def run(self, *, rate: float, seconds: float, seed: int) -> float:
        """Send for some seconds, wait for the last answers, and return the seconds of sending."""
        arrivals, due_s = random.Random(seed), 0.0  # noqa: S311 - a schedule, not a secret
        for _ in range(min(MAX_CONNECTIONS, _FIRST_CONNECTIONS)):
            self._open_another()
        started_s, cpu_s = time.perf_counter(), time.process_time()
        while (now_s := time.perf_counter()) < started_s + seconds:
            self._take_in(now_s)
            self.max_lag_s = max(self.max_lag_s, now_s - started_s - due_s)
            while due_s <= now_s - started_s and due_s < seconds:
                self._waiting.append(started_s + due_s)
                due_s += arrivals.expovariate(rate)
            self._send_what_waits()
            time.sleep(TICK_S)
        sending_s = time.perf_counter() - started_s
        self.cores = (time.process_time() - cpu_s) / sending_s
        self.tally.answered_in_time = sum(value <= self._deadline_s for value in self.tally.latencies_s)
        self._wait_for_the_last()
        return sending_s

    def _wait_for_the_last(self) -> None:
        give_up_s = time.perf_counter() + DRAIN_S
        while (unanswered := self._unanswered) and (now_s := time.perf_counter()) < give_up_s:
            self._take_in(now_s)
            self._send_what_waits()
            time.sleep(TICK_S)
        if unanswered:
            self.tally.statuses["unanswered"] += unanswered
        for connection in list(self._connections.values()):
            self._forget(connection)
        self._poll.close()

    @property
    def _unanswered(self) -> int:
        busy = sum(connection.due_s is not None for connection in self._connections.values())
        return len(self._waiting) + busy

    def _take_in(self, now_s: float) -> None:
        """Read the answers that are there, and see which connections came about."""
        for number, events in self._poll.poll(0):
            connection = self._connections[number]
            if not connection.is_open:
                self._see_opened(connection)
                continue
            if events & select.EPOLLOUT:
                connection.send_on()
                self._watch(connection)
            if events & ~select.EPOLLOUT:
                self._read(connection, now_s)

    def _see_opened(self, connection: Connection) -> None:
        if connection.open():
            self._watch(connection)
            self._idle.append(connection)
            return
        self._forget(connection)
        self._refuse_one()

    def _refuse_one(self) -> None:
        """Count a request for which no connection came about, unless another one takes it."""
        if len(self._waiting) > len(self._idle):
            self._waiting.popleft()
            self.tally.statuses["refused"] += 1

    def _read(self, connection: Connection, now_s: float) -> None:
        head = connection.receive()
        if head is None:
            if connection.due_s is not None:
                self.tally.statuses["lost"] += 1
            self._forget(connection)
        elif head and connection.due_s is not None:
            self.tally.count(head, due_s=connection.due_s, sent_s=connection.sent_s, now_s=now_s)
            connection.due_s = None
            if b"connection: close" in head:
                self._forget(connection)
            else:
                self._idle.append(connection)

    def _send_what_waits(self) -> None:
        """Send what is due over connections that are idle, and open others for the rest."""
        while self._waiting and self._idle:
            connection = self._idle.popleft()
            connection.send(self.request, due_s=self._waiting.popleft())
            if connection.waits_to_write:
                self._watch(connection)
        opening = sum(not connection.is_open for connection in self._connections.values()) if self._waiting else 0
        for _ in range(min(len(self._waiting) - opening, MAX_CONNECTIONS - len(self._connections))):
            self._open_another()

    def _open_another(self) -> None:
        try:
            connection = Connection(self._family, self._address)
        except OSError:  # as many files are open as this process may have
            self._refuse_one()
            return
        self._connections[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLOUT)

    def _watch(self, connection: Connection) -> None:
        wanted = select.EPOLLIN | (select.EPOLLOUT if connection.waits_to_write else 0)
        self._poll.modify(connection.socket, wanted)

    def _forget(self, connection: Connection) -> None:
        """Close a connection, if it is not closed, and leave it out."""
        del self._connections[connection.socket.fileno()]
        if connection in self._idle:
            self._idle.remove(connection)
        connection.socket.close()


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
    sending_s = generator.run(rate=given.rate, seconds=given.seconds, seed=given.seed)
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
