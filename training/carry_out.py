"""One request, carried out: read, hold out, train, measure, write."""

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from models.checkpoint import load, save
from models.preprocessing import InputSpec
from models.record import Calibration, Metrics, Record, TrainingRun
from training import findings
from training.calibration import calibrate
from training.configuration import Request, configure
from training.data import read_dataset
from training.dataset import Dataset, Split, fingerprint
from training.devices import Computing, choose_device, choose_dtype, describe_hardware, keep_freed_memory
from training.errors import TrainingError
from training.evaluate import measure, run_views
from training.extension import extend
from training.fitting import fit_to_data
from training.held_out import set_aside
from training.label_mistakes import LabelMistake, judge_test
from training.label_mistakes import write as write_label_mistakes
from training.loop import Trained, Wanted, train
from training.provenance import current_commit, now_utc
from training.ranks import Ranks, join_ranks
from training.recipes import RECIPES, LargeBatchRecipe, Recipe, TutorialRecipe
from training.report.history import read_history
from training.report.making import make_report
from training.resume import open_run
from training.robustness import PICTURES
from training.run import CHECKPOINT, Run
from training.run_lock import alone_in
from training.teacher import Teacher, load_teacher, open_answers
from training.tensorboard import TensorboardLog


@dataclass(frozen=True)
class Result:
    """What a request led to.

    Attributes:
        metrics: on the test part.
        seconds: of training.
        digests: of each file that was written.
        report: the page about it, in the run's folder; None without one.
        label_mistakes: the likeliest of a folder's test part; None for what is no folder.
    """

    metrics: Metrics
    seconds: float
    digests: tuple[str, ...]
    report: Path | None
    label_mistakes: list[LabelMistake] | None


@dataclass(frozen=True)
class _Plan:
    """All that is decided before the first step.

    Attributes:
        learnt: the pictures to learn from; on the device where a teacher looks at them, too.
    """

    dataset: Dataset
    learnt: Split
    recipe: Recipe
    spec: InputSpec
    configuration: dict[str, Any]
    wanted: Wanted | None
    commit: str  # of the code that runs; it may be edited before the training ends


def carry_out(
    request: Request,
    *,
    folder: Path | None,
    targets: list[Path],
    save_every: int | None,
    extends: Path | None,
    tensorboard: bool,
    console: Console,
) -> Result | None:
    """Train as asked, measure, and write the checkpoint.

    Args:
        request: what the user asked for.
        folder: of the run; None keeps no state.
        targets: files to write the checkpoint to; the first one names it.
        save_every: steps between two states; None saves about once a minute.
        extends: folder of the finished run to start from; None starts anew, or goes on in `folder`.
        tensorboard: whether the metrics go to TensorBoard too.
        console: told of the progress.

    Returns:
        None in all processes but the first.
    """
    keep_freed_memory()
    with join_ranks(choose_device(request.device)) as (ranks, device), ExitStack() as stack:
        console.quiet = not ranks.is_first
        computing = _choose_computing(request, device)
        tell = _teller(console)
        with ranks.first_alone():
            if folder is not None and ranks.is_first:
                stack.enter_context(alone_in(folder))
            plan = _prepare(request, computing, tell=tell)
            run = None
            if folder is not None:
                run = open_run(
                    folder,
                    request,
                    plan.configuration,
                    computing=computing,
                    save_every=save_every,
                    extends=extends,
                    warn=tell,
                )
                if plan.dataset.findings is not None and ranks.is_first:
                    findings.write(plan.dataset.findings, folder)
        if ranks.world > 1 and not isinstance(plan.recipe, LargeBatchRecipe):
            raise TrainingError("The tutorial trains in one process, as it does in the book: leave torchrun out.")
        if run is not None and tensorboard and ranks.is_first:
            run.also_log(stack.enter_context(TensorboardLog(run.folder)).log)
        trained = train(
            plan.recipe,
            plan.learnt,
            classes=len(plan.dataset.labels),
            spec=plan.spec,
            seed=request.seed,
            computing=computing,
            console=console,
            run=run,
            wanted=plan.wanted,
            ranks=ranks,
        )
        return _finish(request, plan, trained, run, targets, ranks=ranks, device=device, console=console)


def _choose_computing(request: Request, device: torch.device) -> Computing:
    """Decide on what and how to compute; the tutorial, to the letter, does it in float32 and uncompiled."""
    if not isinstance(RECIPES[request.recipe], TutorialRecipe):
        return Computing(device, choose_dtype(request.dtype, device), request.is_compiled)
    if request.dtype == "bfloat16":
        raise TrainingError(
            "The tutorial computes in float32, as it does in the book: leave --dtype bfloat16 out."
        )
    if request.is_compiled:
        raise TrainingError("The tutorial runs as it is written, without torch.compile: leave --compile out.")
    return Computing(device, torch.float32)


def _prepare(request: Request, computing: Computing, *, tell: Callable[[str], None]) -> _Plan:
    read = read_dataset(
        request.data, seed=request.seed, cache=Path(request.cache), report=tell, input_size=request.input_size
    )
    if read.findings is not None:
        for line in findings.to_lines(read.findings):
            tell(line)
    table = RECIPES[request.recipe]
    # the tutorial, to the letter, learns from every picture
    count = 0 if isinstance(table, TutorialRecipe) and request.held_out is None else request.held_out
    dataset = set_aside(read, count=count, seed=request.seed)
    height, width = dataset.train.images.shape[1:3]
    spec = InputSpec(height=height, width=width, mean=table.mean, std=table.std)
    recipe = fit_to_data(table, len(dataset.train), shorter_side=min(height, width), epochs=request.epochs)
    if request.teacher is None and isinstance(recipe, LargeBatchRecipe) and recipe.teaching is not None:
        tell(f"No --teacher is named, so {recipe.name} learns the labels.")
        recipe = dataclasses.replace(recipe, teaching=None)
    if request.photographs is not None:
        if not isinstance(recipe, LargeBatchRecipe):
            raise TrainingError("The tutorial shows pictures as they are: leave --photographs out.")
        recipe = dataclasses.replace(recipe, photograph_share=request.photographs)
    for epochs in request.extensions:
        recipe = extend(recipe, epochs=epochs)
    held_out = len(dataset.held_out) if dataset.held_out else 0
    tell(
        f"{dataset.name}: {len(dataset.train):,} pictures to learn from, {held_out:,} held out to choose on, "
        f"{len(dataset.test):,} to measure on"
    )
    configuration = configure(
        recipe,
        seed=request.seed,
        labels=dataset.labels,
        spec=spec,
        held_out=held_out,
        data_fingerprint=fingerprint(read.labels, read.train),
        dtype=computing.dtype,
    )
    wanted, learnt = None, dataset.train
    if request.teacher is not None:
        if not isinstance(recipe, LargeBatchRecipe) or recipe.teaching is None:
            raise TrainingError(f"The recipe {recipe.name} has no teacher; leave --teacher out, or take compact.")
        learnt = dataclasses.replace(learnt, images=learnt.images.to(computing.device))
        wanted, configuration["teacher"] = _ask_teacher(
            Path(request.teacher),
            recipe,
            dataset,
            spec,
            computing,
            images=learnt.images,
            cache=Path(request.cache),
        )
    return _Plan(dataset, learnt, recipe, spec, configuration, wanted, current_commit())


def _ask_teacher(
    path: Path,
    recipe: LargeBatchRecipe,
    dataset: Dataset,
    spec: InputSpec,
    computing: Computing,
    *,
    images: Tensor,
    cache: Path,
) -> tuple[Wanted, str]:
    """Prepare a teacher; its digest goes into the configuration."""
    checkpoint = load_teacher(path, labels=dataset.labels, spec=spec)
    answers = open_answers(
        cache,
        pictures=len(dataset.train),
        classes=len(dataset.labels),
        shift=recipe.shift,
        key={
            "teacher": checkpoint.digest,
            "pictures": fingerprint(dataset.labels, dataset.train),
            "dtype": str(computing.dtype),
        },
    )
    teacher = Teacher(
        checkpoint.network.to(computing.device),
        images,
        shift=recipe.shift,
        answers=answers,
        computing=computing,
    )
    return teacher.answer, checkpoint.digest


def _finish(
    request: Request,
    plan: _Plan,
    trained: Trained,
    run: Run | None,
    targets: list[Path],
    *,
    ranks: Ranks,
    device: torch.device,
    console: Console,
) -> Result | None:
    """Calibrate, measure and write; the first process alone."""
    if not ranks.is_first:
        return None
    dataset = plan.dataset
    if dataset.held_out is not None:
        views = run_views(trained.network, dataset.held_out.images, console=console)
        held_out = measure(views, dataset.held_out, labels=dataset.labels, name=f"{dataset.name} held out")
        accuracy = held_out.accuracy
        _teller(console)(
            f"held-out part, {held_out.n:,} pictures: {100 * accuracy['single_view']:.2f} % (single view), "
            f"{100 * accuracy['six_views']:.2f} % (six views)"
        )
        if run is not None:
            run.log_once(kind="held_out", n=held_out.n, **accuracy)
    fitted = calibrate(trained.network, dataset.train, dataset.held_out, console=console)
    _teller(console)(fitted.sentence)
    views = run_views(
        trained.network,
        dataset.test.images,
        console=console,
        calibration=fitted.calibration,
        distance=fitted.distance,
    )
    metrics = measure(
        views, dataset.test, labels=dataset.labels, name=f"{dataset.name} test", calibration=fitted.calibration
    )
    fallback = plan.recipe.name if run is None else run.folder.resolve().name
    name = Path(request.out).stem if request.out else fallback
    record = _record(name, trained, plan, metrics, fitted.calibration, device=device)
    digests = tuple(save(target, trained.network, record, distance=fitted.distance) for target in targets)
    doubted = judge_test(dataset, views.single_view) if dataset.test.files else None
    report = None
    if run is not None:
        if doubted is not None:
            write_label_mistakes(doubted, run.folder)
        written = load(run.folder / CHECKPOINT)
        written.network.to(device)  # in place
        report = make_report(
            written,
            dataset.test,
            views=views,
            metrics=metrics,
            history=read_history(run.folder),
            folder=run.folder,
            pictures=PICTURES,
            seed=request.seed,
            console=console,
        )
    return Result(metrics, trained.seconds, digests, report, doubted)


def _record(
    name: str,
    trained: Trained,
    plan: _Plan,
    metrics: Metrics,
    calibration: Calibration,
    *,
    device: torch.device,
) -> Record:
    beside = {
        key: plan.configuration[key] for key in ("held_out", "dtype", "teacher") if key in plan.configuration
    }
    return Record(
        name=name,
        architecture=trained.recipe.architecture,
        labels=plan.dataset.labels,
        input=plan.spec,
        calibration=calibration,
        metrics=metrics,
        training=TrainingRun(
            recipe=trained.recipe.name,
            configuration=dataclasses.asdict(trained.recipe) | beside,
            seed=plan.configuration["seed"],
            data_fingerprint=plan.configuration["data_fingerprint"],
            commit=plan.commit,
            torch=torch.__version__,
            hardware=describe_hardware(device),
            seconds=round(trained.seconds, 1),
        ),
        created_at=now_utc(),
    )


def _teller(console: Console) -> Callable[[str], None]:
    return lambda sentence: console.print(sentence, markup=False, highlight=False, soft_wrap=True)
