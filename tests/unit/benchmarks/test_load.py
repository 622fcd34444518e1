"""What came back to the load generator, in numbers, and how it counts what a server does."""

import asyncio
import errno
import queue
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from benchmarks.load import Connection, Generator, summary


def test_a_summary_says_what_came_back() -> None:
    """In 2 s of sending 8 requests left; 5 answers were good, and 3 of these came while others were being sent."""
    generator = Generator("127.0.0.1", 1, b"", deadline_s=1.0)
    tally = generator.tally
    tally.statuses.update({"200": 5, "503": 2, "lost": 1})
    tally.latencies_s = [0.1, 0.2, 1.5, 1.2, 0.3]
    tally.from_sending_s = [0.1, 0.2, 0.9, 1.2, 0.3]
    tally.answered_in_time = 3
    tally.without_retry_after = 2
    generator.cores, generator.max_lag_s = 0.456, 0.01234
    assert summary(generator, sending_s=2.0, deadline_ms=1000) == {
        "sent_per_s": 4.0,
        "goodput_per_s": 1.5,
        "statuses": {"200": 5, "503": 2, "lost": 1},
        "late": 2,
        "late_since_sent": 1,
        "without_retry_after": 2,
        "p50_ms": 300.0,
        "p99_ms": 1500.0,
        "max_ms": 1500.0,
        "generator_cores": 0.46,
        "generator_max_lag_ms": 12.3,
    }


def test_without_an_answer_there_is_no_latency() -> None:
    """All were refused: zeros, and no failure of the arithmetic."""
    generator = Generator("127.0.0.1", 1, b"", deadline_s=1.0)
    generator.tally.statuses["503"] = 10
    found = summary(generator, sending_s=5.0, deadline_ms=1000)
    assert [found[name] for name in ("sent_per_s", "goodput_per_s", "late")] == [2.0, 0.0, 0]
    assert [found[name] for name in ("p50_ms", "p99_ms", "max_ms")] == [pytest.approx(0)] * 3


ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Stalling:
    """A server that answers nothing for a while after its first request; then all of it.

    Args:
        stall_s: the while.
        closes: whether it closes each connection behind an answer.
        answer: to each request.
        pieces: in which the answer comes.
        reads: bytes of a request.
    """

    def __init__(
        self, *, stall_s: float, closes: bool = False, answer: bytes = ANSWER, pieces: int = 1, reads: int = 1
    ) -> None:
        self._stall_s = stall_s
        self._closes = closes
        self._answer = answer
        self._pieces = pieces
        self._reads = reads
        self._ends_s: float | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            await self._answer_all(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while await _was_read(reader, self._reads):
            if self._ends_s is None:
                self._ends_s = loop.time() + self._stall_s
            await asyncio.sleep(self._ends_s - loop.time())
            size = -(-len(self._answer) // self._pieces)
            for start in range(0, len(self._answer), size):
                writer.write(self._answer[start : start + size])
                await asyncio.sleep(0.005 if self._pieces > 1 else 0)  # so that they come one by one
            if self._closes:
                break


async def _was_read(reader: asyncio.StreamReader, count: int) -> bool:
    """Read a request; False at the end of the connection."""
    try:
        await reader.readexactly(count)
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    return True


@contextmanager
def _serving(server: Stalling) -> Iterator[int]:
    """Run a server in a thread of its own; gives its port."""
    port: queue.SimpleQueue[int] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    ending = asyncio.Event()

    async def serve() -> None:
        async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
            port.put(listener.sockets[0].getsockname()[1])
            await ending.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        yield port.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(timeout=10)
        loop.close()


def _generate(
    server: Stalling,
    *,
    connections: int = 2,
    deadline_s: float = 5.0,
    seconds: float = 0.5,
    request: bytes = b"x",
) -> Generator:
    with _serving(server) as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.load.MAX_CONNECTIONS", connections)
        generator = Generator("127.0.0.1", port, request, deadline_s=deadline_s)
        generator.run(rate=200, seconds=seconds, seed=0)
    return generator


def test_a_request_is_late_from_the_moment_at_which_it_was_due() -> None:
    """While the only connection waits for an answer others fall due: their waiting counts, though not sent yet."""
    tally = _generate(Stalling(stall_s=0.3), connections=1, deadline_s=0.1, seconds=0.6).tally
    assert tally.statuses.keys() == {"200"}
    waited = [due - sent for due, sent in zip(tally.latencies_s, tally.from_sending_s, strict=True)]
    assert max(tally.latencies_s) > 0.25
    assert max(waited) > 0.2
    late = sum(latency > 0.1 for latency in tally.latencies_s)
    assert late > 20
    assert tally.answered_in_time <= len(tally.latencies_s) - late


def test_each_request_is_counted_once() -> None:
    """As many answers are counted as arrivals were drawn, whatever was still in flight when sending ended."""
    tally = _generate(Stalling(stall_s=0.1)).tally
    arrivals, due_s, drawn = random.Random(0), 0.0, 0  # noqa: S311 - a schedule, not a secret
    while due_s < 0.5:
        due_s += arrivals.expovariate(200)
        drawn += 1
    assert tally.statuses == {"200": drawn}


def test_who_waits_gets_another_connection_where_one_is_closed() -> None:
    """A server may close after each answer: none is left waiting, though some may be lost."""
    tally = _generate(Stalling(stall_s=0.0, closes=True)).tally
    assert tally.statuses["200"] > 20
    assert tally.statuses["unanswered"] == 0


def test_an_answer_that_says_so_is_the_last_of_its_connection() -> None:
    """The next request takes another connection, so that none is written into one that is being closed."""
    last = ANSWER.replace(b"content", b"connection: close\r\ncontent")
    tally = _generate(Stalling(stall_s=0.0, answer=last, closes=True)).tally
    assert tally.statuses.keys() == {"200"}


def test_an_answer_may_come_in_pieces_and_a_request_may_be_large() -> None:
    """Ten megabytes are more than a socket takes at once; an answer counts when its last byte is there."""
    server = Stalling(stall_s=0.0, pieces=5, reads=10_000_000)
    tally = _generate(server, connections=1, seconds=0.02, request=b"x" * 10_000_000).tally
    assert tally.statuses.keys() == {"200"}


def test_what_is_never_answered_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests on a connection, and those that wait for one, count as unanswered when nobody waits any longer."""
    monkeypatch.setattr("benchmarks.load.DRAIN_S", 0.05)
    tally = _generate(Stalling(stall_s=60.0), seconds=0.1).tally
    assert tally.statuses.keys() == {"unanswered"}
    assert tally.statuses["unanswered"] > 5


def test_without_a_file_for_another_connection_those_that_are_there_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would need one more is counted as refused, and nothing is lost."""
    made: list[Connection] = []

    def open_two(*given: Any) -> Connection:
        if len(made) == 2:
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(Connection(*given))
        return made[-1]

    monkeypatch.setattr("benchmarks.load.Connection", open_two)
    statuses = _generate(Stalling(stall_s=0.1), connections=100).tally.statuses
    assert statuses.keys() == {"200", "refused"}
    assert statuses["200"] > 20


def test_a_refused_connection_is_one_request() -> None:
    """Where nobody listens each request is refused once, and none waits for an answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it does not listen
        generator = Generator("127.0.0.1", taken.getsockname()[1], b"x", deadline_s=1.0)
        generator.run(rate=200, seconds=0.2, seed=0)
    assert generator.tally.statuses.keys() == {"refused"}
    assert generator.tally.statuses["refused"] > 20
