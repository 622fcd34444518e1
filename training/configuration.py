"""What a run was asked to do, in a text that a person can read, and how it differs from what it was."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.files import write_atomically
from training.data import CIFAR10
from training.devices import Computing, describe_hardware
from training.errors import TrainingError
from training.measuring.calibration import ACCEPTED_SHARE
from training.ranks import count_processes
from training.recipes import RECIPES
from training.runs.provenance import current_commit


@dataclass(frozen=True)
class Request:
    """What the user asked for, in the words of the command line's options.

    Attributes:
        recipe: a key of `RECIPES`.
        data: `cifar10`, an .npz file or a folder.
        seed: of everything random.
        held_out: pictures; None lets the data decide.
        epochs: None takes the recipe's own.
        device: `auto`, `cpu` or `cuda`.
        cache: folder for downloads and decoded pictures.
        out: a second place for the finished checkpoint, or None.
        dtype: `auto`, `float32` or `bfloat16`.
        is_compiled: whether torch.compile is used.
        start: a checkpoint whose weights to start with, or None.
        teachers: checkpoints to learn from.
        photographs: share of the pictures to treat as phone photos are; None takes the recipe's own.
        trivial_augment: share of the pictures to change by TrivialAugment; None takes the recipe's own.
        unmirrored: whether mirror images are another class, and not shown.
        extensions: epochs that each extension added to the run before it.
        input_size: side of the images in pixels; None lets the data decide.
        accept: share of the held-out pictures that the abstain rule lets pass.
        minutes: for the steps of the training, to choose the epochs by; None once they are chosen.
    """

    recipe: str
    data: str
    seed: int = 0
    held_out: int | None = None
    epochs: int | None = None
    device: str = "auto"
    cache: str = "data"
    out: str | None = None
    dtype: str = "auto"
    is_compiled: bool = False
    start: str | None = None
    teachers: tuple[str, ...] = ()
    photographs: float | None = None
    trivial_augment: float | None = None
    unmirrored: bool = False
    extensions: tuple[int, ...] = ()
    input_size: int | None = None
    accept: float = ACCEPTED_SHARE
    minutes: float | None = None


def with_whole_paths(request: Request) -> Request:
    """Make a request mean the same from any working folder; `cifar10` is no path and stays."""

    def whole(path: str) -> str:
        return str(Path(path).absolute())

    return dataclasses.replace(
        request,
        data=request.data if request.data == CIFAR10 else whole(request.data),
        cache=whole(request.cache),
        out=None if request.out is None else whole(request.out),
        start=None if request.start is None else whole(request.start),
        teachers=tuple(map(whole, request.teachers)),
    )


def settled(configuration: Mapping[str, Any]) -> dict[str, object]:
    """Tell what the options that decide the weights came to, by the names that `Request` gives them.

    What the user leaves open is settled by recipe, data and device, and can be typed from then on.
    """
    flat = dict(flatten(configuration))
    height, width = flat.get("input.height"), flat.get("input.width")
    return {
        "recipe": flat.get("recipe.name"),
        "seed": flat.get("seed"),
        "held_out": flat.get("held_out"),
        "epochs": flat.get("recipe.epochs"),
        "photographs": flat.get("recipe.photograph_share"),
        "trivial_augment": flat.get("recipe.trivial_augment_share") or 0.0,
        "unmirrored": bool(flat.get("recipe.unmirrored")),
        "input_size": height if height == width else f"{height} × {width}",
        "dtype": flat.get("dtype"),
    }


def surroundings(computing: Computing) -> dict[str, Any]:
    """Gather what decides the last bits of the weights: software, hardware and threads."""
    return {
        "commit": current_commit(),
        "torch": torch.__version__,
        **(_below_pytorch() if computing.device.type == "cuda" else {}),
        "threads": torch.get_num_threads(),
        "hardware": describe_hardware(computing.device),
        "compiled": computing.is_compiled,
        "processes": count_processes(),
    }


def _below_pytorch() -> dict[str, Any]:
    return {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}


def differences(now: Mapping[str, Any], then: Mapping[str, Any], *, apart_from: tuple[str, ...] = ()) -> list[str]:
    """Name each field that two texts do not share, with both values: "seed is 1 and was 0".

    Digests are shortened. A field that is None now and was not there then is the same: a recipe that does not have
    what a newer version can do.

    Args:
        now: as it is.
        then: as it was.
        apart_from: names of fields that may differ; those of nested ones are joined by dots.
    """
    new, old = dict(flatten(now)), dict(flatten(then))
    absent = "absent"
    return [
        f"{name} is {_shown(new.get(name, absent))} and was {_shown(old.get(name, absent))}"
        for name in [*old, *(name for name in new if name not in old)]
        if new.get(name, absent) != old.get(name, absent)
        and not (name not in old and new[name] is None)
        and name not in apart_from
    ]


def _shown(value: object) -> str:
    """Write a value; of a SHA-256 the first twelve digits, which nobody compares by eye."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", repr(value))


def write_configuration(
    path: Path, *, request: Request, configuration: Mapping[str, Any], environment: Mapping[str, Any]
) -> None:
    """Write the three parts of a run's text, for people and for `--resume`.

    In ASCII: names of files are bytes and need not be text, and escaped they come back as they were.
    """
    fields = {
        "request": dataclasses.asdict(request),
        "configuration": configuration,
        "environment": environment,
    }
    write_atomically(path, (json.dumps(fields, indent=2) + "\n").encode())


def remember_request(path: Path, request: Request) -> None:
    """Replace what was asked for in a run's text; what follows from it, and where it began, stay as they are.

    Args:
        path: of a text that `read_configuration` takes.
        request: as it is asked for now.
    """
    fields = json.loads(path.read_text("utf-8"))
    asked = json.loads(json.dumps(dataclasses.asdict(request)))
    if fields["request"] != asked:
        write_atomically(path, (json.dumps(fields | {"request": asked}, indent=2) + "\n").encode())


def read_configuration(path: Path) -> tuple[Request, dict[str, Any]]:
    """Read back what was asked for, and the configuration that followed.

    Raises:
        TrainingError: there is no run here, or its text was changed into something else.
    """
    try:
        fields = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise TrainingError(
            f"{path.parent} holds no run: there is no {path.name}. Start one with train --run {path.parent}."
        ) from error
    except ValueError as error:
        raise TrainingError(f"{path} is no JSON text ({error}). Restore it, or start a new run.") from error
    try:
        request, configuration = _request(fields["request"], path), dict(fields["configuration"])
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path} is not what Glimpse wrote ({error}). Restore it, or start a new run."
        ) from error
    if request.recipe not in list(RECIPES):
        raise TrainingError(
            f"{path} names the recipe {request.recipe!r}; there are {', '.join(RECIPES)}. Restore it, or start "
            "a new run."
        )
    return request, configuration


def _request(asked: Mapping[str, Any], path: Path) -> Request:
    """Read what was asked for; an older version had one teacher or none, and taught otherwise.

    Raises:
        TrainingError: it had one.
        TypeError: a field is missing, unknown or no list of texts.
    """
    fields = dict(asked)
    if fields.pop("teacher", None) is not None:
        raise TrainingError(
            f"{path} asks for {fields.get('recipe')} with a teacher, as an older version had it. Such a run "
            "cannot go on here; start a new one with --recipe taught."
        )
    teachers = fields.pop("teachers", [])
    if not isinstance(teachers, list) or not all(isinstance(teacher, str) for teacher in teachers):
        raise TypeError(f"the teachers are {teachers!r}; a list of texts is needed")
    extensions = tuple(fields.pop("extensions", ()))
    return Request(**fields, teachers=tuple(teachers), extensions=extensions)


def flatten(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Write nested fields as one level: {"a": {"b": 1}} becomes ("a.b", 1)."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
