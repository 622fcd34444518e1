"""One at a time, and nobody waits for long."""

import asyncio
import threading

import pytest
import torch

from app.errors import NotReadyError, OverloadedError
from app.tensors.turns import Turns


class Gate:
    """Work that begins, and ends when it is let go."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.may_end.wait(timeout=20)
        return "done"


async def _begun(turns: Turns, gate: Gate) -> "asyncio.Task[str]":
    task = asyncio.create_task(turns.run(gate))
    await asyncio.to_thread(gate.began.wait, 20)
    return task


def test_who_would_wait_long_is_sent_away() -> None:
    """With the time to come back; once the turn is free the next one gets it."""

    async def scenario() -> None:
        turns, gate = Turns(max_wait_s=0.02), Gate()
        first = await _begun(turns, gate)
        with pytest.raises(OverloadedError, match=r"one demo at a time.*Come back after Retry-After") as caught:
            await turns.run(lambda: "never")
        assert caught.value.retry_after_s >= 1
        gate.may_end.set()
        assert await first == "done"
        assert await turns.run(lambda: "next") == "next"

    asyncio.run(scenario())


def test_who_waits_a_little_gets_a_turn() -> None:
    """The second begins when the first has ended."""

    async def scenario() -> None:
        turns, gate = Turns(max_wait_s=20), Gate()
        first = await _begun(turns, gate)
        second = asyncio.create_task(turns.run(gate.may_end.is_set))
        await asyncio.sleep(0)
        gate.may_end.set()
        assert (await first, await second) == ("done", True)

    asyncio.run(scenario())


def test_a_turn_lasts_as_long_as_its_thread() -> None:
    """Who hangs up does not free it: the thread is still busy."""

    async def scenario() -> None:
        turns, gate = Turns(max_wait_s=0.02), Gate()
        first = await _begun(turns, gate)
        first.cancel()
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], asyncio.CancelledError)
        with pytest.raises(OverloadedError, match="one demo at a time"):
            await turns.run(lambda: "never")
        turns._max_wait_s = 20  # a thread takes its time to end
        gate.may_end.set()
        assert await turns.run(lambda: "next") == "next"

    asyncio.run(scenario())


def test_a_failure_frees_the_turn() -> None:
    """And reaches the caller as it is."""

    async def scenario() -> None:
        turns = Turns(max_wait_s=0.02)
        with pytest.raises(ZeroDivisionError, match="division"):
            await turns.run(lambda: 1 // 0)
        assert await turns.run(lambda: 1) == 1

    asyncio.run(scenario())


def test_only_so_many_wait() -> None:
    """The ninth is sent away at once; the eight get their turns."""

    async def scenario() -> None:
        turns, gate = Turns(max_wait_s=20), Gate()
        first = await _begun(turns, gate)
        waiting = [asyncio.create_task(turns.run(lambda: "done")) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="8 others wait for their turn"):
            await turns.run(lambda: "never")
        gate.may_end.set()
        assert await asyncio.gather(first, *waiting) == ["done"] * 9
        await turns.close()

    asyncio.run(scenario())


def test_a_run_has_one_core_and_a_thread_of_its_own() -> None:
    """PyTorch would take all cores of the machine, whatever share of them is ours."""

    async def scenario() -> None:
        before, turns = torch.get_num_threads(), Turns()
        found = await turns.run(lambda: (torch.get_num_threads(), threading.current_thread().name))
        assert found == (1, "lab_0")
        assert torch.get_num_threads() == before
        await turns.close()

    asyncio.run(scenario())


def test_the_end_waits_for_the_run_in_progress() -> None:
    """It gets its answer; who comes later is told that the service stops."""

    async def scenario() -> None:
        turns, gate = Turns(), Gate()
        running = await _begun(turns, gate)
        closing = asyncio.create_task(turns.close())
        assert not (await asyncio.wait([closing], timeout=0.1))[0]  # it cannot be over
        gate.may_end.set()
        await closing
        assert await running == "done"
        with pytest.raises(NotReadyError, match="stopping"):
            await turns.run(lambda: "never")

    asyncio.run(scenario())
