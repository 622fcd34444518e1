"""What ends a service that answers: a signal, a lost device, the end of the process that would end it."""

import asyncio
import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

from app.logs import SERVICE
from app.service import Service

_Handler = Callable[[int, FrameType | None], object]
_ECHO_S = 1.0
"""A SIGTERM that comes sooner after another is that one again: systemd and dumb-init tell every process of
`--workers`, and the first of them repeats it to the others within half a second."""


@contextlib.contextmanager
def stopped_with_first_process() -> Iterator[None]:
    """Stop as after SIGTERM when the first process of `--workers` was killed: its port would stay taken."""
    first = multiprocessing.parent_process()
    if first is None:
        yield
        return
    loop, gone = asyncio.get_running_loop(), first.sentinel

    def stop() -> None:
        loop.remove_reader(gone)
        SERVICE.error("the first process is gone, and with it whoever would stop this one")
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(gone, stop)
    try:
        yield
    finally:
        loop.remove_reader(gone)


@contextlib.contextmanager
def drained_on_signals(service: Service, delay_s: float) -> Iterator[None]:
    """Go on for a while without being ready between SIGTERM and the server's own answer to it.

    A load balancer needs that time to notice, and every caller on an open connection hears `Connection: close`
    before the connection is closed. A terminal that was closed (SIGHUP) means the same. A second signal is obeyed
    at once, unless it is an echo of the first, and so is Ctrl-C. When the device is lost the server is told to
    stop without a signal: Docker restarts what ends, not what is unhealthy.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python hands signals to the main thread alone; whoever runs us in another one stops us otherwise
        return
    loop, servers_own = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    told_s: float | None = None

    def stop() -> None:
        if callable(servers_own):
            servers_own(signal.SIGTERM, None)

    def begin() -> None:
        nonlocal told_s
        if told_s is None:
            told_s = loop.time()
            service.drain()
            loop.call_later(delay_s, stop)
        elif loop.time() - told_s > _ECHO_S:
            stop()

    # a handler may have interrupted whoever holds a lock that these need
    ours = _handlers(partial(loop.call_soon_threadsafe, begin), partial(loop.call_soon_threadsafe, service.drain))
    before = {number: signal.signal(number, handler) for number, handler in ours.items()}
    try:
        with _stopped_when_lost(service, stop):
            yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is ours[number]:  # else a server that has given up took its own away
                signal.signal(number, handler)


def _handlers(begin: Callable[[], object], drain: Callable[[], object]) -> dict[int, _Handler]:
    """Choose which signals are ours while the server's own handlers are in place, and what each of them does.

    Args:
        begin: what SIGTERM and a closed terminal do.
        drain: what Ctrl-C does before the server obeys it, so that whoever is cut off at the end hears 503.
    """
    on_term, on_hup, on_ctrl_c = map(signal.getsignal, (signal.SIGTERM, signal.SIGHUP, signal.SIGINT))
    ours: dict[int, _Handler] = {signal.SIGTERM: lambda *_: begin()}
    if on_hup is signal.SIG_DFL or (callable(on_hup) and on_hup == on_term):  # else nohup, say, has seen to it
        ours[signal.SIGHUP] = ours[signal.SIGTERM]
    if callable(on_ctrl_c):  # else nobody obeys it, and it means nothing
        obey = on_ctrl_c

        def interrupt(number: int, _frame: FrameType | None) -> None:
            drain()
            obey(number, None)

        ours[signal.SIGINT] = interrupt
    return ours


@contextlib.contextmanager
def _stopped_when_lost(service: Service, stop: Callable[[], None]) -> Iterator[None]:
    """Tell the server to stop when only a new process can answer."""

    async def wait() -> None:
        await service.lost.wait()
        SERVICE.error("the device, or a thread that runs it, is lost or hangs, and only a new process has it back")
        service.drain()
        stop()

    waiting = asyncio.get_running_loop().create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()
