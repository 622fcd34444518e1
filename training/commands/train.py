"""The command `train`: from what was typed to one request, and from its result to what is printed."""

import filecmp
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from training.carry_out import Keeping, carry_out
from training.commands.options import (
    CACHE_HELP,
    DATA_HELP,
    DEVICE_HELP,
    MOST_EPOCHS,
    MOST_SEED,
    AcceptOption,
    Device,
    Dtype,
    InputSizeOption,
    MinutesOption,
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
from training.ranks import is_first_process
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
        int | None,
        typer.Option(min=1, max=MOST_EPOCHS, metavar="EPOCHS", help="With --resume: a finished run, but longer."),
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
        typer.Option(
            min=0, help=f"Of split, initialisation, order and augmentation, {MOST_SEED} at most [default: 0]."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_EPOCHS, help="Passes over the pictures, instead of the recipe's own."),
    ] = None,
    minutes: MinutesOption = None,
    held_out: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Training pictures to calibrate on and not to learn from [default: none, but val/ or x_val; "
            "without one a tenth to a fifth, 2,000 at most, none of fewer than 100; none for the tutorial].",
        ),
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
    accept: AcceptOption = None,
) -> None:
    """Train a network, measure it, and write one checkpoint."""
    keeping = _decide_keeping(run_folder, resume, extend=extend, save_every=save_every, tensorboard=tensorboard)
    given = _only_given(
        recipe=recipe,
        data=data,
        seed=seed,
        held_out=held_out,
        epochs=epochs,
        minutes=minutes,
        device=device,
        out=out,
        dtype=dtype,
        is_compiled=compile_network,
        teachers=tuple(map(str, teachers)) if teachers else None,
        start=start,
        photographs=photographs,
        trivial_augment=trivial_augment,
        unmirrored=None if mirror is None else not mirror,
        input_size=input_size,
        cache=cache,
        accept=accept,
    )
    with told_in_a_sentence(None if keeping is None else keeping.folder) as console:
        request = _ask(given, keeping)
        if keeping is not None and keeping.goes_on and is_finished(keeping.folder):
            _tell_finished(console, keeping.folder, out=out)
            return
        targets = _check_places(request, keeping)
        result = carry_out(request, keeping, targets=targets, console=console)
        if result is not None:
            _print(result, targets)


def _decide_keeping(
    run_folder: Path | None, resume: Path | None, *, extend: int | None, save_every: int | None, tensorboard: bool
) -> Keeping | None:
    """Tell a new run, one that goes on and a longer one apart; None where no run is kept."""
    if extend is not None and resume is None:
        raise CommandError("--extend needs --resume DIR, the folder of a finished run.")
    if extend is None and resume is not None and run_folder is not None:
        raise CommandError("--resume names the run's folder already; leave --run out.")
    if resume is not None and extend is not None:
        whole = resume.resolve()  # "." has no name
        longer = run_folder or whole.with_name(f"{whole.name}-plus-{extend}")
        return Keeping(longer, extends=resume, added_epochs=extend, save_every=save_every, tensorboard=tensorboard)
    if resume is not None:
        return Keeping(resume, goes_on=True, save_every=save_every, tensorboard=tensorboard)
    if run_folder is not None:
        return Keeping(run_folder, save_every=save_every, tensorboard=tensorboard)
    if tensorboard or save_every is not None:
        option = "--tensorboard" if tensorboard else "--save-every"
        raise CommandError(f"{option} needs the folder of a run: --run DIR.")
    return None


def _only_given(**typed: object) -> dict[str, Any]:
    """Leave out what was not typed; words and paths become texts."""
    return {
        name: str(value) if isinstance(value, StrEnum | Path) else value
        for name, value in typed.items()
        if value is not None
    }


def _ask(given: dict[str, Any], keeping: Keeping | None) -> Request:
    """Ask for a new training, or for what a run was asked for: of that only places and computing may differ."""
    if "minutes" in given:
        _refuse_minutes(given, keeping)
    if keeping is not None and keeping.goes_on:
        return ask_again(asked_before(keeping.folder), given, folder=keeping.folder)
    if keeping is not None and keeping.extends is not None:
        asked = ask_longer(keeping.extends, epochs=keeping.added_epochs)
        return ask_again(asked, given, folder=keeping.extends)
    if not {"recipe", "data"} <= given.keys():
        raise CommandError("--recipe and --data are needed, or --resume DIR.")
    if given.get("seed", 0) > MOST_SEED:  # a run of an older version may go on with one
        raise CommandError(f"--seed is {given['seed']}; {MOST_SEED} is the largest.")
    if "out" not in given and keeping is None:
        raise CommandError("name a file with --out, a folder with --run, or both.")
    return Request(**given)


def _refuse_minutes(given: dict[str, Any], keeping: Keeping | None) -> None:
    """Refuse to choose the passes of a training that has them already."""
    if "epochs" in given:
        raise CommandError("--minutes chooses the passes that --epochs names; give one of the two.")
    if keeping is not None and keeping.goes_on:
        raise CommandError(
            f"--minutes chooses the passes of a new run, and those of {keeping.folder} were chosen when it began; "
            "leave --minutes out."
        )
    if keeping is not None and keeping.extends is not None:
        raise CommandError("--extend says how many passes are added; leave --minutes out.")


def _check_places(request: Request, keeping: Keeping | None) -> list[Path]:
    """Refuse places that cannot be written to, or must not; the files that the checkpoint will be written to."""
    if keeping is not None and not keeping.goes_on:
        check_new(keeping.folder)
        refuse_among_pictures(request.data, keeping.folder, option="--run", is_folder=True)
    if request.out:
        refuse_among_pictures(request.data, Path(request.out), option="--out")
    targets = [Path(request.out)] if request.out else []
    if keeping is not None:
        targets.append(keeping.folder / CHECKPOINT)
    for target in targets:
        check_target(target)
    refuse_to_overwrite(request, targets)
    return targets


def _tell_finished(console: Console, run: Path, *, out: Path | None) -> None:
    """Say that nothing is left to train, which is no failure: who tried until it succeeded has what was wanted.

    Raises:
        CommandError: the checkpoint is wanted in a second place, where it is not.
    """
    checkpoint = run / CHECKPOINT
    if out is not None and not (out.is_file() and filecmp.cmp(out, checkpoint, shallow=False)):
        raise CommandError(f"The run in {run} is finished: copy {checkpoint} to {out}.")
    if not is_first_process():
        return
    missing = "" if (run / PAGE).exists() else f" Its page is made with: {page_command(run)}"
    tell(
        console,
        f"The run in {run} is finished; its result is {checkpoint}.{missing} For more epochs: "
        f"train --resume {shlex.quote(str(run))} --extend EPOCHS",
    )


def _print(result: Result, targets: list[Path]) -> None:
    print_metrics(result.metrics, may_abstain=result.may_abstain)
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
