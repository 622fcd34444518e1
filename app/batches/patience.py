"""How long a run of the engine is waited for, before the engine is taken as lost.

The time that counts is that in which the event loop turned. A clock also goes on while the process is stopped or
its machine sleeps, and then the run was as idle as everybody else.
"""

from app.batches.runs import Runner

_SHORTEST_S = 60.0
"""No run on an accelerator takes so long: a batch takes milliseconds there. Source: choice."""
_LONGER_ON_CPU = 10
"""On a CPU a large network at a large batch size may take minutes, on cores that others want, too; and what hangs
there hangs more rarely than a device. Source: choice."""


def longest_run_s(*, max_deadline_s: float, device: str) -> float:
    """Choose how long a run may take: until nobody of its batch has any time left, whatever they asked for.

    Args:
        max_deadline_s: most that a caller may ask for, in seconds.
        device: that runs the engine; "cpu", or the accelerator's name.
    """
    return max(_SHORTEST_S, max_deadline_s) * (_LONGER_ON_CPU if device == "cpu" else 1)


class Patience:
    """Waits for the runs of one lane; to be used on the event loop.

    Args:
        runner: of the lane.
        longest_s: how long a run may take, in seconds.

    Attributes:
        runner: as given.
        waited_s: seconds for which the event loop has turned during the run that is on.
    """

    def __init__(self, runner: Runner, *, longest_s: float) -> None:
        self.runner = runner
        self.waited_s = 0.0
        self._longest_s = longest_s
        self._begun = 0

    def is_over(self, *, turned_s: float) -> bool:
        """Say whether a run has not come back for too long, now that the event loop has turned for a while more.

        Args:
            turned_s: seconds since the last time.
        """
        begun = self.runner.begun
        if self.runner.batch is None or begun != self._begun:
            self._begun, self.waited_s = begun, 0.0
        else:
            self.waited_s += turned_s
        return self.waited_s >= self._longest_s
