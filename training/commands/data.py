"""Commands that look at data: `inspect`, `mistakes`, `samples`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from models.checkpoint import Checkpoint
from models.preprocessing import InputSpec
from training.commands.options import (
    MOST_EPOCHS,
    CacheOption,
    DataOption,
    Device,
    DeviceOption,
    InputSizeOption,
    JsonOption,
    MirrorOption,
    RecipeName,
    seed_option,
)
from training.commands.terminal import print_lines, told_in_a_sentence
from training.data import findings, read_dataset
from training.data.inspection import inspect_dataset
from training.devices import Computing, choose_device, choose_dtype, keep_freed_memory
from training.doubts import doubt_as_judge
from training.earlier import load_start, start_with
from training.errors import TrainingError
from training.folds import judge_all
from training.measuring.grids import draw_samples
from training.measuring.label_mistakes import MOST_LISTED, label_mistake_lines, to_json
from training.progress import tell, teller
from training.recipes import RECIPES, Recipe, TutorialRecipe, is_taught
from training.targets import check_png, refuse_among_pictures


def inspect(
    data: DataOption,
    as_json: JsonOption = False,
    seed: Annotated[int, seed_option("the split, where a folder has no test part")] = 0,
    cache: CacheOption = Path("data"),
    input_size: InputSizeOption = None,
) -> None:
    """Look at a data set: counts, unreadable files, copies.

    Copies within and across its parts, and such as lie in two classes.
    """
    with told_in_a_sentence() as console:
        dataset = read_dataset(
            data, seed=seed, cache=cache, report=teller(console), input_size=input_size, takes_val=True
        )
        found = inspect_dataset(dataset)
        if as_json:
            typer.echo(findings.to_json(found))
        else:
            print_lines(findings.to_lines(found))


def mistakes(
    data: DataOption,
    recipe: Annotated[RecipeName, typer.Option(help="To train the judging networks with.")] = RecipeName.fast,
    folds: Annotated[int, typer.Option(min=2, max=20, help="Trainings; each judges what it did not learn.")] = 4,
    count: Annotated[int, typer.Option(min=1, help="The likeliest mistakes to list, at most.")] = MOST_LISTED,
    start: Annotated[
        Path | None,
        typer.Option(
            help="A checkpoint of the same network for the judges to start with; its classes may be others."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list on stdout instead of text.")] = False,
    seed: Annotated[int, seed_option("split, folds, initialisation, order and augmentation")] = 0,
    device: DeviceOption = Device.auto,
    epochs: Annotated[
        int | None, typer.Option(min=1, max=MOST_EPOCHS, help="Instead of the recipe's own.")
    ] = None,
    mirror: MirrorOption = None,
    cache: CacheOption = Path("data"),
    input_size: InputSizeOption = None,
) -> None:
    """List the likeliest label mistakes of a whole data set.

    It takes as long as --folds trainings; how long that is, it says after the first.
    """
    with told_in_a_sentence() as console:
        table = RECIPES[recipe.value]
        if is_taught(table):
            raise TrainingError(
                f"The recipe {table.name} learns from a teacher, who has learnt the pictures already; take fast."
            )
        if mirror is False:
            table = replace(table, unmirrored=True)
        earlier = None if start is None else _read_start(start, table)
        keep_freed_memory()
        target = choose_device(device.value)
        dataset = read_dataset(
            data, seed=seed, cache=cache, report=teller(console), input_size=input_size, takes_val=True
        )
        if earlier is not None and (doubts := doubt_as_judge(earlier.record, dataset)) is not None:
            tell(console, doubts)
        found = judge_all(
            table,
            dataset,
            folds=folds,
            seed=seed,
            computing=Computing(target, choose_dtype("auto", target)),
            console=console,
            epochs=epochs,
            start=None if earlier is None else start_with(earlier, labels=dataset.labels),
            most=count,
        )
        if as_json:
            typer.echo(to_json(found))
        else:
            print_lines(label_mistake_lines(found, most=count))


def _read_start(path: Path, recipe: Recipe) -> Checkpoint:
    """Read the checkpoint that judges start with.

    Raises:
        TrainingError: it is another network, or the recipe's draws its own weights.
    """
    if isinstance(recipe, TutorialRecipe):
        raise TrainingError("The tutorial starts with random weights: leave --start out.")
    return load_start(path, architecture=recipe.architecture, spec=InputSpec(mean=recipe.mean, std=recipe.std))


def samples(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    seed: Annotated[int, seed_option("the split and of the pictures that are shown")] = 0,
    cache: CacheOption = Path("data"),
) -> None:
    """Draw a labelled grid of random training pictures."""
    with told_in_a_sentence() as console:
        refuse_among_pictures(data, out, option="--out")
        check_png(out)
        dataset = read_dataset(data, seed=seed, cache=cache, report=teller(console))
        draw_samples(dataset.train, labels=dataset.labels, seed=seed, path=out)
        typer.echo(f"wrote {out}")
