"""Starting a run's folder, and going on with one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from training.configuration import (
    Request,
    differences,
    read_configuration,
    surroundings,
    write_configuration,
)
from training.errors import TrainingError
from training.run import CHECKPOINT, CONFIGURATION, Run


def check_new(folder: Path) -> None:
    """Refuse to start a run where one is.

    Raises:
        TrainingError: the folder holds a run.
    """
    if (folder / CONFIGURATION).exists():
        raise TrainingError(
            f"{folder} holds a run already. Go on with it: train --resume {folder}; or name another folder."
        )


def asked_before(
    folder: Path, typed: Mapping[str, object], *, data: str | None, out: Path | None, device: str | None
) -> Request:
    """Read what a run was asked to do; what may have moved since can be named anew.

    Args:
        folder: of the run.
        typed: options that decide the weights, by name; None where they were not typed.
        data: another place of the same data.
        out: another place for the checkpoint.
        device: another device.

    Raises:
        TrainingError: there is no run, it is finished, or an option was typed that contradicts it.
    """
    request, _ = read_configuration(folder / CONFIGURATION)
    if (folder / CHECKPOINT).exists():
        raise TrainingError(f"The run in {folder} is finished; its result is {folder / CHECKPOINT}.")
    asked = {name: getattr(request, name) for name in typed}
    changed = differences({name: asked[name] if value is None else value for name, value in typed.items()}, asked)
    if changed:
        raise TrainingError(
            f"{folder} cannot go on with what was typed: {'; '.join(changed)}. Leave these options out, or start "
            "a new run with --run."
        )
    return replace(
        request,
        data=data or request.data,
        out=str(out) if out else request.out,
        device=device or request.device,
    )


def open_run(
    folder: Path,
    request: Request,
    configuration: Mapping[str, Any],
    *,
    device: torch.device,
    save_every: int | None,
    warn: Callable[[str], None],
) -> Run:
    """Open a run's folder: write its configuration where there is none, else compare with it.

    Args:
        folder: that exists.
        request: what was asked for.
        configuration: what follows from it with today's code and data.
        device: to compute on.
        save_every: steps between two states; None saves about once a minute.
        warn: told what makes the last bits differ.

    Raises:
        TrainingError: the configuration differs from the one that was written.
    """
    path, environment = folder / CONFIGURATION, surroundings(device)
    if path.exists():
        changed = differences(configuration, read_configuration(path)[1])
        if changed:
            raise TrainingError(
                f"{folder} cannot go on, because this differs from {path.name}: {'; '.join(changed)}. "
                "Restore that, or start a new run with --run."
            )
    else:
        write_configuration(path, request=request, configuration=configuration, environment=environment)
    return Run(folder, configuration=configuration, environment=environment, warn=warn, save_every=save_every)
