"""How a model is opened: at the start, and beside the one that answers."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from app.batches.patience import longest_run_s
from app.engines import Engine
from app.errors import ReloadError, StartError
from app.judging import reason_of
from app.logs import SERVICE
from app.processes.cores import Share
from app.queue_watch import QueueWatch
from app.served_model import ServedModel
from app.settings import Settings
from app.threads import LAST_WORK_S, in_own_thread
from models.checkpoint import Checkpoint

_LONGEST_OPENING_S = 600.0
"""Seconds in which a new checkpoint is to be read, checked and warm; no other is loaded before. As a rule it takes
seconds, but minutes where a large network on a CPU is run once in each of hundreds of batch sizes. Source: choice;
as long as a CPU may take for one run."""
Opened = tuple[Checkpoint, Engine]
"""What was read, and what runs it."""


class OpenModel(Protocol):
    """Reads a checkpoint and starts an engine for it, as `open_checked` does."""

    def __call__(self, settings: Settings, *, threads: int) -> Opened: ...


class Opening:
    """Opens models for a service.

    Args:
        settings: of the process.
        open_model: reads the checkpoint and starts what runs it. Raises GlimpseError.
        share: of the cores, that this process has.
        retry_after_s: tells how long to stay away from a full queue.
    """

    def __init__(
        self, settings: Settings, open_model: OpenModel, *, share: Share, retry_after_s: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._open_model = open_model
        self._share = share
        self._retry_after_s = retry_after_s

    def open(self, digest: str | None = None) -> Opened:
        """Read the checkpoint of the settings, and start what runs it.

        Args:
            digest: that the file must have; None takes what the settings say.

        Raises:
            GlimpseError: it cannot be had, or gives wrong answers.
        """
        settings = self._settings.model_copy(update={"checkpoint_digest": digest}) if digest else self._settings
        return self._open_model(settings, threads=self._share.engine)

    def serve(self, opened: Opened, watch: QueueWatch) -> ServedModel:
        """Give what was opened a queue.

        Args:
            opened: by `open`.
            watch: hears what happens in it.
        """
        checkpoint, engine = opened
        return ServedModel(
            checkpoint,
            engine,
            max_queue=self._settings.max_queue,
            retry_after_s=self._retry_after_s,
            cores=self._share.cores,
            events=watch,
            longest_run_s=longest_run_s(
                max_deadline_s=self._settings.max_deadline_ms / 1000, device=engine.device
            ),
        )

    async def beside(self, watch: QueueWatch, digest: str | None, *, golden_timeout_s: float) -> ServedModel:
        """Open a model beside the one that answers, and ask it for its golden answers.

        One that gives wrong ones, or that hangs, is closed again. Nothing ends a thread that hangs: it keeps its
        memory, and nobody waits for it.

        Args:
            watch: hears what happens in its queue.
            digest: as `open`.
            golden_timeout_s: in which the answers are to come.

        Raises:
            ReloadError: it was refused, with the reason.
        """
        new: ServedModel | None = None
        opening = asyncio.timeout(_LONGEST_OPENING_S)
        try:
            async with opening:
                new = await in_own_thread(lambda: self.serve(self.open(digest), watch))
                await new.start()
            await new.ask_golden(timeout_s=golden_timeout_s)
        except Exception as error:  # whatever an engine raises, the old one goes on and the operator hears why
            if new:
                await new.retire(timeout_s=0.0 if opening.expired() else LAST_WORK_S)
            raise _refused_file(_hangs() if opening.expired() else error) from error
        return new


def refused_reload(reason: str) -> ReloadError:
    """Make the error of a reload, and log its reason: whoever asked may be a script that shows none."""
    SERVICE.warning("reload refused", extra={"fields": {"reason": reason}})
    return ReloadError(reason)


def _refused_file(error: Exception) -> ReloadError:
    return refused_reload(f"The checkpoint was refused, and the old one goes on: {reason_of(error)}")


def _hangs() -> StartError:
    return StartError(
        f"it was not open and warm after {_LONGEST_OPENING_S:.0f} s. What hangs keeps its memory until a restart. "
        "See to the file and the device, then reload again."
    )
