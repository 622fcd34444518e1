"""The folder of one training: what it was asked to do, where it is, how it went.

- configuration.json: for people, and for `--resume`
- state.pt: to go on from; replaced whole, never half written
- snapshot.pt: a state from before the rates fell low, for `--extend`
- metrics.jsonl: a line every few steps and after each epoch
- tensorboard/: the same for TensorBoard, where that was asked for
- checkpoint.safetensors, report.html: when it is finished
- data.json, label_mistakes.json: what was found in a folder of pictures before and after
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from models.files import write_atomically
from training.configuration import differences
from training.errors import TrainingError
from training.state import BEGIN_AGAIN, is_finite, read_state, write_state

CONFIGURATION, STATE, SNAPSHOT = "configuration.json", "state.pt", "snapshot.pt"
METRICS, CHECKPOINT = "metrics.jsonl", "checkpoint.safetensors"
_SAVE_EVERY_S = 60.0  # a stop costs at most a minute's work; a state of 120 MB is written in well under a second


class Learning(Protocol):
    """A training between two steps: what is saved and told of it."""

    step: int
    seconds: float

    @property
    def steps(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def log_every(self) -> int: ...

    @property
    def lr(self) -> float: ...

    @property
    def epoch_loss(self) -> Tensor | float: ...

    def state(self) -> dict[str, Any]: ...


class Run:
    """Saves states into the folder of a run and writes its metrics.

    Args:
        folder: with its configuration written.
        configuration: that is being carried out.
        environment: that it is carried out in.
        warn: told in a sentence what makes a resumed run differ in its last bits.
        save_every: steps between two states; None saves about once a minute.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        folder: Path,
        *,
        configuration: Mapping[str, Any],
        environment: Mapping[str, Any],
        warn: Callable[[str], None],
        save_every: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._configuration = configuration
        self._environment = environment
        self._warn = warn
        self._save_every = save_every
        self._clock = clock
        self._saved_s = clock()
        self._line_s, self._line_step = clock(), 0
        self._also: Callable[..., None] | None = None

    def load_state(self, *, device: torch.device) -> dict[str, Any] | None:
        """Read the last state, and forget the metrics that were written after it.

        Returns:
            None where none was saved yet.

        Raises:
            TrainingError: the configuration changed since; the sentence lists what differs.
        """
        snapshot = self.folder / SNAPSHOT
        advice = (
            f"copy {snapshot} over it to go on from there, or {BEGIN_AGAIN}" if snapshot.exists() else BEGIN_AGAIN
        )
        state = read_state(self.folder / STATE, device=device, advice=advice)
        changed = [] if state is None else differences(self._configuration, json.loads(state["configuration"]))
        if changed:
            raise TrainingError(
                f"{self.folder} cannot go on, because it changed since its state was saved: {'; '.join(changed)}. "
                "Restore that, or start a new run with --run."
            )
        moved = [] if state is None else differences(self._environment, json.loads(state["environment"]))
        if moved:
            self._warn(f"The run goes on, but not to the last bit as it would have: {'; '.join(moved)}.")
        self._line_step = 0 if state is None else int(state["step"])
        self._cut_metrics(after=self._line_step)
        return state

    def save_state(self, learning: Learning) -> None:
        """Replace the state by the present one, unless this diverged.

        On a GPU the loss is read every few steps only, and weights can break after a loss that was fine: the last
        state that can be gone on with stays, and the training ends when the loss is read.
        """
        state = learning.state()
        if is_finite(state):
            self._write(STATE, state)
            self._saved_s = self._clock()

    def keep_snapshot(self, learning: Learning) -> None:
        """Keep the present state for a longer run to start from, unless it diverged."""
        state = learning.state()
        if is_finite(state):
            self._write(SNAPSHOT, state)

    def adopt(self, state: Mapping[str, Any]) -> None:
        """Take the state of another run as this one's."""
        self._write(STATE, state)

    def note_step(
        self, learning: Learning, *, loss: Tensor | float, must_save: bool, held_out: float | None = None
    ) -> None:
        """Write what is due after a step: metrics of the step, of the epoch, and the state.

        Args:
            learning: after the step.
            loss: per picture, of the step.
            must_save: whether the training ends here.
            held_out: accuracy on held-out pictures after the last epoch; None where none are asked.
        """
        step, per_epoch = learning.step, learning.steps_per_epoch
        if step % learning.log_every == 0 or step in {1, learning.steps}:
            rate = self._rate(learning)
            self.log(kind="step", **self._place(learning), loss=float(loss), lr=learning.lr, pictures_per_s=rate)
        if step % per_epoch == 0:
            asked = {} if held_out is None else {"held_out_accuracy": held_out}
            self.log(kind="epoch", **self._place(learning), loss=float(learning.epoch_loss) / per_epoch, **asked)
        if must_save or step == learning.steps or self._is_due(step):
            self.save_state(learning)

    def also_log(self, log: Callable[..., None]) -> None:
        """Tell somebody else, too, every line of metrics from now on."""
        self._also = log

    def log(self, **fields: object) -> None:
        """Append one line to the metrics."""
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")
        if self._also is not None and "step" in fields:
            self._also(**fields)

    def _write(self, name: str, state: Mapping[str, Any]) -> None:
        texts = {
            "configuration": json.dumps(self._configuration),
            "environment": json.dumps(self._environment),
        }
        write_state(self.folder / name, {**state, **texts})

    def _place(self, learning: Learning) -> dict[str, float]:
        epoch = (learning.step - 1) // learning.steps_per_epoch + 1
        return {"step": learning.step, "epoch": epoch, "seconds": round(learning.seconds, 3)}

    def _rate(self, learning: Learning) -> float:
        now_s, steps = self._clock(), learning.step - self._line_step
        rate = steps * learning.batch_size / max(now_s - self._line_s, 1e-9)
        self._line_s, self._line_step = now_s, learning.step
        return round(rate, 1)

    def _is_due(self, step: int) -> bool:
        if self._save_every is not None:
            return step % self._save_every == 0
        return self._clock() - self._saved_s >= _SAVE_EVERY_S

    def _cut_metrics(self, *, after: int) -> None:
        path = self.folder / METRICS
        if not path.exists():
            return
        lines = path.read_text("utf-8", "replace").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and _step_of(line) <= after]
        write_atomically(path, "".join(kept).encode())


def _step_of(line: str) -> float:
    """Step that a line of metrics was written after; infinite where it does not say, or was damaged."""
    try:
        fields = json.loads(line)
    except ValueError:
        return math.inf
    step = fields.get("step") if isinstance(fields, dict) else None
    return step if isinstance(step, int) else math.inf
