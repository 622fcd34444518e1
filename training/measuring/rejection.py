"""How well a checkpoint tells pictures of its classes from others: by its score, by its distance, by both."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.calibration import Calibration
from models.graph import Graph
from training.measuring.reliability import accepted
from training.measuring.views import answers

_ACCEPTED = 0.95
"""Of the pictures that do show a class, when false acceptances are counted. Source: OpenOOD, FPR@95."""
_LEGEND = (
    "AUROC: how often a picture of the classes looks surer than one of that kind; 100 is always, 50 is chance. "
    f"FPR95: how many of that kind look as sure as {100 * _ACCEPTED:.0f} % of the classes' pictures do; 0 is best."
)


@dataclass(frozen=True)
class Separation:
    """How far one number tells the two apart.

    Attributes:
        auroc: probability that a picture of a class looks surer than an outlier.
        false_acceptance: share of outliers among those that 95 % of the others look as sure as (FPR@95).
    """

    auroc: float
    false_acceptance: float


@dataclass(frozen=True)
class Rejection:
    """What became of one kind of outliers.

    Attributes:
        score: by the best probability.
        distance: by the distance from the classes; None where the checkpoint has none.
        both: by the worse of the two, each as its rank among the pictures of the classes.
        accepted: share that the checkpoint's own rule lets pass; all where it has none.
    """

    score: Separation
    distance: Separation | None
    both: Separation | None
    accepted: float


def measure_rejection(
    graph: Graph, inside: Tensor, outside: Mapping[str, Tensor], calibration: Calibration
) -> dict[str, Rejection]:
    """Compare pictures of the classes with each kind of others.

    Args:
        graph: of a checkpoint, on its device.
        inside: uint8 (n, height, width, 3), pictures of the classes.
        outside: kind → uint8 (m, height, width, 3).
        calibration: of the checkpoint.
    """
    usual = _look(graph, inside, calibration)
    return {kind: _compare(usual, _look(graph, images, calibration)) for kind, images in outside.items()}


def auroc(inside: Tensor, outside: Tensor) -> float:
    """Probability that a picture of a class has a higher score than an outlier; ties count half.

    Args:
        inside: scores of pictures of the classes, (n,), higher means surer.
        outside: scores of outliers, (m,).
    """
    ordered = outside.double().sort().values
    below = torch.searchsorted(ordered, inside.double(), side="left")
    up_to = torch.searchsorted(ordered, inside.double(), side="right")
    return float((below + up_to).double().mean() / (2 * len(outside)))


def false_acceptance(inside: Tensor, outside: Tensor) -> float:
    """Share of the outliers that are accepted by the threshold that 95 % of the others pass (FPR@95).

    Args:
        inside: scores of pictures of the classes, (n,), higher means surer.
        outside: scores of outliers, (m,).
    """
    rejected = int(len(inside) * (1 - _ACCEPTED) + 1e-9)
    threshold = inside.double().sort().values[rejected]
    return float((outside.double() >= threshold).double().mean())


def rejection_lines(results: Mapping[str, Rejection], *, may_abstain: bool) -> list[str]:
    """Write a table for people: AUROC / FPR95 by score, distance and both, and what the rule accepts.

    A line in front says what the two figures are.

    Args:
        results: by kind.
        may_abstain: whether the checkpoint has a rule; without one there is no column for what it accepts, as
            there are none for distance and both without a distance.
    """
    title = "AUROC / FPR95, %"
    width = max(len(name) for name in (title, *results))
    has_distance = any(result.distance for result in results.values())
    heads = ["score", "distance", "both"] if has_distance else ["score"]
    head = "  ".join(f"{name:<12}" for name in heads) + ("  accepted by the rule" if may_abstain else "")
    lines = [_LEGEND, f"{title:>{width}}   {head.rstrip()}"]
    for kind, result in results.items():
        cells = [
            f"{100 * found.auroc:5.1f} /{100 * found.false_acceptance:5.1f}"
            for found in (result.score, result.distance, result.both)
            if found
        ]
        rule = f"  {100 * result.accepted:5.1f} %" if may_abstain else ""
        lines.append(f"{kind:>{width}} : {'  '.join(cells)}{rule}")
    return lines


@dataclass(frozen=True)
class _Look:
    scores: Tensor
    nearness: Tensor | None  # minus the distance
    accepted: Tensor


def _look(graph: Graph, images: Tensor, calibration: Calibration) -> _Look:
    rows = answers(graph, images)
    probabilities, distances = (rows, None) if graph.distance is None else (rows[:, :-1], rows[:, -1])
    stands = accepted(probabilities, distances, calibration)
    return _Look(probabilities.amax(1), None if distances is None else -distances, stands)


def _compare(inside: _Look, outside: _Look) -> Rejection:
    distance = both = None
    if inside.nearness is not None and outside.nearness is not None:
        distance = _separate(inside.nearness, outside.nearness)
        worse = [
            torch.minimum(_rank(look.scores, inside.scores), _rank(look.nearness, inside.nearness))
            for look in (inside, outside)
            if look.nearness is not None
        ]
        both = _separate(*worse)
    return Rejection(
        score=_separate(inside.scores, outside.scores),
        distance=distance,
        both=both,
        accepted=outside.accepted.double().mean().item(),
    )


def _separate(inside: Tensor, outside: Tensor) -> Separation:
    return Separation(auroc(inside, outside), false_acceptance(inside, outside))


def _rank(values: Tensor, among: Tensor) -> Tensor:
    """Share of the others that are no higher: 0…1."""
    return torch.searchsorted(among.sort().values, values, side="right").double() / len(among)
