"""Commands that take a finished checkpoint: `calibrate`, `outliers`, `report`, `export`."""

import dataclasses
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from models.checkpoint import load, save
from training.commands.options import (
    AcceptAgainOption,
    CacheOption,
    CheckpointArgument,
    DataOption,
    Device,
    DeviceOption,
    JsonOption,
    seed_option,
)
from training.commands.terminal import NO_RULE, print_lines, print_metrics, told_in_a_sentence
from training.data import read_test
from training.data.rereading import find_leaked_again, read_as_trained, require_enough_for_rule, require_held_out
from training.devices import choose_device
from training.errors import TrainingError
from training.evaluate import calibrate_again, measure_checkpoint, measure_without
from training.export import export_onnx
from training.foreign import read_foreign
from training.measuring.label_mistakes import find_mistakes_in_files
from training.measuring.outliers import draw_outliers
from training.measuring.rejection import measure_rejection, rejection_lines
from training.measuring.robustness import PICTURES, measure_robustness
from training.progress import teller
from training.report.content import Content
from training.report.history import check_origin, read_history
from training.report.page import FILE as PAGE
from training.report.page import write_page
from training.targets import check_file, check_folder, check_target, refuse_among_pictures

_FOREIGN = "foreign"
"""The kind of outliers that the user has."""


class ExportFormat(StrEnum):
    """What a checkpoint can be exported as."""

    onnx = "onnx"


def calibrate(
    checkpoint: CheckpointArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The checkpoint to write, a .safetensors file; may be the same.")],
    accept: AcceptAgainOption = None,
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Fit temperatures and abstain rule again.

    On the pictures that were held out when it was trained.
    """
    with told_in_a_sentence() as console:
        refuse_among_pictures(data, out, option="--out")
        check_target(out)
        loaded = load(checkpoint)
        require_held_out(loaded.record)
        if accept is not None:
            require_enough_for_rule(loaded.record)
        dataset = read_as_trained(data, loaded.record, cache=cache, report=teller(console))
        network = loaded.network.to(choose_device(device.value))
        record, distance = calibrate_again(network, loaded.record, dataset, accept=accept, console=console)
        digest = save(out, network, record, distance=distance)
        print_metrics(record.metrics, may_abstain=record.calibration.may_abstain)
        typer.echo(f"wrote {out} ({digest})")


def outliers(
    checkpoint: CheckpointArgument,
    data: DataOption,
    count: Annotated[int, typer.Option(min=1, help="Pictures of each kind that is drawn.")] = 500,
    foreign: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|FILE.npz", help="Pictures of your own that show none of the classes: one more kind."
        ),
    ] = None,
    as_json: JsonOption = False,
    seed: Annotated[int, seed_option("the pictures that are drawn")] = 0,
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Measure how well pictures of none of the classes are told."""
    with told_in_a_sentence() as console:
        loaded = load(checkpoint)
        name, split = read_test(data, loaded.record, cache=cache, report=teller(console))
        kinds = draw_outliers(split.images, count=count, seed=seed)
        yours = ""
        if foreign is not None:
            kinds[_FOREIGN] = read_foreign(foreign, loaded.record.input, report=teller(console))
            yours = f", and {len(kinds[_FOREIGN]):,} foreign ones of {foreign}"
        graph = loaded.graph.to(choose_device(device.value))
        results = measure_rejection(graph, split.images, kinds, loaded.record.calibration)
        if as_json:
            typer.echo(
                json.dumps({kind: dataclasses.asdict(result) for kind, result in results.items()}, indent=2)
            )
        else:
            print_lines(
                [f"{name}: {len(split):,} pictures, against {count:,} of each kind that show no class{yours}"]
            )
            may_abstain = loaded.record.calibration.may_abstain
            typer.echo("\n".join(rejection_lines(results, may_abstain=may_abstain)))
            if not may_abstain:
                typer.echo(NO_RULE)


def report(
    checkpoint: CheckpointArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The folder to write report.html into.")],
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="Folder of the run that made it: adds its curves.")
    ] = None,
    corruption_pictures: Annotated[
        int, typer.Option(min=0, help="How many pictures to spoil in every way; 0 for none.")
    ] = PICTURES,
    shows_pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Show mistakes; pictures may not be yours to pass on.")
    ] = True,
    seed: Annotated[int, seed_option("the choice of pictures that are spoilt, and of the noise")] = 0,
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Write one HTML page about a checkpoint.

    Numbers, diagrams, mistakes, recipe.
    """
    with told_in_a_sentence() as console:
        history = None if run_folder is None else read_history(run_folder)
        loaded = load(checkpoint)
        if run_folder is not None:
            check_origin(run_folder, loaded.record)
        refuse_among_pictures(data, out / PAGE, option="--out")
        check_folder(out)
        loaded.network.to(choose_device(device.value))  # in place
        name, split = read_test(data, loaded.record, cache=cache, report=teller(console))
        views, metrics = measure_checkpoint(loaded, split, name=name, console=console)
        leaked = find_leaked_again(data, loaded.record, split, cache=cache, report=teller(console))
        content = Content(
            checkpoint=loaded,
            split=split,
            views=views,
            metrics=metrics,
            label_mistakes=find_mistakes_in_files(split, views.single_view, labels=loaded.record.labels),
            history=history,
            robustness=measure_robustness(
                loaded.network,
                split,
                pictures=corruption_pictures,
                seed=seed,
                place="for the report: spoilt copies",
                console=console,
            )
            if corruption_pictures
            else None,
            without_copies=None if leaked is None else measure_without(views, split.targets, leaked),
            shows_pictures=shows_pictures,
        )
        typer.echo(f"wrote {write_page(content, out)}")


def export(
    checkpoint: CheckpointArgument,
    out: Annotated[Path, typer.Option(help="The file to write, ending in .onnx.")],
    file_format: Annotated[ExportFormat, typer.Option("--format", help="Of the file.")] = ExportFormat.onnx,
) -> None:
    """Write a checkpoint in a format that other programs run.

    It is checked against the golden pictures first.
    """
    with told_in_a_sentence():
        if out.suffix != f".{file_format.value}":
            raise TrainingError(f"--out {out} must end in .{file_format.value}.")
        check_file(out)
        export_onnx(load(checkpoint), out)
        typer.echo(f"wrote {out}; onnxruntime gives the golden answers")
