"""Starting a run's folder, and going on with one."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.files import write_atomically
from training.configuration import (
    Request,
    differences,
    read_configuration,
    remember_request,
    settled,
    surroundings,
    with_whole_paths,
    write_configuration,
)
from training.data import has_val
from training.data.findings import Findings, changed_counts
from training.data.held_out import HELD_OUT_PART
from training.devices import Computing
from training.errors import TrainingError
from training.runs.extension import PLAN
from training.runs.run import CHECKPOINT, CONFIGURATION, METRICS, SNAPSHOT, STATE, Run
from training.state import read_state


def check_new(folder: Path) -> None:
    """Refuse to start a run where one is.

    Raises:
        TrainingError: the folder holds a run, or what another training wrote.
    """
    if (folder / CONFIGURATION).exists():
        state, more = ("a finished run", " --extend EPOCHS") if is_finished(folder) else ("a run", "")
        raise TrainingError(
            f"{folder} holds {state} already. Go on with it: train --resume {_typed(folder)}{more}; or name "
            "another folder."
        )
    for name in (CHECKPOINT, STATE, SNAPSHOT):
        if (folder / name).exists():
            raise TrainingError(
                f"{folder} holds {name} of another training, or of one that was killed while it began. Move it "
                "away, or name another folder."
            )


def asked_before(folder: Path) -> Request:
    """Read what a run was asked to do.

    Raises:
        TrainingError: there is no run.
    """
    return read_configuration(folder / CONFIGURATION)[0]


def is_finished(folder: Path) -> bool:
    """Whether nothing is left to train in a run's folder."""
    return (folder / CHECKPOINT).exists()


_MAY_MOVE = ("data", "out", "device", "start", "teachers", "is_compiled", "cache")
"""Another place of the same data, start, teachers, cache or result, or another way to compute."""


def ask_again(asked: Request, given: Mapping[str, Any], *, folder: Path) -> Request:
    """Take what was typed to go on with a run: places may move, what decides the weights must stay as it came out.

    Args:
        asked: before.
        given: the options that were typed, by their names in `Request`.
        folder: of the run.

    Returns:
        What was asked before, with what moved, and with the dtype that is typed now: what `auto` takes depends on
        the machine.

    Raises:
        TrainingError: an option contradicts what the run was asked to do, or what that came to; all of them are
            listed.
    """
    _, configuration = read_configuration(folder / CONFIGURATION)
    known = settled(configuration) | {"accept": asked.accept}  # of the rule, and not of the weights
    moved = {name: value for name, value in given.items() if name in _MAY_MOVE}
    kept = {name: value for name, value in given.items() if name not in _MAY_MOVE}
    now = {name: value for name, value in kept.items() if value not in (getattr(asked, name), known[name])}
    changed = differences(now, {name: known[name] for name in now})
    if changed:
        raise TrainingError(
            f"{folder} cannot go on with what was typed: {'; '.join(changed)}. Leave these options out, or start "
            f"a new run with --run.{_how_to_train_longer(folder) if 'epochs' in now else ''}"
        )
    again = replace(asked, **moved, dtype=given.get("dtype", asked.dtype))
    return _with_the_same_part(again, configuration)


def _with_the_same_part(asked: Request, configuration: Mapping[str, Any]) -> Request:
    """Ask by number for what was drawn from the training pictures where a val part would be held out today.

    It was added since, or older versions did not use it.
    """
    is_open = asked.held_out is None and HELD_OUT_PART not in configuration
    if is_open and has_val(asked.data):
        return replace(asked, held_out=configuration.get("held_out"))
    return asked


def _how_to_train_longer(folder: Path) -> str:
    """Name the option that was meant by whoever typed other epochs: schedules are drawn for the first ones."""
    first = "" if is_finished(folder) else " finish it, then"
    return f" For more epochs{first}: train --resume {_typed(folder)} --extend EPOCHS"


def _typed(folder: Path) -> str:
    """Write a folder as it is typed into a shell."""
    return shlex.quote(str(folder))


def open_run(
    folder: Path,
    request: Request,
    configuration: Mapping[str, Any],
    *,
    computing: Computing,
    save_every: int | None,
    extends: Path | None,
    found: Findings | None,
    warn: Callable[[str], None],
) -> Run:
    """Open a run's folder: write its configuration where there is none, else compare with it.

    A run that goes on remembers what was asked for now: places that moved, and how to compute.

    Args:
        folder: that exists.
        request: what was asked for.
        configuration: what follows from it with today's code and data.
        computing: on what and how.
        save_every: steps between two states; None saves about once a minute.
        extends: folder of the finished run whose snapshot a new run starts with; None starts from nothing.
        found: in a folder of pictures, to say what became of it; None for what is no folder.
        warn: told what makes the last bits differ.

    Raises:
        TrainingError: the configuration differs from the one that was written.
    """
    path, environment = folder / CONFIGURATION, surroundings(computing)
    run = Run(folder, configuration=configuration, environment=environment, warn=warn, save_every=save_every)
    asked = with_whole_paths(request)
    if not path.exists():
        if extends is not None:
            _take_snapshot(run, extends, configuration, device=computing.device)
        try:
            write_configuration(path, request=asked, configuration=configuration, environment=environment)
        except BaseException:
            if extends is not None:  # or the folder would hold no run, and none could begin there
                for name in (STATE, METRICS):
                    (folder / name).unlink(missing_ok=True)
            raise
        return run
    before = read_configuration(path)[1]
    changed = differences(configuration, before)
    if found is not None and before.get("data_fingerprint") != configuration["data_fingerprint"]:
        changed = [*changed_counts(found, folder), *changed]  # what can be acted on first
    if changed:
        raise TrainingError(
            f"{folder} cannot go on, because this differs from {path.name}: {'; '.join(changed)}. "
            "Restore that, or start a new run with --run."
        )
    remember_request(path, asked)
    return run


def ask_longer(folder: Path, *, epochs: int) -> Request:
    """Turn a finished run's request into that of a longer one.

    Args:
        folder: of the finished run.
        epochs: to add.

    Raises:
        TrainingError: there is no run, it is not finished, or it kept no snapshot.
    """
    request, _ = read_configuration(folder / CONFIGURATION)
    for name, advice in (
        (CHECKPOINT, f"finish it first: train --resume {_typed(folder)}"),
        (SNAPSHOT, "train anew"),
    ):
        if not (folder / name).exists():
            raise TrainingError(f"{folder} cannot be extended: it holds no {name}; {advice}.")
    return replace(request, extensions=(*request.extensions, epochs), out=None)


def _take_snapshot(run: Run, folder: Path, configuration: Mapping[str, Any], *, device: torch.device) -> None:
    """Start a run with another one's snapshot and the metrics up to it; only the plan may differ."""
    state = read_state(folder / SNAPSHOT, device=device, advice="restore it, or train anew")
    assert state is not None
    changed = differences(configuration, json.loads(state["configuration"]), apart_from=PLAN)
    if changed:
        raise TrainingError(
            f"{folder} cannot be extended, because it changed since: {'; '.join(changed)}. Restore that, or start "
            "a new run."
        )
    if (folder / METRICS).exists():
        write_atomically(run.folder / METRICS, (folder / METRICS).read_bytes())
    run.adopt(state)
