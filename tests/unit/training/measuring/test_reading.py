"""Temperature and floor, against honest scores that were made dishonest."""

import pytest
import torch
from torch import Tensor

from training.measuring.reading import Reading, fit_few, fit_reading, fit_temperature
from training.measuring.reliability import measure_reliability


def _answers(*, sharpness: float, n: int = 4_000) -> tuple[Tensor, Tensor]:
    """Logits of an honest network times a factor, and targets that were drawn as it says."""
    random = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(n, 5, generator=random)
    targets = torch.multinomial(logits.softmax(1), 1, generator=random).flatten()
    return logits * sharpness, targets


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_what_made_the_scores_dishonest(sharpness: float) -> None:
    """Honest logits times s are honest again at temperature s, and nearly calibrated."""
    logits, targets = _answers(sharpness=sharpness)
    temperature = fit_temperature(logits, targets)
    assert temperature == pytest.approx(sharpness, rel=0.06)
    assert measure_reliability((logits / temperature).softmax(1), targets).expected_calibration_error < 0.02


def test_no_other_temperature_is_likelier() -> None:
    """A little more or less raises the negative log-likelihood."""
    logits, targets = _answers(sharpness=2.0)
    best = fit_temperature(logits, targets)
    at = [
        measure_reliability((logits.double() / t).softmax(1), targets).negative_log_likelihood
        for t in (best * 0.99, best, best * 1.01)
    ]
    assert at[1] < min(at[0], at[2])


@pytest.mark.parametrize(("targets", "bound"), [([0, 1], 0.2), ([1, 0], 20.0)])
def test_a_temperature_without_an_end_stops_at_the_bounds(targets: list[int], bound: float) -> None:
    """Always right would be sharpened for ever, always wrong softened."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(logits, torch.tensor(targets)) == pytest.approx(bound, rel=1e-3)


def test_a_few_pictures_that_are_all_right_do_not_sharpen_for_ever() -> None:
    """Twenty of two classes, all right: the likelihood alone ends at its bound, the cautious reading does not."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(10, 1)
    targets = torch.tensor([0, 1] * 10)
    assert fit_temperature(logits, targets) == pytest.approx(0.2, rel=1e-3)
    assert 0.4 < fit_few(logits, targets).temperature < 0.7
    assert fit_few(logits, targets).floor == 0


def test_a_hundred_pictures_that_are_all_right_do_not_sharpen_for_ever() -> None:
    """Of an honest network that errs in a picture of thirty, too sure scores of new pictures cost most.

    Drawn until 100 pictures are all right; a floor would be as wrong as the bound.
    """
    random = torch.Generator().manual_seed(0)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        targets = torch.randint(0, 3, (n,), generator=random)
        logits = torch.randn(n, 3, generator=random, dtype=torch.float64)
        logits[torch.arange(n), targets] += 3.0
        return (0.8 * (3 * logits).softmax(1) + 0.2 / 3).log(), targets

    logits, targets = draw(100)
    while not torch.equal(logits.argmax(1), targets):
        logits, targets = draw(100)
    reading = fit_reading(logits, targets)
    assert reading == fit_few(logits, targets)
    new, truth = draw(20_000)
    found, sharpest = (
        measure_reliability(each.probabilities(new), truth) for each in (reading, Reading(temperature=0.2))
    )
    assert found.negative_log_likelihood < 0.8 * sharpest.negative_log_likelihood
    assert found.expected_calibration_error < sharpest.expected_calibration_error


def test_a_temperature_at_its_bound_keeps_its_floor() -> None:
    """Scores that are far too modest want the lowest one, too; a wrong answer is enough to see the floor by."""
    random = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 10, (2_000,), generator=random)
    logits = torch.randn(2_000, 10, generator=random, dtype=torch.float64)
    logits[torch.arange(2_000), targets] += 6
    logits *= 0.08
    targets[:20] = (targets[:20] + 1) % 10
    assert fit_temperature(logits, targets) == pytest.approx(0.2, rel=1e-3)
    assert fit_reading(logits, targets).floor > 0


def test_a_few_pictures_that_are_all_wrong_do_not_soften_for_ever() -> None:
    """Twenty of two classes: the scores become modest, and still differ."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(10, 1)
    targets = torch.tensor([1, 0] * 10)
    assert fit_temperature(logits, targets) == pytest.approx(20, rel=1e-3)
    assert 2 < fit_few(logits, targets).temperature < 10


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_the_more_pictures_the_less_caution_counts(sharpness: float) -> None:
    """Of 4,000 the cautious temperature is the likeliest, of 50 it lies nearer to 1."""
    logits, targets = _answers(sharpness=sharpness)
    assert fit_few(logits, targets).temperature == pytest.approx(fit_temperature(logits, targets), rel=0.01)
    few, likeliest = fit_few(logits[:50], targets[:50]), fit_temperature(logits[:50], targets[:50])
    assert min(1, likeliest) < few.temperature < max(1, likeliest)


def _smoothed(n: int = 4_000) -> tuple[Tensor, Tensor]:
    """Logits of who has learnt labels of which a fifth was spread over five classes, and honest targets."""
    logits, targets = _answers(sharpness=1.0, n=n)
    honest = logits.double().softmax(1)
    return (0.8 * honest + 0.2 / honest.shape[1]).log(), targets


def test_a_floor_undoes_what_label_smoothing_did() -> None:
    """Better than any temperature: likelier, and nearly calibrated."""
    logits, targets = _smoothed()
    reading = fit_reading(logits, targets)
    assert 0.01 < reading.floor < 0.1
    sharpened = measure_reliability((logits / fit_temperature(logits, targets)).softmax(1), targets)
    unfloored = measure_reliability(reading.probabilities(logits), targets)
    assert unfloored.negative_log_likelihood < sharpened.negative_log_likelihood
    assert unfloored.expected_calibration_error < 0.02


def test_no_floor_is_found_where_there_is_none() -> None:
    """Then the temperature alone is what it was."""
    logits, targets = _answers(sharpness=2.0)
    assert fit_reading(logits, targets) == Reading(fit_temperature(logits, targets))


@pytest.mark.parametrize("targets", [[0, 1], [1, 0]])
def test_readings_stay_within_their_bounds(targets: list[int]) -> None:
    """Always right would be sharpened for ever, always wrong softened."""
    reading = fit_reading(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor(targets))
    assert reading.temperature * 1.001 >= 0.2
    assert reading.temperature <= 20.001
    assert 0 <= reading.floor <= 0.2


def test_a_floor_ends_at_its_bound() -> None:
    """Answers that are honest without a floor of 0.25 are read with 0.2, more than any recipe leaves."""
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4_000, 4, generator=random, dtype=torch.float64)
    targets = torch.multinomial(Reading(floor=0.25).probabilities(logits), 1, generator=random).flatten()
    assert fit_reading(logits, targets).floor == 0.2
