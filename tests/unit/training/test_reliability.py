"""Four numbers about scores, and the temperature, against counting by hand and against another library."""

import pytest
import torch
from torch import Tensor

from training.reliability import CALIBRATION_BINS, at_temperature, fit_temperature, measure_reliability


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


def test_another_temperature_is_that_of_the_logits() -> None:
    """Probabilities at temperature 1 become those at 2.5 without the logits."""
    logits, _ = _answers(sharpness=1.0, n=50)
    again = at_temperature(logits.softmax(1), 2.5)
    torch.testing.assert_close(again, (logits.double() / 2.5).softmax(1), atol=1e-6, rtol=1e-5)
