"""What the service's second look would win: six views of the pictures that a model would abstain from."""

from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from models.calibration import Calibration
from models.graph import Graph, answer
from models.views import six_views, together
from training.chunks import chunks
from training.measuring.reliability import accepted, measure_reliability
from training.progress import RunProgress


@dataclass(frozen=True)
class SecondLook:
    """Figures of a model that looks again before it abstains.

    Attributes:
        share: of the pictures that are looked at again.
        accuracy: of all answers.
        accepted: share that the model stands by in the end.
        accuracy_of_accepted: of these; None where there are none.
        expected_calibration_error: of all answers.
    """

    share: float
    accuracy: float
    accepted: float
    accuracy_of_accepted: float | None
    expected_calibration_error: float


def look_again(graph: Graph, images: Tensor, *, mirrors: bool, console: Console) -> Tensor:
    """Answer pictures as the service does in a second look.

    Args:
        graph: of a checkpoint, in evaluation mode, on its device.
        images: uint8 (n, height, width, 3).
        mirrors: whether mirror images are among the views (`models.views.shows_mirror_images`).
        console: told of the progress.

    Returns:
        float32 (n, columns), as `models.graph.answer` returns it for a batch, on the CPU.
    """
    found = []
    parts = chunks(images)
    with RunProgress(console, steps=len(parts)) as progress:
        for chunk in parts:
            weights, views = zip(*six_views(chunk, mirrors=mirrors), strict=True)
            answers = np.stack([answer(graph, view.numpy()) for view in views])  # (views, chunk, columns)
            classes = answers.shape[2] - (graph.distance is not None)
            found += [together(answers[:, place], weights, classes=classes) for place in range(len(chunk))]
            progress.step(place="second look", pictures=len(chunk))
    return torch.from_numpy(np.stack(found))


def measure_second_look(
    graph: Graph,
    images: Tensor,
    targets: Tensor,
    *,
    first: Tensor,
    distances: Tensor | None,
    calibration: Calibration,
    mirrors: bool,
    console: Console,
) -> SecondLook | None:
    """Measure what a second look makes of a model's answers.

    Args:
        graph: of the checkpoint, in evaluation mode, on its device.
        images: uint8 (n, height, width, 3).
        targets: int64 (n,).
        first: probabilities of the single view, float (n, classes).
        distances: float (n,); None where the checkpoint has none.
        calibration: of the checkpoint.
        mirrors: as for `look_again`.
        console: told of the progress.

    Returns:
        None where the model never abstains.
    """
    if not calibration.may_abstain:
        return None
    stands = accepted(first, distances, calibration)
    probabilities = first.clone()
    again = torch.nonzero(~stands).flatten()
    if len(again):
        looked = look_again(graph, images[again], mirrors=mirrors, console=console)
        probabilities[again] = looked[:, : first.shape[1]].to(first)
    right = probabilities.argmax(1) == targets
    stands_now = accepted(probabilities, distances, calibration)
    return SecondLook(
        share=len(again) / len(targets),
        accuracy=right.double().mean().item(),
        accepted=stands_now.double().mean().item(),
        accuracy_of_accepted=right[stands_now].double().mean().item() if stands_now.any() else None,
        expected_calibration_error=measure_reliability(probabilities, targets).expected_calibration_error,
    )


def second_look_line(found: SecondLook) -> str:
    """Tell it in words."""
    of_accepted = (
        "" if found.accuracy_of_accepted is None else f", {100 * found.accuracy_of_accepted:.2f} % of them right"
    )
    return (
        f"With a second look (GLIMPSE_SECOND_LOOK): {100 * found.accuracy:.2f} %, after six views of the "
        f"{100 * found.share:.2f} % that were not sure; accepted then {100 * found.accepted:.2f} %{of_accepted}; "
        f"calibration error {100 * found.expected_calibration_error:.2f} %"
    )
