"""What a checkpoint is worth: accuracy, per class, confusion, calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from torch import Tensor

from models.calibration import Calibration
from models.checkpoint import Checkpoint
from models.distance import ClassDistance
from models.metrics import Metrics
from models.networks.network import Network
from models.record import Record
from models.views import shows_mirror_images
from training.data.dataset import Dataset, Split
from training.data.leaks import Leaked
from training.measuring.calibration import Calibrated, calibrate, share_in, with_share
from training.measuring.reading import Reading
from training.measuring.reliability import accepted, coverage_at, measure_reliability, score_bins
from training.measuring.views import view_logits
from training.progress import tell

_COVERAGES = tuple(share / 20 for share in range(1, 21))
_NOT_CALIBRATED = Calibration()


@dataclass(frozen=True)
class ViewProbabilities:
    """A network's probabilities for a split, float32 (n, classes).

    Attributes:
        single_view: of the picture as it is: what the service answers.
        six_views: from logits averaged over `models.views.six_views`.
        distances: of the pictures from the classes, float32 (n,); None where the checkpoint has none.
        uncalibrated: what both views would be at temperature 1; None where nobody asked.
    """

    single_view: Tensor
    six_views: Tensor
    distances: Tensor | None = None
    uncalibrated: tuple[Tensor, Tensor] | None = None

    @property
    def before_and_after(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Each view's probabilities at temperature 1 and calibrated."""
        assert self.uncalibrated is not None
        single, six = self.uncalibrated
        return {"single_view": (single, self.single_view), "six_views": (six, self.six_views)}


@dataclass(frozen=True)
class WithoutCopies:
    """What is right of the test pictures of which no copy was learnt.

    Attributes:
        n: number of these pictures.
        copies: of the others; 0 where none were found.
        accuracy: `single_view` and `six_views`, of the n; empty where there are none.
        has_alike: whether pictures that only look like a learnt one are among the copies; else they are equal.
    """

    n: int
    copies: int
    accuracy: Mapping[str, float]
    has_alike: bool


def calibrate_and_measure(
    network: Network,
    dataset: Dataset,
    *,
    name: str,
    console: Console,
    mirrors: bool,
    accept: float,
) -> tuple[Calibrated, ViewProbabilities, Metrics]:
    """Calibrate a network on what it did not learn from, tell that, and compare its answers with the truth.

    Args:
        network: in evaluation mode, on its device; its temperature is overwritten.
        dataset: divided as for the network's training; its test part is measured.
        name: of the test part, in words.
        console: told of the progress.
        mirrors: whether mirror images are among the six views (`models.views.shows_mirror_images`).
        accept: share of the held-out pictures that the abstain rule lets pass, at least.
    """
    fitted = calibrate(network, dataset.train, dataset.held_out, console=console, mirrors=mirrors, accept=accept)
    tell(console, fitted.sentence)
    views, metrics = measure_network(
        network,
        dataset.test,
        labels=dataset.labels,
        name=name,
        console=console,
        calibration=fitted.calibration,
        distance=fitted.distance,
        mirrors=mirrors,
    )
    return fitted, views, metrics


def calibrate_again(
    network: Network, record: Record, dataset: Dataset, *, accept: float | None, console: Console
) -> tuple[Record, ClassDistance | None]:
    """Calibrate and measure the network of a checkpoint anew, and write that into its record.

    Args:
        network: in evaluation mode, on its device; its temperature is overwritten.
        record: of the checkpoint.
        dataset: divided as for the checkpoint's training.
        accept: share of the held-out pictures that the abstain rule lets pass, at least; None takes the record's.
        console: told of the progress.

    Returns:
        The record, and the distance for the file; None where there is no rule.
    """
    training = record.training
    share = share_in(training.configuration) if accept is None else accept
    fitted, _, metrics = calibrate_and_measure(
        network,
        dataset,
        name=record.metrics.split,
        console=console,
        mirrors=shows_mirror_images(training.configuration),
        accept=share,
    )
    training = replace(training, configuration=with_share(training.configuration, share))
    again = replace(record, calibration=fitted.calibration, metrics=metrics, training=training)
    return again, fitted.distance


def measure_network(
    network: Network,
    split: Split,
    *,
    labels: Sequence[str],
    name: str,
    console: Console,
    mirrors: bool,
    calibration: Calibration = _NOT_CALIBRATED,
    distance: ClassDistance | None = None,
) -> tuple[ViewProbabilities, Metrics]:
    """Run a network over a split, and compare its answers with the truth.

    Args:
        network: in evaluation mode, on its device, with its temperature inside.
        split: whose targets are places in `labels`.
        labels: of the network.
        name: of the split, in words.
        console: told of the progress.
        calibration: of the checkpoint, with the rule by which it abstains.
        distance: of the checkpoint; None where there is none.
        mirrors: whether mirror images are among the six views (`models.views.shows_mirror_images`).
    """
    views = run_views(
        network, split.images, console=console, calibration=calibration, distance=distance, mirrors=mirrors
    )
    return views, measure(views, split, labels=labels, name=name, calibration=calibration)


def measure_checkpoint(
    checkpoint: Checkpoint, split: Split, *, name: str, console: Console
) -> tuple[ViewProbabilities, Metrics]:
    """Do what `measure_network` does for a checkpoint, wherever its network is."""
    record = checkpoint.record
    return measure_network(
        checkpoint.network,
        split,
        labels=record.labels,
        name=name,
        console=console,
        calibration=record.calibration,
        distance=checkpoint.distance,
        mirrors=shows_mirror_images(record.training.configuration),
    )


def run_views(
    network: Network,
    images: Tensor,
    *,
    console: Console,
    calibration: Calibration = _NOT_CALIBRATED,
    distance: ClassDistance | None = None,
    mirrors: bool,
) -> ViewProbabilities:
    """Run a network over pictures, in float32 on any device.

    The service's engine torch does the same on a CPU; OpenVINO and CUDA round.

    Args:
        network: in evaluation mode, on its device, with its temperature inside.
        images: uint8 (n, height, width, 3).
        console: told of the progress.
        calibration: of the checkpoint: six views have a temperature and a floor of their own.
        distance: of the checkpoint; None where there is none.
        mirrors: whether mirror images are among the six views (`models.views.shows_mirror_images`).
    """
    outputs = view_logits(
        network,
        images,
        temperature=calibration.temperature,
        mirrors=mirrors,
        place="measuring",
        console=console,
    )
    single = Reading(calibration.temperature, calibration.floor)
    six = Reading(calibration.six_views_temperature, calibration.six_views_floor)
    return ViewProbabilities(
        single.probabilities(outputs.single_view),
        six.probabilities(outputs.six_views),
        None if distance is None else distance(outputs.features).flatten(),
        (Reading().probabilities(outputs.single_view), Reading().probabilities(outputs.six_views)),
    )


def measure_without(views: ViewProbabilities, targets: Tensor, leaked: Leaked) -> WithoutCopies | None:
    """Do what `count_without` does where there are pictures that were learnt; None where there are none."""
    found = count_without(views, targets, leaked)
    return found if found.copies else None


def count_without(views: ViewProbabilities, targets: Tensor, leaked: Leaked) -> WithoutCopies:
    """Count what is right without the pictures that were learnt; where there are none, of all.

    Args:
        views: of the test part.
        targets: int64 (n,).
        leaked: the pictures of which a copy was learnt.
    """
    others = ~leaked.is_learnt
    n = int(others.sum())
    seen = {"single_view": views.single_view, "six_views": views.six_views}
    return WithoutCopies(
        n=n,
        copies=int(leaked.is_learnt.sum()),
        accuracy={
            view: int((probabilities.argmax(1) == targets)[others].sum()) / n
            for view, probabilities in seen.items()
            if n
        },
        has_alike=leaked.has_alike,
    )


def without_copies_line(found: WithoutCopies) -> str:
    """Tell it in words."""
    if found.copies == 1:
        pictures = f"test picture that equals {'or looks like ' if found.has_alike else ''}a learnt one"
    else:
        pictures = f"test pictures that equal {'or look like ' if found.has_alike else ''}learnt ones"
    if not found.n:
        return f"Nothing is left without the {found.copies:,} {pictures}: the accuracy says nothing of new ones"
    single, six = (100 * found.accuracy[view] for view in ("single_view", "six_views"))
    return (
        f"Without the {found.copies:,} {pictures}: {single:.2f} % (single view), {six:.2f} % (six views) of the "
        f"other {found.n:,}"
    )


def balanced_accuracy(metrics: Metrics) -> float:
    """Give the mean of the classes' accuracies, single view: each counts alike, however few its pictures are."""
    measured = [accuracy for accuracy in metrics.per_class.values() if accuracy is not None]
    return sum(measured) / len(measured)


def measure(
    views: ViewProbabilities,
    split: Split,
    *,
    labels: Sequence[str],
    name: str,
    calibration: Calibration = _NOT_CALIBRATED,
) -> Metrics:
    """Compare a network's answers with the truth.

    Args:
        views: for the pictures of `split`.
        split: whose targets are places in `labels`.
        labels: of the checkpoint.
        name: of the split, in words.
        calibration: of the checkpoint, with the rule by which it abstains.
    """
    classes, targets = len(labels), split.targets
    pairs = targets * classes + views.single_view.argmax(1)
    confusion = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    right, shown = confusion.diag().tolist(), confusion.sum(1).tolist()
    stands = accepted(views.single_view, views.distances, calibration)
    hits = (views.single_view.argmax(1) == targets)[stands]
    return Metrics(
        split=name,
        n=len(split),
        accuracy={
            "single_view": sum(right) / len(split),
            "six_views": int((views.six_views.argmax(1) == targets).sum()) / len(split),
        },
        per_class={
            label: found / count if count else None
            for label, found, count in zip(labels, right, shown, strict=True)
        },
        confusion_matrix=tuple(tuple(row) for row in confusion.tolist()),
        expected_calibration_error=measure_reliability(views.single_view, targets).expected_calibration_error,
        accepted=len(hits) / len(split),
        accuracy_of_accepted=int(hits.sum()) / len(hits) if len(hits) else None,
        reliability_bins=score_bins(views.single_view, targets),
        coverage=coverage_at(_COVERAGES, views.single_view, targets),
    )
