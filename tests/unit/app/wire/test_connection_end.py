"""The end of a connection, on a clock that the test puts forward: who is waited for, and how long."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from app.wire.connection_end import ConnectionEnd
from tests.unit.app.loops import stopped_clock, turns, with_loop
from tests.unit.app.wire.connection import Transport

Wait = Callable[[float], Awaitable[None]]


def with_end(test: Callable[[ConnectionEnd, Transport, FlowControl, Wait], Awaitable[None]]) -> None:
    """Run a test's coroutine over the end of a connection whose caller has 3 s to read on."""

    async def run() -> None:
        transport = Transport()
        flow = FlowControl(transport)
        end = ConnectionEnd(asyncio.get_running_loop(), transport, flow, reader_timeout_s=3)
        with stopped_clock() as put_forward:

            async def wait(seconds: float) -> None:
                put_forward(seconds)
                await turns()

            await test(end, transport, flow, wait)

    with_loop(run())


@pytest.mark.parametrize(("is_awaited", "seconds"), [(False, 2.0), (True, 0.5)])
def test_what_still_comes_is_read_for_a_while(is_awaited: bool, seconds: float) -> None:
    """Nothing more is written, and the connection closes; sooner where a stop of the server waits for that."""

    async def check(end: ConnectionEnd, transport: Transport, flow: FlowControl, wait: Wait) -> None:
        flow.pause_reading()
        end.is_awaited = is_awaited
        end.linger()
        assert (end.has_begun, end.is_lingering, flow.read_paused) == (True, True, False)
        assert (transport.is_ended, transport.is_closed) == (True, False)
        await wait(seconds - 0.1)
        assert not transport.is_closed
        await wait(0.2)
        assert (transport.is_closed, end.is_lingering) == (True, False)

    with_end(check)


def test_a_stop_shortens_what_is_left() -> None:
    """Half a second from then on, and nothing at all where nobody lingers."""

    async def check(end: ConnectionEnd, transport: Transport, _: FlowControl, wait: Wait) -> None:
        end.is_awaited = True
        end.hasten()
        assert not end.is_lingering
        end.is_awaited = False
        end.linger()
        await wait(0.6)
        end.is_awaited = True
        end.hasten()
        await wait(0.4)
        assert not transport.is_closed
        await wait(0.2)
        assert transport.is_closed

    with_end(check)


def test_a_connection_that_is_closed_does_not_linger() -> None:
    """Its end may not be said twice."""

    async def check(end: ConnectionEnd, transport: Transport, _: FlowControl, wait: Wait) -> None:
        end.close()
        end.linger()
        await wait(0)
        assert (end.has_begun, end.is_lingering, transport.is_ended) == (True, False, False)

    with_end(check)


def test_what_comes_behind_the_last_answer_is_read() -> None:
    """Even where reading was paused: closing over it would reset the connection."""

    async def check(end: ConnectionEnd, transport: Transport, flow: FlowControl, wait: Wait) -> None:
        flow.pause_reading()
        end.begin()
        await wait(6)
        assert (end.has_begun, end.is_lingering, flow.read_paused) == (True, False, False)
        assert not transport.is_over

    with_end(check)


@pytest.mark.parametrize("reads_half", [False, True])
def test_who_never_reads_to_the_end_is_cut_off(reads_half: bool) -> None:
    """The time counts anew from the closing, and from where something was read behind that."""

    async def check(end: ConnectionEnd, transport: Transport, _: FlowControl, wait: Wait) -> None:
        transport.unread = 1
        end.wait_for_reader()
        for act in (end.close, end.note_reading) if reads_half else (end.close,):
            await wait(2)
            act()
        await wait(2.9)
        assert transport.unread
        await wait(0.2)
        assert not transport.unread

    with_end(check)


def test_who_reads_on_keeps_the_connection() -> None:
    """However long the next answer takes."""

    async def check(end: ConnectionEnd, transport: Transport, _: FlowControl, wait: Wait) -> None:
        transport.unread = 1
        end.wait_for_reader()
        await wait(2.9)
        end.note_reading()
        await wait(6)
        assert not transport.is_over

    with_end(check)


def test_the_same_wait_is_not_begun_anew() -> None:
    """Who is noticed again and again not to read would else be waited for without end."""

    async def check(end: ConnectionEnd, transport: Transport, _: FlowControl, wait: Wait) -> None:
        transport.unread = 1
        for _again in range(4):
            end.wait_for_reader()
            await wait(0.9)
        assert not transport.unread

    with_end(check)


def test_nobody_is_waited_for_when_the_connection_is_lost() -> None:
    """Neither who reads nor who sends."""

    async def check(end: ConnectionEnd, transport: Transport, _: FlowControl, wait: Wait) -> None:
        transport.unread = 1
        end.wait_for_reader()
        end.linger()
        end.cancel()
        await wait(6)
        assert (transport.unread, transport.is_closed, end.is_lingering) == (1, False, False)

    with_end(check)
