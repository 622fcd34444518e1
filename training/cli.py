"""`python -m training …`: what a person types, and what is printed."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from models.checkpoint import load, save
from training.calibration import calibrate as calibrate_network
from training.calibration import reliability_by_view
from training.carry_out import carry_out
from training.configuration import Request
from training.data import read_test
from training.devices import choose_device
from training.errors import TrainingError
from training.evaluate import measure, run_views
from training.export import export_onnx
from training.grids import draw_predictions
from training.label_mistakes import to_lines as label_mistake_lines
from training.looking import inspect, mistakes, samples
from training.options import (
    DATA_HELP,
    DEVICE_HELP,
    SEED_HELP,
    CacheOption,
    CheckpointArgument,
    CorruptionPicturesOption,
    CorruptionsOption,
    DataOption,
    Device,
    DeviceOption,
    Dtype,
    ExportFormat,
    InputSizeOption,
    RecipeName,
    ReportPicturesOption,
    SeedOption,
)
from training.outliers import draw_outliers
from training.recalibration import read_as_trained
from training.rejection import measure_rejection, rejection_lines
from training.reliability import reliability_lines
from training.report.history import read_history
from training.report.making import make_report
from training.resume import ask_longer, asked_before, check_new, keep_to, with_moved
from training.robustness import PICTURES, measure_robustness, table
from training.run import CHECKPOINT
from training.terminal import check_png, check_target, print_metrics, tell, teller, told_in_a_sentence

app = typer.Typer(
    name="training",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train a small image classifier, and measure what it is worth.",
)


for _command in (inspect, mistakes, samples):
    app.command()(_command)


def run(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: as typed; None takes those of the process.

    Returns:
        0 done, 1 a refused input, 2 usage, 130 stopped by Ctrl-C.
    """
    try:
        app(arguments)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    return 0


@app.command()
def train(
    recipe: Annotated[RecipeName | None, typer.Option(help="Which training configuration.")] = None,
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
    teacher: Annotated[Path | None, typer.Option(help="The checkpoint that compact learns from.")] = None,
    photographs: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="SHARE", help="Of the pictures, to treat as phone photos are."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help=f"{SEED_HELP} [default: 0]")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's own.")] = None,
    held_out: Annotated[
        int | None, typer.Option(min=0, help="Training pictures not to learn from; 0 learns from all.")
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between two saved states [default: a minute's].")
    ] = None,
    device: Annotated[Device | None, typer.Option(help=f"{DEVICE_HELP} [default: auto]")] = None,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Of forward passes; auto takes what is fast [default: auto].")
    ] = None,
    compile_network: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Let torch.compile make kernels first: for runs on CUDA."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="With a run's folder: write its metrics for TensorBoard too.")
    ] = False,
    cache: CacheOption = Path("data"),
    input_size: InputSizeOption = None,
) -> None:
    """Train a network, measure it on the test part, and write one checkpoint."""
    folder = _folder_of(run_folder, resume, extend=extend, tensorboard=tensorboard)
    with told_in_a_sentence(folder) as console:
        if resume is not None:
            typed = {
                "recipe": recipe and recipe.value,
                "seed": seed,
                "held_out": held_out,
                "epochs": epochs,
                "photographs": photographs,
                "input_size": input_size,
                "dtype": dtype and dtype.value,
            }
            asked = asked_before(resume) if extend is None else ask_longer(resume, epochs=extend)
            kept = keep_to(asked, typed, folder=resume)
            request = with_moved(
                kept,
                data=data,
                out=out,
                device=device and device.value,
                teacher=teacher,
                is_compiled=compile_network,
            )
        else:
            if recipe is None or data is None:
                raise typer.BadParameter("--recipe and --data are needed, or --resume DIR.")
            if out is None and run_folder is None:
                raise typer.BadParameter("name a file with --out, a folder with --run, or both.")
            request = Request(
                recipe=recipe.value,
                data=data,
                seed=seed or 0,
                held_out=held_out,
                epochs=epochs,
                device=(device or Device.auto).value,
                cache=str(cache),
                out=None if out is None else str(out),
                dtype=(dtype or Dtype.auto).value,
                is_compiled=bool(compile_network),
                teacher=None if teacher is None else str(teacher),
                photographs=photographs,
                input_size=input_size,
            )
        targets = [Path(request.out)] if request.out else []
        if folder is not None:
            if resume is None or extend is not None:
                check_new(folder)
            targets.append(folder / CHECKPOINT)
        for target in targets:
            check_target(target)
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
            print_metrics(result.metrics)
            if result.label_mistakes is not None:
                typer.echo("Among the pictures that were measured on, ", nl=False)
                typer.echo("\n".join(label_mistake_lines(result.label_mistakes)))
            for target, digest in zip(targets, result.digests, strict=True):
                typer.echo(f"Trained in {result.seconds:.0f} s; wrote {target} ({digest})")
            if result.report is not None:
                typer.echo(f"wrote {result.report}")


@app.command()
def evaluate(
    checkpoint: CheckpointArgument,
    data: DataOption,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")] = False,
    grid: Annotated[
        Path | None, typer.Option(help="Also draw a test batch with its labels into this PNG.")
    ] = None,
    corruptions: CorruptionsOption = False,
    corruption_pictures: CorruptionPicturesOption = PICTURES,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Measure a checkpoint: overall, per class, single view and six views."""
    with told_in_a_sentence() as console:
        if grid is not None:
            check_png(grid)
        loaded = load(checkpoint)
        labels = loaded.record.labels
        network = loaded.network.to(choose_device(device.value))
        name, split = read_test(data, loaded.record, cache=cache, report=teller(console))
        calibration = loaded.record.calibration
        views = run_views(
            network, split.images, console=console, calibration=calibration, distance=loaded.distance
        )
        metrics = measure(views, split, labels=labels, name=name, calibration=calibration)
        reliability = reliability_by_view(views.single_view, views.six_views, split.targets, calibration)
        if grid is not None:
            draw_predictions(split, views.single_view, labels=labels, seed=seed, path=grid)
            tell(console, f"wrote {grid}")
        robustness = None
        if corruptions:
            robustness = measure_robustness(
                network, split, pictures=corruption_pictures, seed=seed, console=console
            )
        if as_json:
            fields = dataclasses.asdict(metrics)
            del fields["split"]
            fields["reliability"] = {view: dataclasses.asdict(both) for view, both in reliability.items()}
            if robustness is not None:
                fields["corruptions"] = dataclasses.asdict(robustness)
            typer.echo(json.dumps(fields, indent=2))
        else:
            print_metrics(metrics)
            typer.echo("\n".join(reliability_lines(reliability)))
            if robustness is not None:
                typer.echo("\n".join(table(robustness)))


@app.command()
def calibrate(
    checkpoint: CheckpointArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The checkpoint to write, a .safetensors file; may be the same.")],
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Fit temperatures and abstain rule again, on the pictures that were held out when it was trained."""
    with told_in_a_sentence() as console:
        check_target(out)
        loaded = load(checkpoint)
        dataset = read_as_trained(data, loaded.record, cache=cache, report=teller(console))
        network = loaded.network.to(choose_device(device.value))
        fitted = calibrate_network(network, dataset.train, dataset.held_out, console=console)
        views = run_views(
            network,
            dataset.test.images,
            console=console,
            calibration=fitted.calibration,
            distance=fitted.distance,
        )
        metrics = measure(
            views,
            dataset.test,
            labels=dataset.labels,
            name=loaded.record.metrics.split,
            calibration=fitted.calibration,
        )
        record = dataclasses.replace(loaded.record, calibration=fitted.calibration, metrics=metrics)
        digest = save(out, network, record, distance=fitted.distance)
        tell(console, fitted.sentence)
        print_metrics(metrics)
        typer.echo(f"wrote {out} ({digest})")


@app.command()
def outliers(
    checkpoint: CheckpointArgument,
    data: DataOption,
    count: Annotated[int, typer.Option(min=1, help="Pictures of each kind.")] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")] = False,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Measure how well a checkpoint tells pictures that show none of its classes."""
    with told_in_a_sentence() as console:
        loaded = load(checkpoint)
        name, split = read_test(data, loaded.record, cache=cache, report=teller(console))
        kinds = draw_outliers(split.images, count=count, seed=seed)
        graph = loaded.graph.to(choose_device(device.value))
        results = measure_rejection(graph, split.images, kinds, loaded.record.calibration)
        if as_json:
            typer.echo(
                json.dumps({kind: dataclasses.asdict(result) for kind, result in results.items()}, indent=2)
            )
        else:
            typer.echo(f"{name}: {len(split):,} pictures, against {count:,} of each kind that show no class")
            typer.echo("\n".join(rejection_lines(results)))


@app.command()
def report(
    checkpoint: CheckpointArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The folder to write report.html into.")],
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="Folder of the run that made it: adds its curves.")
    ] = None,
    corruption_pictures: ReportPicturesOption = PICTURES,
    shows_pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Show mistakes; pictures may not be yours to pass on.")
    ] = True,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Write one HTML page about a checkpoint: numbers, diagrams, mistakes, recipe."""
    with told_in_a_sentence() as console:
        history = None if run_folder is None else read_history(run_folder)
        loaded = load(checkpoint)
        network = loaded.network.to(choose_device(device.value))  # in place
        name, split = read_test(data, loaded.record, cache=cache, report=teller(console))
        calibration = loaded.record.calibration
        views = run_views(
            network, split.images, console=console, calibration=calibration, distance=loaded.distance
        )
        path = make_report(
            loaded,
            split,
            views=views,
            metrics=measure(views, split, labels=loaded.record.labels, name=name, calibration=calibration),
            history=history,
            folder=out,
            pictures=corruption_pictures,
            seed=seed,
            console=console,
            shows_pictures=shows_pictures,
        )
        typer.echo(f"wrote {path}")


@app.command()
def export(
    checkpoint: CheckpointArgument,
    out: Annotated[Path, typer.Option(help="The file to write, ending in .onnx.")],
    file_format: Annotated[ExportFormat, typer.Option("--format", help="Of the file.")] = ExportFormat.onnx,
) -> None:
    """Write a checkpoint in a format that other programs run, checked against the golden pictures."""
    with told_in_a_sentence():
        if out.suffix != f".{file_format.value}":
            raise TrainingError(f"--out {out} must end in .{file_format.value}.")
        export_onnx(load(checkpoint), out)
        typer.echo(f"wrote {out}; onnxruntime gives the golden answers")


def _folder_of(
    run_folder: Path | None, resume: Path | None, *, extend: int | None, tensorboard: bool
) -> Path | None:
    """Find the folder that a training keeps its run in; None keeps nothing."""
    if extend is not None and resume is None:
        raise typer.BadParameter("--extend needs --resume DIR, the folder of a finished run.")
    if extend is None and resume is not None and run_folder is not None:
        raise typer.BadParameter("--resume names the run's folder already; leave --run out.")
    if tensorboard and resume is None and run_folder is None:
        raise typer.BadParameter("--tensorboard needs the folder of a run: --run DIR.")
    if extend is not None and resume is not None:
        return run_folder or resume.with_name(f"{resume.name}-plus-{extend}")
    return run_folder or resume
