"""What follows a training: calibrate, measure, write the checkpoint and the page about it."""

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from models.calibration import Calibration
from models.checkpoint import load, save
from models.metrics import Metrics
from models.networks.network import Network
from models.record import Record, TrainingRun
from models.views import shows_mirror_images
from training.configuration import Request
from training.data.dataset import Dataset, Split, to_unicode
from training.data.held_out import COPIES_TOGETHER, HELD_OUT_FINGERPRINT, HELD_OUT_PART
from training.data.leaks import find_leaked
from training.devices import describe_hardware
from training.doubts import DOUBTED
from training.errors import check_finite_weights
from training.evaluate import (
    ViewProbabilities,
    WithoutCopies,
    balanced_accuracy,
    calibrate_and_measure,
    measure_network,
    measure_without,
    without_copies_line,
)
from training.loop import Trained
from training.measuring.calibration import with_share
from training.measuring.label_mistakes import LabelMistake, find_mistakes_in_files, write_label_mistakes
from training.measuring.robustness import affordable_pictures, measure_robustness
from training.plan import Plan
from training.progress import tell
from training.report.content import Content
from training.report.history import read_history
from training.report.page import write_page
from training.runs.provenance import now_utc
from training.runs.run import CHECKPOINT, Run
from training.targets import write_or_rescue

_LEAST_GAP = 0.05
"""Between held-out and test part, that is worth a sentence. Source: choice; of CIFAR-10 it is under 0.01."""


@dataclass(frozen=True)
class Result:
    """What a request led to.

    Attributes:
        metrics: on the test part.
        seconds: of training.
        digests: of each file that was written.
        report: the page about it, in the run's folder; None without one.
        label_mistakes: the likeliest of a folder's test part; None for what is no folder.
        may_abstain: whether an abstain rule was fitted.
    """

    metrics: Metrics
    seconds: float
    digests: tuple[str, ...]
    report: Path | None
    label_mistakes: list[LabelMistake] | None
    may_abstain: bool


def finish(
    request: Request,
    plan: Plan,
    trained: Trained,
    run: Run | None,
    targets: list[Path],
    *,
    device: torch.device,
    console: Console,
) -> Result:
    """Calibrate, measure and write.

    Args:
        request: what the user asked for.
        plan: that was followed.
        trained: what came of it.
        run: to write the findings and the page into; None where no folder is kept.
        targets: files to write the checkpoint to.
        device: of this one.
        console: told of the progress.

    Raises:
        TrainingError: weights are no finite numbers, or the checkpoint cannot be written.
    """
    check_finite_weights(trained.network.state_dict().values())
    dataset = plan.dataset
    mirrors = shows_mirror_images(plan.configuration["recipe"])
    held_out = _measure_held_out(trained.network, dataset, run, console=console, mirrors=mirrors)
    fitted, views, metrics = calibrate_and_measure(
        trained.network,
        dataset,
        name=f"{dataset.name} test",
        console=console,
        mirrors=mirrors,
        accept=request.accept,
    )
    if held_out is not None and (gap := gap_to_test(held_out, metrics)) is not None:
        tell(console, gap)
    without = measure_without(views, dataset.test.targets, find_leaked(dataset))
    if without is not None:
        tell(console, without_copies_line(without))
    name = _name(request, plan, run)
    record = _record(name, trained, plan, metrics, fitted.calibration, accept=request.accept, device=device)
    write = partial(save, network=trained.network, record=record, distance=fitted.distance)
    # a run has its last state, and is gone on with when there is room
    digests = tuple(write_or_rescue(target, write) if run is None else write(target) for target in targets)
    label_mistakes = find_mistakes_in_files(dataset.test, views.single_view, labels=dataset.labels)
    report = None
    if run is not None:
        if label_mistakes is not None:
            write_label_mistakes(label_mistakes, run.folder)
        report = _write_page(
            run.folder,
            dataset.test,
            views,
            metrics,
            label_mistakes=label_mistakes,
            without=without,
            seed=request.seed,
            device=device,
            console=console,
        )
    return Result(metrics, trained.seconds, digests, report, label_mistakes, fitted.calibration.may_abstain)


def _write_page(
    folder: Path,
    test: Split,
    views: ViewProbabilities,
    metrics: Metrics,
    *,
    label_mistakes: list[LabelMistake] | None,
    without: WithoutCopies | None,
    seed: int,
    device: torch.device,
    console: Console,
) -> Path:
    """Write the page about a run's checkpoint, as it was written, into its folder."""
    written = load(folder / CHECKPOINT)
    written.network.to(device)  # in place
    content = Content(
        checkpoint=written,
        split=test,
        views=views,
        metrics=metrics,
        label_mistakes=label_mistakes,
        history=read_history(folder),
        robustness=measure_robustness(
            written.network,
            test,
            pictures=affordable_pictures(test.images),
            seed=seed,
            place="for the report: spoilt copies",
            console=console,
        ),
        without_copies=without,
    )
    return write_page(content, folder)


def gap_to_test(held_out: Metrics, test: Metrics) -> str | None:
    """Say that the test part shows something else than what was learnt, if far fewer of it are right.

    Args:
        held_out: figures of pictures that lie beside those that were learnt.
        test: figures of the test part.

    Returns:
        A sentence; None where the difference is under five points, or under three of its standard errors.
    """
    right, right_of_test = held_out.accuracy["single_view"], test.accuracy["single_view"]
    variance = sum(
        one.accuracy["single_view"] * (1 - one.accuracy["single_view"]) / one.n for one in (held_out, test)
    )
    gap = right - right_of_test
    if gap < max(_LEAST_GAP, 3 * math.sqrt(variance)):
        return None
    return (
        f"warning: {100 * right_of_test:.2f} % of the test part are right, {100 * gap:.1f} points less than of "
        "the held-out part. Either its pictures are of another kind than those that were learnt, and scores, "
        "which are fitted on the held-out part, promise too much; or copies of what was learnt were held out"
    )


def _measure_held_out(
    network: Network, dataset: Dataset, run: Run | None, *, console: Console, mirrors: bool
) -> Metrics | None:
    """Tell, and write down, what hyper-parameters are chosen on; None where nothing is held out."""
    if dataset.held_out is None:
        return None
    _, metrics = measure_network(
        network,
        dataset.held_out,
        labels=dataset.labels,
        name=f"{dataset.name} held out",
        console=console,
        mirrors=mirrors,
    )
    accuracy = metrics.accuracy
    tell(
        console,
        f"held-out part, {metrics.n:,} pictures: {100 * accuracy['single_view']:.2f} % (single view), "
        f"{100 * accuracy['six_views']:.2f} % (six views); mean of the classes (balanced accuracy) "
        f"{100 * balanced_accuracy(metrics):.2f} % (single view)",
    )
    if run is not None:
        run.log(kind="held_out", n=metrics.n, **accuracy)
    return metrics


def _name(request: Request, plan: Plan, run: Run | None) -> str:
    """Name the checkpoint after its file, else after the run's folder."""
    fallback = plan.recipe.name if run is None else run.folder.resolve().name
    return to_unicode(Path(request.out).stem if request.out else fallback)


def _record(
    name: str,
    trained: Trained,
    plan: Plan,
    metrics: Metrics,
    calibration: Calibration,
    *,
    accept: float,
    device: torch.device,
) -> Record:
    of_held_out = ("held_out", HELD_OUT_PART, COPIES_TOGETHER, HELD_OUT_FINGERPRINT)
    beside = {
        key: plan.configuration[key]
        for key in (*of_held_out, "dtype", "start", "teachers", DOUBTED)
        if key in plan.configuration
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
            configuration=with_share(dataclasses.asdict(trained.recipe) | beside, accept),
            seed=plan.configuration["seed"],
            data_fingerprint=plan.configuration["data_fingerprint"],
            commit=plan.commit,
            torch=torch.__version__,
            hardware=describe_hardware(device),
            seconds=round(trained.seconds, 1),
        ),
        created_at=now_utc(),
    )
