"""Do the scores tell the truth? Five numbers and two curves."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.calibration import BeforeAndAfter, Calibration, Reliability
from models.metrics import Coverage, ScoreBin

CALIBRATION_BINS = 15
"""The field's custom. Source: Guo et al., arXiv 1706.04599."""


def measure_reliability(probabilities: Tensor, targets: Tensor) -> Reliability:
    """Compare scores with how often they are right.

    Args:
        probabilities: float (n, classes).
        targets: int64 (n,).
    """
    exact = probabilities.double()
    scores, guesses = exact.max(dim=1)
    right = (guesses == targets).double()
    order = scores.argsort()
    equal_count = torch.empty_like(order)
    equal_count[order] = torch.arange(len(order)) * CALIBRATION_BINS // len(order)
    wanted = F.one_hot(targets, exact.shape[1])
    return Reliability(
        negative_log_likelihood=F.nll_loss(exact.clamp_min(1e-38).log(), targets).item(),
        brier=(exact - wanted).square().sum(dim=1).mean().item(),
        expected_calibration_error=_gap(scores, right, _bins_of_equal_width(scores)),
        adaptive_calibration_error=_gap(scores, _mean_of_equals(right, scores), equal_count),
    )


def score_bins(probabilities: Tensor, targets: Tensor) -> tuple[ScoreBin, ...]:
    """Sort answers by their score into 15 bins of equal width, of which those with answers are returned.

    Args:
        probabilities: float (n, classes).
        targets: int64 (n,).
    """
    scores, guesses = probabilities.double().max(dim=1)
    place = _bins_of_equal_width(scores)
    found = []
    for i in sorted(set(place.tolist())):
        inside = place == i
        found.append(
            ScoreBin(
                lower=i / CALIBRATION_BINS,
                upper=(i + 1) / CALIBRATION_BINS,
                n=int(inside.sum()),
                score=scores[inside].mean().item(),
                accuracy=(guesses == targets)[inside].double().mean().item(),
            )
        )
    return tuple(found)


def coverage_curve(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Accuracy of the k most confident answers, for k from 1 to n: float64 (n,)."""
    _, right = _most_confident_first(probabilities, targets)
    return right.cumsum(0) / torch.arange(1, len(right) + 1)


def area_under_risk(probabilities: Tensor, targets: Tensor) -> float:
    """Mean share of wrong answers among the k most confident, over k from 1 to n: the field's AURC, 0…1.

    It is low where few answers are wrong and where the wrong ones have the lowest scores.

    Args:
        probabilities: float (n, classes).
        targets: int64 (n,).

    Source: Geifman et al., arXiv 1805.08206.
    """
    return 1 - coverage_curve(probabilities, targets).mean().item()


def coverage_at(shares: Sequence[float], probabilities: Tensor, targets: Tensor) -> tuple[Coverage, ...]:
    """Give the accuracy of the most confident answers for some shares of the pictures.

    Args:
        shares: above 0, at most 1; those that stand for the same number of pictures count once.
        probabilities: float (n, classes).
        targets: int64 (n,).
    """
    scores, right = _most_confident_first(probabilities, targets)
    counts = dict.fromkeys(max(1, round(share * len(right))) for share in shares)
    return tuple(
        Coverage(coverage=n / len(right), n=n, accuracy=right[:n].mean().item(), score=scores[n - 1].item())
        for n in counts
    )


def accepted(probabilities: Tensor, distances: Tensor | None, calibration: Calibration) -> Tensor:
    """Tell for each picture whether the model stands by its answer, as the service does.

    Args:
        probabilities: float (n, classes), single view.
        distances: float (n,); None where the checkpoint has none.
        calibration: of the checkpoint.

    Returns:
        bool (n,).
    """
    rows = zip(
        probabilities.amax(1).tolist(),
        [None] * len(probabilities) if distances is None else distances.tolist(),
        strict=True,
    )
    return torch.tensor([not calibration.abstains(score, distance) for score, distance in rows])


def _most_confident_first(probabilities: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    scores, guesses = probabilities.double().max(dim=1)
    order = scores.argsort(descending=True)
    return scores[order], _mean_of_equals((guesses == targets).double(), scores)[order]


def _bins_of_equal_width(scores: Tensor) -> Tensor:
    """Number of each score's bin, int64; a bin's lower bound is not in it."""
    return (scores * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1


def _mean_of_equals(right: Tensor, scores: Tensor) -> Tensor:
    """Share what is right among answers with the same score, so that it is the same which of them comes first.

    Pictures of a folder stand class by class: by places, equal scores would be compared with each class alone.
    """
    kind = torch.searchsorted(scores.sort().values, scores)  # the first place of an equal score
    hits = torch.zeros_like(right).index_add(0, kind, right)
    return hits[kind] / torch.bincount(kind)[kind]


def _gap(scores: Tensor, right: Tensor, bins: Tensor) -> float:
    """Mean over the pictures of |accuracy − mean score| of their bin."""
    difference = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add(0, bins, right - scores)
    return (difference.abs().sum() / len(scores)).item()


def reliability_lines(by_view: Mapping[str, BeforeAndAfter]) -> list[str]:
    """Write for people what the temperature of each view changed."""
    names = {
        "NLL": "negative_log_likelihood",
        "Brier": "brier",
        "ECE": "expected_calibration_error",
        "adaptive ECE": "adaptive_calibration_error",
    }
    lines = ["Calibration, at temperature 1 → as it is:"]
    for view, both in by_view.items():
        pairs = [
            f"{short} {getattr(both.before, name):.4f} → {getattr(both.after, name):.4f}"
            for short, name in names.items()
        ]
        lines.append(f"{view.replace('_', ' '):>11} : {', '.join(pairs)}")
    return lines
