"""Numbers and curves about scores, and the temperature, against counting by hand and against another library."""

import pytest
import torch
from torch import Tensor

from training.reliability import (
    CALIBRATION_BINS,
    Reading,
    coverage_at,
    coverage_curve,
    fit_few,
    fit_reading,
    fit_temperature,
    measure_reliability,
    score_bins,
)

FIVE = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.42, 0.58], [0.3, 0.7], [0.55, 0.45]])
FIVE_TARGETS = torch.tensor([0, 1, 1, 0, 0])  # right, wrong, right, wrong, right


def _answers(*, sharpness: float, n: int = 4_000) -> tuple[Tensor, Tensor]:
    """Logits of an honest network times a factor, and targets that were drawn as it says."""
    random = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(n, 5, generator=random)
    targets = torch.multinomial(logits.softmax(1), 1, generator=random).flatten()
    return logits * sharpness, targets


def test_sure_and_right_is_zero_everywhere() -> None:
    """A network that knows everything has no error of any kind."""
    targets = torch.arange(30) % 3
    measured = measure_reliability(torch.eye(3)[targets], targets)
    assert vars(measured) == {
        "negative_log_likelihood": 0,
        "brier": 0,
        "expected_calibration_error": 0,
        "adaptive_calibration_error": 0,
    }


def test_ten_answers_by_hand() -> None:
    """Scores of 0.9, seven of ten right: both errors are 0.2, Brier and likelihood are sums of two kinds."""
    probabilities = torch.tensor([[0.9, 0.1]] * 10)
    measured = measure_reliability(probabilities, torch.tensor([0] * 7 + [1] * 3))
    assert measured.expected_calibration_error == pytest.approx(0.2, abs=1e-6)
    assert measured.brier == pytest.approx(0.7 * 0.02 + 0.3 * 1.62, abs=1e-6)
    assert measured.negative_log_likelihood == pytest.approx(0.7 * 0.10536 + 0.3 * 2.30259, abs=1e-4)


def test_equal_bins_agree_with_another_library() -> None:
    """For 4,000 answers torchmetrics gives the same expected calibration error."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, targets = _answers(sharpness=1.7)
    probabilities = logits.softmax(1)
    expected = multiclass_calibration_error(probabilities, targets, num_classes=5, n_bins=CALIBRATION_BINS)
    measured = measure_reliability(probabilities, targets)
    assert measured.expected_calibration_error == pytest.approx(float(expected), abs=1e-5)


def test_adaptive_bins_hold_equally_many() -> None:
    """Half the answers at 0.6 with 60 % right, half at 1 with 80 % right: the gap is half of 0.2."""
    probabilities = torch.tensor([[0.6, 0.4]] * 1_500 + [[1.0, 0.0]] * 1_500)
    targets = torch.tensor(([0] * 3 + [1] * 2) * 300 + ([0] * 4 + [1]) * 300)
    assert measure_reliability(probabilities, targets).adaptive_calibration_error == pytest.approx(0.1, abs=0.02)


def test_adaptive_bins_do_not_depend_on_the_order_of_the_pictures() -> None:
    """1,500 answers of score 0.9, right for one class and wrong for the other, are right as often as they say.

    Class by class, as a folder's pictures stand, and shuffled.
    """
    probabilities = torch.tensor([[0.9, 0.1]] * 1_500)
    targets = torch.tensor([0] * 1_350 + [1] * 150)
    shuffled = targets[torch.randperm(1_500, generator=torch.Generator().manual_seed(0))]
    for order in (targets, targets.flip(0), shuffled):
        found = measure_reliability(probabilities, order).adaptive_calibration_error
        assert found == pytest.approx(0, abs=1e-6)


def test_equal_scores_share_their_bins_with_others_alike() -> None:
    """Of scores 0.6 and 0.9, 20 each, one bin of 15 holds some of both; all are right as often as they say."""
    probabilities = torch.tensor([[0.6, 0.4]] * 20 + [[0.9, 0.1]] * 20)
    targets = torch.tensor([0] * 12 + [1] * 8 + [0] * 18 + [1] * 2)
    found = measure_reliability(probabilities, targets).adaptive_calibration_error
    assert found == pytest.approx(0, abs=1e-6)


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


def test_bins_hold_score_and_accuracy() -> None:
    """Each answer falls into one of 15 bins, with its score and whether it was right; empty bins are left out."""
    bins = score_bins(FIVE, FIVE_TARGETS)
    assert [each.n for each in bins] == [2, 1, 1, 1]
    assert (bins[0].lower, bins[0].upper) == (8 / 15, 9 / 15)
    assert bins[0].accuracy == 1.0
    assert bins[0].score == pytest.approx((0.58 + 0.55) / 2)
    assert [each.accuracy for each in bins[1:]] == [0.0, 0.0, 1.0]


def test_a_sure_answer_falls_into_the_last_bin() -> None:
    """A score of exactly 1 is counted, and a bound belongs to the bin below it."""
    (last,) = score_bins(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert (last.n, last.upper) == (1, 1.0)


def test_the_bins_give_the_calibration_error() -> None:
    """The mean gap of the bins, weighted by their answers, is the expected calibration error."""
    logits, targets = _answers(sharpness=2)
    probabilities = logits.softmax(1)
    gap = sum(each.n * abs(each.accuracy - each.score) for each in score_bins(probabilities, targets))
    measured = measure_reliability(probabilities, targets).expected_calibration_error
    assert gap / len(targets) == pytest.approx(measured, abs=1e-9)


def test_coverage_counts_the_most_confident_first() -> None:
    """Sorted by score the five answers are right, wrong, wrong, right, right."""
    assert coverage_curve(FIVE, FIVE_TARGETS).tolist() == pytest.approx([1, 1 / 2, 1 / 3, 2 / 4, 3 / 5])
    points = coverage_at((0.4, 0.8, 0.81, 1.0), FIVE, FIVE_TARGETS)
    assert [(point.coverage, point.n, point.accuracy) for point in points] == [
        (0.4, 2, 0.5),
        (0.8, 4, 0.5),
        (1, 5, 0.6),
    ]
    assert points[0].score == pytest.approx(0.8)
