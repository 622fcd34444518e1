"""How logits are read: temperature and floor, fitted on held-out pictures."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.floor import take_off

SHARPEST, _SOFTEST = 0.2, 20.0
"""The bounds: with every held-out picture right no temperature is low enough, with all wrong none high enough.
Label smoothing of 0.2 wants 0.45 to 0.55 (docs/experiments.md); lower ones magnify an engine's rounding."""
_FLOORS, _HIGHEST_FLOOR = (0.01, 0.05), 0.2
"""To begin the search with, and the bound: label smoothing of 0.2 over two classes leaves 0.1."""
_CAUTION = 4.0
"""Of readings from few pictures: about as if 1/T were known to a factor of e^±½ beforehand. Source:
docs/experiments.md, 2026-11-25."""
_HALVINGS = 60
"""Of the interval of inverse temperatures: more than the digits of a double."""


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
    low, high = 1 / _SOFTEST, 1 / SHARPEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (torch.softmax(exact * middle, dim=1) * exact).sum(dim=1).mean()
        slope = expected - wanted + caution / len(targets) * (1 - 1 / middle)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 2 / (low + high)


def fit_reading(logits: Tensor, targets: Tensor) -> Reading:
    """Find temperature and floor that make the right answers most likely; no floor where it wins next to nothing.

    Where all answers are right, no temperature is low enough: then the pictures are as good as few.

    Args:
        logits: float (n, classes), of pictures that the network was not trained on.
        targets: int64 (n,).
    Source:
        Newton's method with a line search (L-BFGS) from a few floors; one more number has to win more than one nat
        over all pictures (Akaike, 1974).
    """
    plain = Reading(fit_temperature(logits, targets))
    if torch.equal(logits.argmax(dim=1), targets):
        return fit_few(logits, targets)
    exact = logits.double()
    candidates = [_descend(exact, targets, Reading(plain.temperature, floor)) for floor in _FLOORS]
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


def _descend(logits: Tensor, targets: Tensor, start: Reading) -> Reading:
    logs = torch.tensor([start.temperature, start.floor], dtype=torch.float64).log().requires_grad_()
    optimizer = torch.optim.LBFGS([logs], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        temperature, floor = logs.exp()
        mean_loss = F.cross_entropy(take_off(logits / temperature, floor), targets)
        mean_loss.backward()
        return mean_loss

    with torch.enable_grad():
        optimizer.step(loss)
    temperature, floor = logs.detach().exp().tolist()
    return Reading(min(max(temperature, SHARPEST), _SOFTEST), min(floor, _HIGHEST_FLOOR))


def _loss(reading: Reading, logits: Tensor, targets: Tensor) -> float:
    """In nats over all pictures."""
    loss = F.nll_loss(reading.probabilities(logits).clamp_min(1e-38).log(), targets, reduction="sum").item()
    return loss if math.isfinite(loss) else math.inf
