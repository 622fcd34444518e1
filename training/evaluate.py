"""What a checkpoint is worth: accuracy, per class, confusion, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor, nn

from models.record import Metrics
from training.augment import six_views
from training.data import Split
from training.progress import RunProgress

CALIBRATION_BINS = 15
"""Equal width, the field's custom. Source: Guo et al., arXiv 1706.04599."""
_BATCH_SIZE = 500


@dataclass(frozen=True)
class ViewProbabilities:
    """A network's probabilities for a split, float32 (n, classes).

    Attributes:
        single_view: of the picture as it is: what the service views.
        six_views: from logits averaged over `training.augment.six_views`.
    """

    single_view: Tensor
    six_views: Tensor


@torch.inference_mode()
def run_views(network: nn.Module, images: Tensor, *, console: Console) -> ViewProbabilities:
    """Run a network over pictures, in float32 on any device.

    The service does the same on a CPU; on CUDA it computes in half precision.

    Args:
        network: in evaluation mode, on its device.
        images: uint8 (n, height, width, 3).
        console: told of the progress.
    """
    device = next(network.parameters()).device
    single, six = [], []
    chunks = torch.split(images, _BATCH_SIZE)
    with (
        RunProgress(console, steps=len(chunks)) as progress,
        torch.backends.cudnn.flags(allow_tf32=False),
    ):
        for chunk in chunks:
            views = [(weight, network(view).float()) for weight, view in six_views(chunk.to(device))]
            single.append(torch.softmax(views[0][1], dim=1).cpu())
            averaged = torch.stack([weight * logits for weight, logits in views]).sum(0)
            six.append(torch.softmax(averaged, dim=1).cpu())
            progress.step(place="measuring", pictures=len(chunk))
    return ViewProbabilities(torch.cat(single), torch.cat(six))


def measure(views: ViewProbabilities, split: Split, *, labels: Sequence[str], name: str) -> Metrics:
    """Compare a network's answers with the truth.

    Args:
        views: for the pictures of `split`.
        split: whose targets are places in `labels`.
        labels: of the checkpoint.
        name: of the split, in words.
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
    return Metrics(
        split=name,
        n=len(split),
        accuracy={
            "single_view": sum(right) / len(split),
            "six_views": int((views.six_views.argmax(1) == targets).sum()) / len(split),
        },
        per_class={
            label: hits / count if count else None for label, hits, count in zip(labels, right, shown, strict=True)
        },
        confusion_matrix=tuple(tuple(row) for row in confusion.tolist()),
        expected_calibration_error=float(calibration_error),
    )
