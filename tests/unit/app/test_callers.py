"""Waiting for an answer on a connection that the test hangs up itself."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from app.callers import Caller
from app.errors import DeadlineError, EngineError
from tests.unit.app.loops import no_error_in_a_circle, turns

LONG_S = 1e6


class Line:
    """A connection on which nothing comes but what the test sends."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    async def receive(self) -> Message:
        """Wait for the next message, as a server's `receive` does."""
        return await self._messages.get()

    def send(self, kind: str) -> None:
        """Send one more message."""
        self._messages.put_nowait({"type": kind})

    def hang_up(self) -> None:
        """Be gone."""
        self.send("http.disconnect")


def on_a_loop(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test; nothing hangs, nothing complains behind its back, nothing is left running."""
    complaints: list[dict[str, Any]] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(10):
            await test()
            await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded())
    assert complaints == []


def pending() -> asyncio.Future[str]:
    """An answer that nobody has given yet."""
    return asyncio.get_running_loop().create_future()


def test_an_answer_in_time_is_handed_over() -> None:
    """And what else comes on the line does not matter."""

    async def check() -> None:
        line, answer = Line(), pending()
        async with Caller(line.receive, timeout_s=LONG_S) as caller:
            waiting = asyncio.create_task(caller.wait(answer))
            line.send("http.request")
            await turns()
            answer.set_result("cat")
            assert await waiting == "cat"

    on_a_loop(check)


def test_a_failure_is_handed_over_as_it_is() -> None:
    """The engine's own error, not one of the caller's."""

    async def check() -> None:
        answer = pending()
        async with Caller(Line().receive, timeout_s=LONG_S) as caller:
            answer.set_exception(EngineError("no memory"))
            with pytest.raises(EngineError, match=r"^no memory$"):
                await caller.wait(answer)

    on_a_loop(check)


def test_the_deadline_counts_from_the_start_on_the_given_clock() -> None:
    """At 100 with 2.5 s it is 102.5."""
    assert Caller(Line().receive, timeout_s=2.5, clock=lambda: 100.0).deadline_s == 102.5


def test_when_the_time_is_over_the_wait_is() -> None:
    """What was waited for is cancelled, so that nobody works on it any more."""

    async def check() -> None:
        answer = pending()
        async with Caller(Line().receive, timeout_s=0) as caller:
            with pytest.raises(DeadlineError, match="not there in the time"):
                await caller.wait(answer)
        assert answer.cancelled()

    on_a_loop(check)


def test_after_its_time_a_caller_waits_for_nothing_more() -> None:
    """Work that was begun too late is cancelled before it starts."""

    async def check() -> None:
        async with Caller(Line().receive, timeout_s=0) as caller:
            await turns()
            answer = pending()
            with pytest.raises(DeadlineError, match="not there in the time"):
                await caller.wait(answer)
        assert answer.cancelled()

    on_a_loop(check)


@pytest.mark.parametrize("is_waiting", [False, True], ids=["before the wait", "during the wait"])
def test_when_the_caller_hangs_up_the_wait_is_over(is_waiting: bool) -> None:
    """Whether it began already or not; the answer is cancelled, so the queue drops the picture."""

    async def check() -> None:
        line, answer = Line(), pending()
        async with Caller(line.receive, timeout_s=LONG_S) as caller:
            if is_waiting:
                asyncio.get_running_loop().call_soon(line.hang_up)
            else:
                line.hang_up()
                await turns()
            with pytest.raises(ClientDisconnect, match="hung up before the answer was there"):
                await caller.wait(answer)
        assert answer.cancelled()

    on_a_loop(check)


def test_all_that_a_caller_waits_for_ends_together() -> None:
    """A batch of three, one of them answered: the other two are cancelled with the same words."""

    async def check() -> None:
        line, answers = Line(), [pending() for _ in range(3)]
        async with Caller(line.receive, timeout_s=LONG_S) as caller:
            waiting = asyncio.gather(*map(caller.wait, answers), return_exceptions=True)
            await turns()
            answers[1].set_result("cat")
            await turns()
            line.hang_up()
            first, second, third = await waiting
        assert second == "cat"
        assert isinstance(first, ClientDisconnect)
        assert isinstance(third, ClientDisconnect)
        assert [answer.cancelled() for answer in answers] == [True, False, True]

    on_a_loop(check)


def test_who_begins_something_may_ask_first() -> None:
    """What cannot be cancelled, as decoding on the event loop, is not begun for nobody."""

    async def check() -> None:
        async with Caller(Line().receive, timeout_s=LONG_S) as caller:
            caller.require_waiting()
            caller.hang_up()
            with pytest.raises(ClientDisconnect, match="hung up"):
                caller.require_waiting()

    on_a_loop(check)


def test_the_first_reason_stays() -> None:
    """Who hung up and whose time is over then did hang up."""

    async def check() -> None:
        line = Line()
        line.hang_up()
        async with Caller(line.receive, timeout_s=0) as caller:
            await turns()
            with pytest.raises(ClientDisconnect, match="hung up"):
                await caller.wait(pending())

    on_a_loop(check)


def test_the_servers_own_cancellation_passes_unchanged() -> None:
    """Nobody hung up and no time is over: a stopping server must not be told otherwise."""

    async def check() -> None:
        answer = pending()

        async def handler() -> str:
            async with Caller(Line().receive, timeout_s=LONG_S) as caller:
                return await caller.wait(answer)

        request = asyncio.create_task(handler())
        await turns()
        request.cancel("the server stops")
        with pytest.raises(asyncio.CancelledError, match=r"^the server stops$"):
            await request
        assert answer.cancelled()

    on_a_loop(check)


def test_an_answer_that_somebody_else_cancelled_is_no_deadline() -> None:
    """Only the caller's own reasons are told as such."""

    async def check() -> None:
        answer = pending()
        async with Caller(Line().receive, timeout_s=LONG_S) as caller:
            asyncio.get_running_loop().call_soon(answer.cancel, "by the pool")
            with pytest.raises(asyncio.CancelledError, match=r"^by the pool$"):
                await caller.wait(answer)

    on_a_loop(check)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_running(fails: bool) -> None:
    """However the request ends, its timer is off and nobody listens to its connection."""

    async def check() -> None:
        alone = asyncio.all_tasks()
        caller = Caller(Line().receive, timeout_s=LONG_S)
        try:
            async with caller:
                await turns()
                assert len(asyncio.all_tasks()) == len(alone) + 1
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        await turns()
        assert asyncio.all_tasks() == alone
        assert caller._timer
        assert caller._timer.cancelled()

    on_a_loop(check)


def test_work_that_waits_for_a_thread_is_never_begun() -> None:
    """One thread, busy: who hangs up behind it takes their picture along; what is running is let run."""
    begun: list[str] = []
    gate = threading.Event()

    def work(name: str) -> None:
        begun.append(name)
        assert gate.wait(10)

    async def check() -> None:
        loop, line = asyncio.get_running_loop(), Line()
        async with Caller(line.receive, timeout_s=LONG_S) as caller:
            work_on = [loop.run_in_executor(pool, work, name) for name in ("first", "second", "third")]
            waiting = asyncio.gather(*map(caller.wait, work_on), return_exceptions=True)
            while not begun:
                await asyncio.sleep(0)
            line.hang_up()
            outcomes = await waiting
        assert [type(outcome) for outcome in outcomes] == [ClientDisconnect] * 3
        await turns()
        gate.set()

    with ThreadPoolExecutor(1) as pool:
        on_a_loop(check)
    assert begun == ["first"]


@pytest.mark.parametrize("end", ["its answer is an error", "its time is over", "it had left", "it hangs up"])
def test_an_error_leaves_nothing_behind(end: str) -> None:
    """Its traceback leads to the frames that it passed, and these must not lead back: they hold a picture."""

    def failed() -> asyncio.Future[str]:
        answer = pending()
        answer.set_exception(EngineError("no memory"))
        return answer

    async def asks() -> None:
        async with Caller(None, timeout_s=0 if end == "its time is over" else LONG_S) as caller:
            if end == "it hangs up":
                asyncio.get_running_loop().call_soon(caller.hang_up)
            elif end == "it had left":
                caller.hang_up()
            await caller.wait(failed() if end == "its answer is an error" else pending())

    async def check() -> None:
        with no_error_in_a_circle(), contextlib.suppress(EngineError, DeadlineError, ClientDisconnect):
            await asks()

    on_a_loop(check)


def test_time_that_went_by_before_anybody_waits_counts() -> None:
    """Under overload a request waits for its turn on the event loop, and its deadline does not."""

    async def check() -> None:
        now_s = 100.0
        caller = Caller(None, timeout_s=3600, clock=lambda: now_s)
        now_s += 3600
        async with caller:
            with pytest.raises(DeadlineError):
                await caller.wait(pending())

    on_a_loop(check)
