"""How connections are taken in, by one process or by several on one socket.

Workers import it first, so it imports nothing heavy.
"""

import asyncio
import os
import signal
import socket
from multiprocessing.sharedctypes import Synchronized
from types import FrameType

import uvicorn

from app import logs
from app.ending import exit_code_of, say_stopped_early
from app.processes.verdicts import Verdicts

_TOGETHER_S = 60
"""Seconds that a process which is ready waits for the others: the first would get all connections of a burst."""
_GLANCE_S = 0.05
_LOOK_AWAY_S = 1.0
DEVICE_LOST = 4
"""Exit code of a process whose device, or a thread that runs it, was lost or hung."""
BACKLOG = 2048
"""Most connections that may wait to be taken in."""
LAST_REQUESTS_S = 0.05
"""Seconds that the last connections get to bring the request that they were made for."""
_MOST_A_TURN = 256
"""Most connections that are taken in before the event loop does something else."""
_OTHERS_TURN_S = 0.001
"""One of several processes takes in one connection and leaves the next to the others for so long; where it comes
back later, being busy, it takes as many as it would have taken: idle ones share a burst, and busy ones keep up."""


class Server(uvicorn.Server):
    """Takes in all connections that wait, at every turn of the event loop; one of several processes, its share.

    uvloop takes one a turn, and under overload a turn is long: new callers then waited for seconds behind others,
    and were answered after their deadline (docs/benchmarks.md).

    Args:
        config: how to serve.
        ready: counts the processes that are ready; all of them begin when all are.
        verdicts: which of several processes answer rightly; None for one that is alone.
        slot: place of this process among them, from 0.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        ready: "Synchronized[int] | None" = None,
        *,
        verdicts: Verdicts | None = None,
        slot: int = 0,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._verdicts = verdicts
        self._slot = slot
        self._being_connected: set[asyncio.Task[object]] = set()
        self._is_alone = config.workers <= 1
        self._took_s: float | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        if self._is_alone:
            on_hup = signal.getsignal(signal.SIGHUP)
            if on_hup in (signal.SIG_DFL, signal.getsignal(signal.SIGTERM)):  # else nohup, say, has seen to it
                signal.signal(signal.SIGHUP, self.handle_exit)
            signal.signal(signal.SIGTERM, self._hear_again)
        else:
            signal.signal(signal.SIGTERM, self._end_one_of_several)
        await super().serve(sockets)
        # All is answered. Should a thread still run, another signal ends the process without it.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: os._exit(DEVICE_LOST if self._is_lost else 0))

    def _hear_again(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal that uvicorn sends its own process after a clean stop, which would die of it otherwise."""
        if not self.started:  # it is a caller's, before uvicorn listens to signals
            self.handle_exit(sig, frame)

    def _end_one_of_several(self, sig: int, _frame: FrameType | None) -> None:
        """Die of the signal that uvicorn sends its own process after a stop, or, with a lost engine, tell so."""
        if self.started and self._is_lost:
            os._exit(DEVICE_LOST)
        signal.signal(sig, signal.SIG_DFL)
        signal.raise_signal(sig)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note that the process is to end; one that still warms up serves nobody, and ends at once."""
        if not self.started and frame is not None:  # without a frame it is the application that is ready to stop
            if self._is_alone:  # else the first process says it
                say_stopped_early(sig)
            os._exit(exit_code_of(sig))
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        if self._ready is not None:
            await self._begin_together(self._ready)
        for listener in sockets or []:
            listener.setblocking(False)
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
            if self._is_alone or not self._is_lost:  # who still waits when all have closed it finds it reset
                self._accept(listener, most=BACKLOG)
            listener.close()
        await asyncio.gather(*self._being_connected, return_exceptions=True)
        await asyncio.sleep(LAST_REQUESTS_S)
        await super().shutdown(sockets)

    @property
    def _is_lost(self) -> bool:
        """Whether this process ends because it can answer nothing; the others go on, and take who waits."""
        desk = self.lifespan.state.get("desk")
        return desk is not None and desk.is_lost

    @property
    def _is_right(self) -> bool:
        desk = self.lifespan.state.get("desk")
        return desk is not None and desk.is_right

    async def on_tick(self, counter: int) -> bool:
        desk = self.lifespan.state.get("desk")
        if self._verdicts is not None and desk is not None:
            self._verdicts.tell(self._slot, is_right=desk.is_right)
            desk.hear_of_others(is_another_right=self._leaves_all_to_others())
        return await super().on_tick(counter)

    async def _begin_together(self, ready: "Synchronized[int]") -> None:
        with ready.get_lock():
            ready.value += 1
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + _TOGETHER_S
        while ready.value < self.config.workers and not self.should_exit and loop.time() < ends_s:
            await asyncio.sleep(_GLANCE_S)

    def _accept(self, listener: socket.socket, most: int | None = None) -> None:
        loop = asyncio.get_running_loop()
        if most is None and self._leaves_all_to_others():
            self._took_s = None
            self._look_away(listener)
            return
        for _ in range(most or self._share(loop.time())):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                self._took_s = None
                return
            except OSError as error:  # no file descriptor left: look away for a while, or this is all that is done
                logs.SERVICE.error("cannot take a connection", extra={"fields": {"reason": error.strerror}})
                self._look_away(listener)
                return
            task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
            self._being_connected.add(task)
            task.add_done_callback(self._being_connected.discard)
        if not self._is_alone:
            self._took_s = loop.time()
            loop.remove_reader(listener)
            loop.call_later(_OTHERS_TURN_S, self._accept_again, listener)

    def _leaves_all_to_others(self) -> bool:
        """Say whether this process answers wrongly and another one rightly; where none does, all say so."""
        return self._verdicts is not None and not self._is_right and self._verdicts.is_another_right(self._slot)

    def _look_away(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_LOOK_AWAY_S, self._accept_again, listener)

    def _share(self, now_s: float) -> int:
        """Count the connections that this process takes in now."""
        if self._is_alone:
            return _MOST_A_TURN
        if self._took_s is None:
            return 1
        return max(1, min(int((now_s - self._took_s) / _OTHERS_TURN_S), _MOST_A_TURN))

    def _accept_again(self, listener: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)
            self._accept(listener)  # at once: how late this is says how busy the process is

    def _protocol(self) -> asyncio.Protocol:
        # uvicorn types it as any protocol; `app.processes.server.configure` names ours, too heavy to import here.
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol
