"""Do the scores tell the truth? Four numbers, two curves, and the temperature that makes them true."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.calibration import BeforeAndAfter, Reliability
from models.floor import take_off
from models.metrics import Coverage, ScoreBin

CALIBRATION_BINS = 15
"""The field's custom. Source: Guo et al., arXiv 1706.04599."""
_SHARPEST, _SOFTEST = 0.2, 20.0
"""The bounds: with every held-out picture right no temperature is low enough, with all wrong none high enough.
Label smoothing of 0.2 wants 0.45 to 0.55 (docs/experiments.md); lower ones magnify an engine's rounding."""
_FLOORS, _HIGHEST_FLOOR = (0.01, 0.05), 0.2
"""To begin the search with, and the bound: label smoothing of 0.2 over two classes leaves 0.1."""
_CAUTION = 4.0
"""Of readings from few pictures: about as if 1/T were known to a factor of e^±½ beforehand. Source:
docs/experiments.md, 2026-11-25."""
_HALVINGS = 60
"""Of the interval of inverse temperatures: more than the digits of a double."""


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


def _most_confident_first(probabilities: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    scores, guesses = probabilities.double().max(dim=1)
    order = scores.argsort(descending=True, stable=True)
    return scores[order], (guesses == targets)[order].double()


def _bins_of_equal_width(scores: Tensor) -> Tensor:
    """Number of each score's bin, int64; a bin's lower bound is not in it."""
    return (scores * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1


def _mean_of_equals(right: Tensor, scores: Tensor) -> Tensor:
    """Share what is right among answers with the same score, so that it is the same which of them a bin gets.

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


def fit_temperature(logits: Tensor, targets: Tensor, *, caution: float = 0.0) -> float:
    """Find the temperature that makes the right answers most likely.

    The likelihood has one maximum over the inverse temperature, where its slope changes sign: halving finds it.

    Args:
        logits: float (n, classes), of pictures that the network was not trained on.
        targets: int64 (n,).
        caution: another temperature T than 1 has to win caution · (1/T − 1 + ln T) nats over all pictures first;
            0 lets the pictures alone decide.
    Source:
        Guo et al., arXiv 1706.04599. Caution is a gamma distribution of 1/T with its peak at 1, beforehand.
    """
    exact = logits.double()
    wanted = exact.gather(1, targets[:, None]).mean()
    low, high = 1 / _SOFTEST, 1 / _SHARPEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (torch.softmax(exact * middle, dim=1) * exact).sum(dim=1).mean()
        slope = expected - wanted + caution / len(targets) * (1 - 1 / middle)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 2 / (low + high)


@dataclass(frozen=True)
class Reading:
    """How to read logits.

    Attributes:
        temperature: they are divided by it.
        floor: then taken off (`models.floor`).
    """

    temperature: float = 1.0
    floor: float = 0.0

    def probabilities(self, logits: Tensor) -> Tensor:
        """Read logits (n, classes) of temperature 1: probabilities, in the precision of the logits."""
        return torch.softmax(take_off(logits / self.temperature, self.floor), dim=1)


def fit_reading(logits: Tensor, targets: Tensor) -> Reading:
    """Find temperature and floor that make the right answers most likely; no floor where it wins next to nothing.

    Args:
        logits: float (n, classes), of pictures that the network was not trained on.
        targets: int64 (n,).
    Source:
        Newton's method with a line search (L-BFGS) from a few floors; one more number has to win more than one nat
        over all pictures (Akaike, 1974).
    """
    plain = Reading(fit_temperature(logits, targets))
    exact = logits.double()
    candidates = [_descend(exact, targets, plain.temperature, floor) for floor in _FLOORS]
    best = min(candidates, key=lambda reading: _loss(reading, exact, targets))
    won = _loss(plain, exact, targets) - _loss(best, exact, targets)
    return best if won > 1 else plain


def fit_few(logits: Tensor, targets: Tensor) -> Reading:
    """Find the temperature alone, with caution: all of a few pictures may be right, and would sharpen for ever.

    Args:
        logits: float (n, classes), of pictures that the network was not trained on; from about 20 on.
        targets: int64 (n,).
    """
    return Reading(fit_temperature(logits, targets, caution=_CAUTION))


def _descend(logits: Tensor, targets: Tensor, temperature: float, floor: float) -> Reading:
    logs = torch.tensor([temperature, floor], dtype=torch.float64).log().requires_grad_()
    optimizer = torch.optim.LBFGS([logs], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        sharpness, floor = logs.exp()
        likelihood = F.cross_entropy(take_off(logits / sharpness, floor), targets)
        likelihood.backward()  # type: ignore[no-untyped-call]
        return likelihood

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    sharpness, found = logs.detach().exp().tolist()
    return Reading(min(max(sharpness, _SHARPEST), _SOFTEST), min(found, _HIGHEST_FLOOR))


def _loss(reading: Reading, logits: Tensor, targets: Tensor) -> float:
    """In nats over all pictures."""
    loss = F.nll_loss(reading.probabilities(logits).clamp_min(1e-38).log(), targets, reduction="sum").item()
    return loss if math.isfinite(loss) else math.inf
