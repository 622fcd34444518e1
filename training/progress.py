"""How a run tells what it does: sentences, and a live bar in a terminal, plain lines elsewhere; on stderr."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PLAIN_LINE_EVERY_S, _SECOND_LINE_AFTER_S = 15.0, 3.0


class RunProgress:
    """Shows place, loss, pictures per second and time left of one run.

    Use it as a context manager. A terminal gets a bar; a file or a pipe gets a line after the first step, 3 s
    later, and then every 15 s. The first step is no measure of the others: memory and kernels are got in it.

    Args:
        console: where to write.
        steps: of the whole run.
        done: steps that were made before, in an earlier part of the run.
        clock: seconds, monotonic.
    """

    def __init__(
        self, console: Console, *, steps: int, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._clock = clock
        self._steps = steps
        self._started_s = clock()
        self._first_done_s = self._next_line_s = self._started_s
        self._before = self._done = done
        self._pictures = 0
        self._bar = Progress(
            TextColumn("{task.fields[place]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]} ·"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=steps, completed=done, place="starting", status="")

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away, also when the run was interrupted."""
        self._bar.stop()

    def step(self, *, place: str, pictures: int, loss: float | None = None, held_out: float | None = None) -> None:
        """Count one step.

        Args:
            place: in the run, in words: "epoch 1/10".
            pictures: in this step.
            loss: per picture; None where nothing is learnt.
            held_out: accuracy on pictures that are not learnt, of the last epoch; None where none are asked.
        """
        self._done += 1
        self._pictures += pictures
        now_s = self._clock()
        measured = self._done - self._before - 1
        if not measured:
            self._first_done_s = now_s
        rate = f"{self._pictures / max(now_s - self._started_s, 1e-9):,.0f} pictures/s"
        facts = [
            *([] if loss is None else [f"loss {loss:.3f}"]),
            *([] if held_out is None else [f"held out {100 * held_out:.1f} %"]),
            rate,
        ]
        status = " · ".join(facts)
        self._bar.update(self._task, completed=self._done, place=place, status=status)
        if not self._console.is_terminal and now_s >= self._next_line_s:
            self._next_line_s = now_s + (_PLAIN_LINE_EVERY_S if measured else _SECOND_LINE_AFTER_S)
            if measured:
                left_s = (now_s - self._first_done_s) / measured * (self._steps - self._done)
                status += f" · {time_left(left_s)}"
            self.say(f"{place} · step {self._done}/{self._steps} · {status}")

    def say(self, sentence: str) -> None:
        """Print a line above the bar."""
        tell(self._console, sentence)


def time_left(seconds: float) -> str:
    """Say how long something still takes, as the bar does: "1:05:09 left"."""
    return f"{timedelta(seconds=round(seconds))} left"


def teller(console: Console) -> Callable[[str], None]:
    """Turn a console into a function that is told a sentence at a time."""
    return lambda sentence: tell(console, sentence)


def tell(console: Console, sentence: str) -> None:
    """Print a sentence as it is, whatever brackets stand in it; what would steer a terminal is escaped."""
    console.print(printable(sentence), markup=False, highlight=False, soft_wrap=True)


_STEERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, breaks of lines, what turns the direction of text, halves of characters: not joiners, blanks
and tabs, which names in many languages have."""


def printable(text: str) -> str:
    """Escape what a terminal would obey: names of files and classes may come from anybody."""
    return _STEERS.sub(lambda found: repr(found[0])[1:-1], text)
