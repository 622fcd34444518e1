"""Numbers and curves about scores, against counting by hand and against another library."""

import pytest
import torch
from torch import Tensor

from training.measuring.reliability import (
    CALIBRATION_BINS,
    area_under_risk,
    coverage_at,
    coverage_curve,
    measure_reliability,
    score_bins,
)

FIVE = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.42, 0.58], [0.3, 0.7], [0.55, 0.45]])
FIVE_TARGETS = torch.tensor([0, 1, 1, 0, 0])  # right, wrong, right, wrong, right


def _too_sure(n: int = 4_000) -> tuple[Tensor, Tensor]:
    """Probabilities from honest logits times 2, and targets that were drawn as the honest ones say."""
    random = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(n, 5, generator=random)
    targets = torch.multinomial(logits.softmax(1), 1, generator=random).flatten()
    return (2 * logits).softmax(1), targets


def test_the_area_under_the_risk_counts_what_is_wrong_of_the_surest() -> None:
    """Of one answer none is wrong, of two one, of three two, of four two, of five two: their mean."""
    assert area_under_risk(FIVE, FIVE_TARGETS) == pytest.approx((0 + 1 / 2 + 2 / 3 + 2 / 4 + 2 / 5) / 5)
    assert area_under_risk(FIVE, FIVE.argmax(1)) == 0


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

    probabilities, targets = _too_sure()
    expected = multiclass_calibration_error(probabilities, targets, num_classes=5, n_bins=CALIBRATION_BINS)
    measured = measure_reliability(probabilities, targets)
    assert measured.expected_calibration_error == pytest.approx(float(expected), abs=1e-5)


def test_answers_of_score_one_share_a_bin_with_those_below_it() -> None:
    """Half at exactly 1 with 90 % right, half at 0.957 all right: of one bin the errors are taken together."""
    probabilities = torch.tensor([[1.0, 0.0]] * 1_000 + [[0.957, 0.043]] * 1_000)
    targets = torch.tensor([0] * 900 + [1] * 100 + [0] * 1_000)
    measured = measure_reliability(probabilities, targets)
    assert measured.expected_calibration_error == pytest.approx(0.0285, abs=1e-6)


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
    probabilities, targets = _too_sure()
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


@pytest.mark.parametrize("turned", [False, True])
def test_answers_that_are_as_sure_count_alike_wherever_they_stand(turned: bool) -> None:
    """Nine of ten sure ones are right: so is nine tenths of each first, and not the class that stands first."""
    probabilities = torch.tensor([[1.0, 0.0]] * 10 + [[0.6, 0.4]])
    targets = torch.tensor([1] + [0] * 10)
    if turned:
        probabilities, targets = probabilities.flip(0), targets.flip(0)
    assert coverage_curve(probabilities, targets).tolist() == pytest.approx([0.9] * 10 + [10 / 11])
    assert [point.accuracy for point in coverage_at((0.1, 0.5), probabilities, targets)] == pytest.approx(
        [0.9, 0.9]
    )
