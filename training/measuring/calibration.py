"""What a network is told about itself after its training: temperatures, and when it had better abstain.

All of it is fitted on pictures that were held out from the training. Scores of pictures that were learnt from are
too good: a temperature from them makes a network overconfident, a threshold from them turns too many away.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from models.calibration import BeforeAndAfter, Calibration, HeldOut
from models.distance import ClassDistance
from models.networks.network import Network
from training.chunks import chunk_size
from training.data.dataset import Split
from training.data.held_out import FEWEST_FOR_RULE, FEWEST_FOR_TEMPERATURE
from training.data.sampling import draw_by_class
from training.measuring.distance import MOST_PICTURES, fit_distance
from training.measuring.reading import SHARPEST, Reading, fit_few, fit_reading
from training.measuring.reliability import accepted, measure_reliability
from training.measuring.views import ViewLogits, view_logits

_SCORE_ROUNDING = 1e-6
"""By which float32 probabilities of equal pictures may differ, as they fall into batches."""
ACCEPTED_SHARE = 0.95
"""Of held-out pictures of the classes, by default. Source: the field's custom, as in OpenOOD's FPR@95."""
ACCEPT = "accept"
"""Field of a training's configuration: the share that was asked for; absent where it is the default."""
_NOTABLE_ERROR = 0.02
"""Calibration error from which scores are called modest; with every held-out picture right there is none."""


@dataclass(frozen=True)
class Calibrated:
    """What a checkpoint needs to know how sure it is.

    Attributes:
        calibration: for the record; its temperature is inside the network already.
        distance: for the file; None where there is no rule.
        sentence: what was done, for people.
    """

    calibration: Calibration
    distance: ClassDistance | None
    sentence: str


def calibrate(
    network: Network,
    train: Split,
    held_out: Split | None,
    *,
    console: Console,
    mirrors: bool,
    accept: float = ACCEPTED_SHARE,
) -> Calibrated:
    """Fit temperatures, floors and the abstain rule, and give the network its temperature.

    Fewer than 100 held-out pictures are enough for the temperatures alone, fewer than 20 for nothing.

    Args:
        network: in evaluation mode, on its device; its temperature is overwritten.
        train: what it learnt from; its classes' means and covariance are taken from up to 10,000 of them.
        held_out: what it did not learn from; None where it learnt from everything.
        console: told of the progress.
        mirrors: whether mirror images are among the six views.
        accept: share of the held-out pictures that the abstain rule lets pass, at least.
    """
    network.temperature = 1.0
    if held_out is None or len(held_out) < FEWEST_FOR_TEMPERATURE:
        count = 0 if held_out is None else len(held_out)
        sentence = (
            f"Not calibrated: {count} pictures were held out, and at least {FEWEST_FOR_TEMPERATURE} are needed. "
            "The temperature is 1, and the model never abstains; a training with "
            f"--held-out {FEWEST_FOR_TEMPERATURE}, or with as many pictures in a val part, fits one."
        )
        return Calibrated(Calibration(), None, sentence)
    outputs = view_logits(
        network, held_out.images, temperature=1.0, mirrors=mirrors, place="calibrating", console=console
    )
    distance = None
    if len(held_out) < FEWEST_FOR_RULE:
        calibration = _fit_temperatures(outputs, held_out.targets)
    else:
        distance = _fit_distance(network, train, outputs.features, classes=outputs.single_view.shape[1])
        calibration = _fit(outputs, distance(outputs.features).flatten(), held_out.targets, accept=accept)
    network.temperature = calibration.temperature
    return Calibrated(calibration, distance, _describe(calibration))


def with_share(configuration: Mapping[str, Any], accept: float) -> dict[str, Any]:
    """Write into a training's configuration which share its abstain rule was asked to accept."""
    others = {name: value for name, value in configuration.items() if name != ACCEPT}
    return others if accept == ACCEPTED_SHARE else {**others, ACCEPT: accept}


def share_in(configuration: Mapping[str, Any]) -> float:
    """Read it back; the default where it does not say, as older files do not."""
    share = configuration.get(ACCEPT)
    return share if type(share) is float and 0 < share < 1 else ACCEPTED_SHARE


def choose_thresholds(scores: Tensor, distances: Tensor, *, accept: float) -> tuple[float, float]:
    """Find the strictest pair that accepts a share of the pictures, each half turning away equally many.

    A picture that is no farther than usual is never turned away for that, nor one whose score differs by float32's
    rounding alone: of drawings that are all alike half would be.

    Args:
        scores: best probabilities, (n,).
        distances: (n,).
        accept: share of the pictures that pass, at least.

    Returns:
        The least score and the largest distance that are accepted.
    """
    ascending = scores.sort().values - _SCORE_ROUNDING
    descending = distances.sort(descending=True).values.clamp_min(1)
    pairs = [
        (score, distance)
        for score, distance in zip(ascending.tolist(), descending.tolist(), strict=True)
        if ((scores >= score) & (distances <= distance)).double().mean() >= accept
    ]
    return pairs[-1]


def reliability_by_view(
    before_and_after: Mapping[str, tuple[Tensor, Tensor]], targets: Tensor
) -> dict[str, BeforeAndAfter]:
    """Measure how reliable a network's scores are, and would be if nothing had been fitted.

    Args:
        before_and_after: probabilities (n, classes) of each view, at temperature 1 and calibrated.
        targets: int64 (n,).
    """
    return {
        view: BeforeAndAfter(
            before=measure_reliability(before, targets), after=measure_reliability(after, targets)
        )
        for view, (before, after) in before_and_after.items()
    }


def _fit(outputs: ViewLogits, distances: Tensor, targets: Tensor, *, accept: float) -> Calibration:
    """Fit temperatures, floors and the rule."""
    single_logits, six_logits = outputs.single_view.double(), outputs.six_views.double()
    reading, six_reading = (fit_reading(logits, targets) for logits in (single_logits, six_logits))
    score, farthest = choose_thresholds(reading.probabilities(single_logits).amax(1), distances, accept=accept)
    rule = Calibration(
        temperature=reading.temperature,
        abstain_threshold=score,
        distance_threshold=farthest,
        six_views_temperature=six_reading.temperature,
        floor=reading.floor,
        six_views_floor=six_reading.floor,
    )
    return _measured(rule, outputs, distances, targets)


def _fit_temperatures(outputs: ViewLogits, targets: Tensor) -> Calibration:
    """Fit what a few pictures are enough for."""
    reading, six_reading = (
        fit_few(logits.double(), targets) for logits in (outputs.single_view, outputs.six_views)
    )
    temperatures = Calibration(temperature=reading.temperature, six_views_temperature=six_reading.temperature)
    return _measured(temperatures, outputs, None, targets)


def _measured(
    calibration: Calibration, outputs: ViewLogits, distances: Tensor | None, targets: Tensor
) -> Calibration:
    """Add how well it fits the pictures that it was fitted on."""
    single_logits, six_logits = outputs.single_view.double(), outputs.six_views.double()
    single = Reading(calibration.temperature, calibration.floor).probabilities(single_logits)
    six = Reading(calibration.six_views_temperature, calibration.six_views_floor).probabilities(six_logits)
    stands = accepted(single, distances, calibration)
    uncalibrated = Reading()
    before_and_after = {
        "single_view": (uncalibrated.probabilities(single_logits), single),
        "six_views": (uncalibrated.probabilities(six_logits), six),
    }
    held_out = HeldOut(
        n=len(targets),
        reliability=reliability_by_view(before_and_after, targets),
        accepted=stands.double().mean().item(),
        accuracy_of_accepted=(single.argmax(1) == targets)[stands].double().mean().item(),
    )
    return replace(calibration, held_out=held_out)


def _fit_distance(network: Network, train: Split, held_out_features: Tensor, *, classes: int) -> ClassDistance:
    # whatever the seed of the training, so that `calibrate` finds the same again
    places = draw_by_class(train.targets, count=MOST_PICTURES, seed=0)
    features = _features(network, train.images, places)
    return fit_distance(features, train.targets[places], held_out_features, classes=classes)


@torch.inference_mode()
def _features(network: Network, images: Tensor, places: Tensor) -> Tensor:
    device = next(network.parameters()).device
    some = (images[few].to(device) for few in torch.split(places, chunk_size(images)))
    return torch.cat([network.features(chunk).float().cpu() for chunk in some])


def _describe(calibration: Calibration) -> str:
    held_out = calibration.held_out
    assert held_out is not None
    if calibration.abstain_threshold is None:
        return (
            f"Calibrated on {held_out.n} held-out pictures, which is few: temperature "
            f"{calibration.temperature:.2f}, fitted with caution. Floor and abstain rule need "
            f"{FEWEST_FOR_RULE}; the model never abstains."
        )
    assert held_out.accuracy_of_accepted is not None  # four of five pass at least
    error = held_out.reliability["single_view"]
    is_at_limit = math.isclose(calibration.temperature, SHARPEST, rel_tol=1e-3)
    limit = (
        " The temperature is the lowest that is tried, and the scores stay too modest: train longer."
        if is_at_limit and error.after.expected_calibration_error > _NOTABLE_ERROR
        else ""
    )
    floor = f", floor {calibration.floor:.3f}" if calibration.floor else ""
    return (
        f"Calibrated on {held_out.n:,} held-out pictures: temperature {calibration.temperature:.3f}{floor}, "
        f"expected calibration error {100 * error.before.expected_calibration_error:.1f} → "
        f"{100 * error.after.expected_calibration_error:.1f} %; {100 * held_out.accepted:.1f} % are accepted, "
        f"{100 * held_out.accuracy_of_accepted:.1f} % of them right."
        f"{limit}"
    )
