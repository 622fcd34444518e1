"""The command `train`: from what was typed to one request, and from its result to what is printed."""

import filecmp
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from training.carry_out import carry_out
from training.commands.options import (
    CACHE_HELP,
    DATA_HELP,
    DEVICE_HELP,
    MOST_EPOCHS,
    MOST_SEED,
    Device,
    Dtype,
    InputSizeOption,
    MirrorOption,
    RecipeName,
)
from training.commands.terminal import (
    CommandError,
    page_command,
    print_lines,
    print_metrics,
    told_in_a_sentence,
)
from training.configuration import Request
from training.contradictions import refuse_to_overwrite
from training.finish import Result
from training.measuring.label_mistakes import label_mistake_lines
from training.progress import tell
from training.report.page import FILE as PAGE
from training.runs.resume import ask_again, ask_longer, asked_before, check_new, is_finished
from training.runs.run import CHECKPOINT
from training.targets import check_target, refuse_among_pictures


def train(
    recipe: Annotated[
        RecipeName | None,
        typer.Option(
            help="tutorial: the beginner's; fast: minutes; compact: one to three hours; accurate: hours; "
            "taught: from --teacher."
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    out: Annotated[Path | None, typer.Option(help="The checkpoint to write, a .safetensors file.")] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option("--run", "--run-folder", help="Folder to keep states, metrics and the checkpoint in."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on with the run in this folder, exactly.")
    ] = None,
    extend: Annotated[
        int | None, typer.Option(min=1, metavar="EPOCHS", help="With --resume: a finished run, but longer.")
    ] = None,
    teachers: Annotated[
        list[Path] | None,
        typer.Option(
            "--teacher",
            metavar="FILE",
            help="A checkpoint of the same classes and size for taught to learn from; may be given again.",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="A checkpoint of the same network, to start with its weights; its classes may be others."
        ),
    ] = None,
    photographs: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="SHARE", help="Of the pictures, 0 to 1, to spoil as phone photos are."),
    ] = None,
    trivial_augment: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Of the pictures, 0 to 1, to change in one random way each."
        ),
    ] = None,
    mirror: MirrorOption = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=MOST_SEED, help="Of split, initialisation, order and augmentation [default: 0]."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_EPOCHS, help="Passes over the pictures, instead of the recipe's own."),
    ] = None,
    held_out: Annotated[
        int | None,
        typer.Option(min=0, help="Pictures to choose on and not to learn from [default: a tenth, 2,000 at most]."),
    ] = None,
    save_every: Annotated[
        int | None,
        typer.Option(min=1, help="With a run's folder: steps between two states [default: a minute's]."),
    ] = None,
    device: Annotated[Device | None, typer.Option(help=f"{DEVICE_HELP} [default: auto]")] = None,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Of forward passes; auto takes what is fast [default: auto].")
    ] = None,
    compile_network: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Let torch.compile make kernels first; takes a minute."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="With a run's folder: write its metrics for TensorBoard too.")
    ] = False,
    cache: Annotated[Path | None, typer.Option(help=f"{CACHE_HELP} [default: data]")] = None,
    input_size: InputSizeOption = None,
) -> None:
    """Train a network, measure it, and write one checkpoint."""
    folder = _folder_of(run_folder, resume, extend=extend)
    if folder is None and (tensorboard or save_every is not None):
        option = "--tensorboard" if tensorboard else "--save-every"
        raise CommandError(f"{option} needs the folder of a run: --run DIR.")
    typed = {
        "recipe": recipe,
        "data": data,
        "seed": seed,
        "held_out": held_out,
        "epochs": epochs,
        "device": device,
        "out": out,
        "dtype": dtype,
        "is_compiled": compile_network,
        "teachers": tuple(map(str, teachers)) if teachers else None,
        "start": start,
        "photographs": photographs,
        "trivial_augment": trivial_augment,
        "unmirrored": None if mirror is None else not mirror,
        "input_size": input_size,
        "cache": cache,
    }
    given = {
        name: str(value) if isinstance(value, StrEnum | Path) else value
        for name, value in typed.items()
        if value is not None
    }
    with told_in_a_sentence(folder) as console:
        request = _new(given, folder=folder) if resume is None else _go_on(given, folder=resume, extend=extend)
        if resume is not None and extend is None and is_finished(resume):
            _tell_finished(console, resume, out=out)
            return
        if folder is not None and (resume is None or extend is not None):
            check_new(folder)
            refuse_among_pictures(request.data, folder, option="--run", is_folder=True)
        if request.out:
            refuse_among_pictures(request.data, Path(request.out), option="--out")
        targets = [Path(request.out)] if request.out else []
        if folder is not None:
            targets.append(folder / CHECKPOINT)
        for target in targets:
            check_target(target)
        refuse_to_overwrite(request, targets)
        result = carry_out(
            request,
            folder=folder,
            targets=targets,
            save_every=save_every,
            extends=resume if extend is not None else None,
            tensorboard=tensorboard,
            console=console,
        )
        if result is not None:
            _print(result, targets)


def _folder_of(run_folder: Path | None, resume: Path | None, *, extend: int | None) -> Path | None:
    """Find the folder that a training keeps its run in; None keeps nothing."""
    if extend is not None and resume is None:
        raise CommandError("--extend needs --resume DIR, the folder of a finished run.")
    if extend is None and resume is not None and run_folder is not None:
        raise CommandError("--resume names the run's folder already; leave --run out.")
    if extend is not None and resume is not None:
        whole = resume.resolve()  # "." has no name
        return run_folder or whole.with_name(f"{whole.name}-plus-{extend}")
    return run_folder or resume


def _new(given: dict[str, Any], *, folder: Path | None) -> Request:
    """Ask for a new training."""
    if not {"recipe", "data"} <= given.keys():
        raise CommandError("--recipe and --data are needed, or --resume DIR.")
    if "out" not in given and folder is None:
        raise CommandError("name a file with --out, a folder with --run, or both.")
    return Request(**given)


def _go_on(given: dict[str, Any], *, folder: Path, extend: int | None) -> Request:
    """Ask for what a run was asked for; of what was typed only places and ways to compute may differ."""
    asked = asked_before(folder) if extend is None else ask_longer(folder, epochs=extend)
    return ask_again(asked, given, folder=folder)


def _tell_finished(console: Console, run: Path, *, out: Path | None) -> None:
    """Say that nothing is left to train, which is no failure: who tried until it succeeded has what was wanted.

    Raises:
        CommandError: the checkpoint is wanted in a second place, where it is not.
    """
    checkpoint = run / CHECKPOINT
    if out is not None and not (out.is_file() and filecmp.cmp(out, checkpoint, shallow=False)):
        raise CommandError(f"The run in {run} is finished: copy {checkpoint} to {out}.")
    if os.environ.get("RANK", "0") != "0":
        return
    missing = "" if (run / PAGE).exists() else f" Its page is made with: {page_command(run)}"
    tell(
        console,
        f"The run in {run} is finished; its result is {checkpoint}.{missing} For more epochs: "
        f"train --resume {run} --extend EPOCHS",
    )


def _print(result: Result, targets: list[Path]) -> None:
    print_metrics(result.metrics)
    if result.label_mistakes is not None:
        typer.echo("Among the pictures that were measured on, ", nl=False)
        print_lines(label_mistake_lines(result.label_mistakes))
    typer.echo(f"trained in {result.seconds:.0f} s")
    for target, digest in zip(targets, result.digests, strict=True):
        typer.echo(f"wrote {_short(target)} ({digest})")
    if result.report is not None:
        typer.echo(f"wrote {_short(result.report)}")


def _short(path: Path) -> Path:
    """The path from where the command was given, if the file lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
