"""Several processes on one socket, watched over by uvicorn.

What uvicorn calls, in its order, and what is otherwise here:

    Workers.__init__            the signals are its own now: one that was ignored, SIGHUP, stays so
    Worker.__init__             for each process: it gets the lowest slot that is free
    Worker.start                it sees the GPU of its slot alone
      in it: server             ours, which begins when all are ready, and takes in its share of the connections
      in it: pong               at each ping, on a thread beside the server: it does not make the server
    then, twice a second:
      handle_int, _term, _hup   for a signal that came: it is remembered, and SIGHUP stops instead of restarting
      Worker.is_alive, ping     of each: a signal ends the wait for an answer, and keeps all from being replaced
      Worker.kill               one that is dead or hangs: the log hears which, and its slot is free for the next
    Workers.terminate_all       the listener is closed before anybody is told to stop
    Worker.terminate            the slot is free

A fresh process imports this before it can be stopped in good order, so it imports nothing heavy.
"""

import contextlib
import itertools
import multiprocessing
import pickle
import signal
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection
from multiprocessing.sharedctypes import Synchronized
from typing import ClassVar

import uvicorn
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors import multiprocess as supervisor

from app import logs
from app.processes.accepting import Server
from app.processes.gpus import shown_to_children
from app.processes.verdicts import Verdicts

_GLANCE_S = 0.2
"""Seconds between two looks for a signal, while a worker does not answer."""


class Worker(supervisor.Process):
    """One of several processes; it takes connections in as a single one does.

    Attributes:
        ready: counts those that are ready; to be set before any is made.
        has_signal: whether the first process was sent a signal; to be set before any is made.
        verdicts: which of them answer rightly; to be set before any is made.
        gpus: that they share out; to be set before any is made.
        taken: slots of those that there are; who takes the place of another takes its slot, and its GPU.
    """

    ready: "Synchronized[int]"
    has_signal: Callable[[], bool]
    verdicts: Verdicts
    gpus: Sequence[str] = ()
    taken: ClassVar[set[int]] = set()

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._ready = Worker.ready  # its own: what a class knows does not reach a fresh process
        self._verdicts = Worker.verdicts
        self._slot = next(slot for slot in itertools.count() if slot not in Worker.taken)
        Worker.taken.add(self._slot)
        self._unanswered = 0  # pings; who was left for a signal may still answer

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = Server(self.config, self._ready, verdicts=self._verdicts, slot=self._slot)
        return self._server

    def start(self) -> None:
        with shown_to_children(Worker.gpus, self._slot):
            super().start()

    def is_alive(self, timeout: float = 5) -> bool:
        """Whether it need not be replaced: after a signal nobody is, as all may have heard it."""
        return Worker.has_signal() or super().is_alive(timeout) or Worker.has_signal()

    def ping(self, timeout: float = 5) -> bool:
        """Wait for the worker's answer or its death, or for a signal: the others must hear of it in time."""
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            self.parent_conn.send(b"ping")
            self._unanswered += 1
            ends_s = time.monotonic() + timeout
            while time.monotonic() < ends_s:
                heard = connection.wait([self.parent_conn, self.process.sentinel], _GLANCE_S)
                if self.parent_conn in heard:
                    self.parent_conn.recv()
                    self._unanswered -= 1
                    if self._unanswered == 0:
                        return True
                elif heard:
                    return False
                elif Worker.has_signal():
                    return True
        return False

    def kill(self) -> None:
        """End one that does not answer, or bury one that is dead: its place is taken by another."""
        self.process.join(_GLANCE_S)  # its end is seen a moment before its exit code
        is_dead = self.process.exitcode is not None
        fields = {"pid": self.process.pid, "exit_code": self.process.exitcode}
        logs.SERVICE.error(
            "a worker died" if is_dead else "a worker hangs, and is killed", extra={"fields": fields}
        )
        super().kill()
        Worker.taken.discard(self._slot)

    def terminate(self) -> None:
        super().terminate()
        Worker.taken.discard(self._slot)

    def pong(self) -> None:
        self.child_conn.recv()
        self.child_conn.send(self._server is not None and self._server.started)


class Workers(Multiprocess):
    """Watches over the processes; at a stop the last of them closes the listener, and nobody waits at it then.

    Args:
        config: how they serve, and how many.
        sockets: the listener.
        gpus: names of those that they share out, as CUDA_VISIBLE_DEVICES has them.

    Attributes:
        stopped_by: the signal that ended them; None where something else did.
    """

    stopped_by: signal.Signals | None = None

    @property
    def were_ready(self) -> bool:
        """Whether one of them ever was."""
        return Worker.ready.value > 0

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], *, gpus: Sequence[str] = ()) -> None:
        Worker.ready = multiprocessing.get_context("spawn").Value("i", 0)
        Worker.verdicts = Verdicts()
        Worker.gpus = gpus
        supervisor.Process = Worker  # type: ignore[misc]  # what is started, and started again
        Worker.has_signal = lambda: bool(self.signal_queue)
        is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by nohup, say
        super().__init__(config, sockets)
        if is_ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # for the workers, too

    def handle_int(self) -> None:
        self.stopped_by = signal.SIGINT
        super().handle_int()

    def handle_term(self) -> None:
        self.stopped_by = signal.SIGTERM
        super().handle_term()

    def handle_hup(self) -> None:
        """Stop, as every process does whose terminal is closed: the workers have heard it, too."""
        self.handle_term()
        self.stopped_by = signal.SIGHUP

    def terminate_all(self) -> None:
        for listener in self.sockets:
            listener.close()
        super().terminate_all()
