"""What a checkpoint is worth: accuracy, per class, confusion, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor, nn

from models.distance import ClassDistance, Graph
from models.floor import take_off
from models.record import Calibration, Metrics
from training.augment import six_views
from training.calibration import accepted
from training.dataset import Split
from training.progress import RunProgress
from training.reliability import CALIBRATION_BINS, coverage_at, score_bins

_BATCH_SIZE = 500
_COVERAGES = tuple(share / 20 for share in range(1, 21))
_NOT_CALIBRATED = Calibration()


@dataclass(frozen=True)
class ViewProbabilities:
    """A network's probabilities for a split, float32 (n, classes).

    Attributes:
        single_view: of the picture as it is: what the service views.
        six_views: from logits averaged over `training.augment.six_views`.
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


@torch.inference_mode()
def run_views(
    network: nn.Module,
    images: Tensor,
    *,
    console: Console,
    calibration: Calibration = _NOT_CALIBRATED,
    distance: ClassDistance | None = None,
) -> ViewProbabilities:
    """Run a network over pictures, in float32 on any device.

    The service does the same on a CPU; on CUDA it computes in half precision.

    Args:
        network: in evaluation mode, on its device, with its temperature inside.
        images: uint8 (n, height, width, 3).
        console: told of the progress.
        calibration: of the checkpoint: six views have a temperature and a floor of their own.
        distance: of the checkpoint; None where there is none.
    """
    device = next(network.parameters()).device
    graph = Graph(network, distance).to(device)
    temperature, six_temperature = calibration.temperature, calibration.six_views_temperature
    single, six, distances = [], [], []
    single_before, six_before = [], []
    chunks = torch.split(images, _BATCH_SIZE)
    with RunProgress(console, steps=len(chunks)) as progress:
        for chunk in chunks:
            (weight, view), *others = six_views(chunk.to(device))
            logits, *far = graph(view)
            logits = logits.float() * temperature
            parts = [weight * logits, *(part * network(other).float() * temperature for part, other in others)]
            averaged = torch.stack(parts).sum(0)
            single.append(_read(logits / temperature, calibration.floor))
            six.append(_read(averaged / six_temperature, calibration.six_views_floor))
            single_before.append(_read(logits, 0.0))
            six_before.append(_read(averaged, 0.0))
            distances += [column.float().flatten().cpu() for column in far]
            progress.step(place="measuring", pictures=len(chunk))
    return ViewProbabilities(
        torch.cat(single),
        torch.cat(six),
        torch.cat(distances) if distances else None,
        (torch.cat(single_before), torch.cat(six_before)),
    )


def _read(logits: Tensor, floor: float) -> Tensor:
    return torch.softmax(take_off(logits, floor), dim=1).cpu()


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
    # 1.5 s of import that `train --help` need not wait for
    from torchmetrics.functional.classification import (  # noqa: PLC0415
        multiclass_calibration_error,
        multiclass_confusion_matrix,
    )

    classes, targets = len(labels), split.targets
    confusion = multiclass_confusion_matrix(views.single_view.argmax(1), targets, num_classes=classes)
    calibration_error = multiclass_calibration_error(
        views.single_view, targets, num_classes=classes, n_bins=CALIBRATION_BINS
    )
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
        expected_calibration_error=float(calibration_error),
        accepted=len(hits) / len(split),
        accuracy_of_accepted=int(hits.sum()) / len(hits) if len(hits) else None,
        reliability_bins=score_bins(views.single_view, targets),
        coverage=coverage_at(_COVERAGES, views.single_view, targets),
    )
