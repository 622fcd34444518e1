"""What came back to the load generator, in numbers, and how it counts what a server does."""

import asyncio

import pytest

from benchmarks.load import Generator, summary
from tests.unit.app.loops import with_loop


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
    """A server that answers nothing for a while after its first request; then all of it."""

    def __init__(self, *, stall_s: float, closes: bool = False) -> None:
        self._stall_s = stall_s
        self._closes = closes
        self._ends_s: float | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        loop = asyncio.get_running_loop()
        while await reader.read(100):
            if self._ends_s is None:
                self._ends_s = loop.time() + self._stall_s
            await asyncio.sleep(self._ends_s - loop.time())
            writer.write(ANSWER)
            if self._closes:
                break
        writer.close()
        await writer.wait_closed()


def _generate(server: Stalling, *, connections: int, deadline_s: float, seconds: float = 0.5) -> Generator:
    generator: list[Generator] = []

    async def run() -> None:
        async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            generator.append(Generator("127.0.0.1", port, b"x", deadline_s=deadline_s))
            await generator[0].run(rate=200, seconds=seconds, seed=0)
            await asyncio.gather(*generator[0]._opening)
            for connection in list(generator[0]._idle):
                connection._close()
            await asyncio.sleep(0.05)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.load.MAX_CONNECTIONS", connections)
        with_loop(run())
    return generator[0]


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


def test_who_waits_gets_another_connection_where_one_is_closed() -> None:
    """A server may close after each answer: none is left waiting, though some may be lost."""
    tally = _generate(Stalling(stall_s=0.0, closes=True), connections=2, deadline_s=5.0).tally
    assert tally.statuses["200"] > 20
    assert tally.statuses["unanswered"] == 0


def test_a_refused_connection_is_one_request() -> None:
    """It is not counted again among those that wait."""

    async def run() -> None:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
        generator = Generator("127.0.0.1", port, b"x", deadline_s=1.0)
        generator._dispatch(0.0)
        await asyncio.gather(*generator._opening)
        assert generator.tally.statuses == {"refused": 1}
        assert not generator._waiting

    with_loop(run())
