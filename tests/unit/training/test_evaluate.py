"""Measuring, against counting by hand."""

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from models.calibration import Calibration
from models.networks import Architecture, build
from models.preprocessing import InputSpec
from models.views import six_views
from training.data.dataset import Split
from training.data.leaks import Leaked
from training.evaluate import (
    ViewProbabilities,
    WithoutCopies,
    balanced_accuracy,
    measure,
    measure_without,
    run_views,
    without_copies_line,
)

LABELS = ("a", "b", "c")


def _split(targets: list[int]) -> Split:
    return Split(torch.zeros((len(targets), 32, 32, 3), dtype=torch.uint8), torch.tensor(targets))


def test_accuracy_per_class_and_confusion_are_counts() -> None:
    """Four pictures, one mistake: rows are truth, columns answers; a class without pictures is None."""
    single = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    six = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.2, 0.7, 0.1]])
    metrics = measure(ViewProbabilities(single, six), _split([0, 1, 1, 1]), labels=LABELS, name="made up")
    assert metrics.n == 4
    assert metrics.accuracy == {"single_view": 0.75, "six_views": 1.0}
    assert metrics.per_class == {"a": 1.0, "b": pytest.approx(2 / 3), "c": None}
    assert metrics.confusion_matrix == ((1, 0, 0), (1, 2, 0), (0, 0, 0))


def test_the_accuracy_without_what_was_learnt_is_that_of_the_others() -> None:
    """Four pictures, of which the two that were learnt are right; of the others one is, with six views both."""
    single = torch.tensor([[0.7, 0.3], [0.7, 0.3], [0.7, 0.3], [0.3, 0.7]])
    views, targets = ViewProbabilities(single, torch.tensor([[0.7, 0.3]] * 4)), torch.tensor([0, 0, 0, 0])
    leaked = Leaked(torch.tensor([True, False, True, False]), has_alike=True)
    without = measure_without(views, targets, leaked)
    assert without is not None
    assert (without.n, without.copies, without.accuracy) == (2, 2, {"single_view": 0.5, "six_views": 1.0})
    assert without_copies_line(without) == (
        "Without the 2 test pictures that equal or look like learnt ones: 50.00 % (single view), "
        "100.00 % (six views) of the other 2"
    )
    none = torch.zeros(4, dtype=torch.bool)
    assert measure_without(views, targets, replace(leaked, is_learnt=none)) is None


def test_where_all_was_learnt_that_is_told_above_all() -> None:
    """No picture is left to say how good the network is, and the accuracy beside it says nothing."""
    views, targets = ViewProbabilities(torch.eye(2), torch.eye(2)), torch.tensor([0, 1])
    without = measure_without(views, targets, Leaked(torch.ones(2, dtype=torch.bool), has_alike=False))
    assert without == WithoutCopies(n=0, copies=2, accuracy={}, has_alike=False)
    assert without_copies_line(without) == (
        "Nothing is left without the 2 test pictures that equal learnt ones: the accuracy says nothing of new ones"
    )


@pytest.mark.parametrize(
    ("copies", "has_alike", "words"),
    [
        (1, True, "1 test picture that equals or looks like a learnt one"),
        (1, False, "1 test picture that equals a learnt one"),
        (2, False, "2 test pictures that equal learnt ones"),
    ],
)
def test_pictures_that_look_alike_are_spoken_of_where_they_were_looked_for(
    copies: int, has_alike: bool, words: str
) -> None:
    """Of arrays only equal ones are known."""
    accuracy = {"single_view": 0.5, "six_views": 1.0}
    line = without_copies_line(WithoutCopies(n=2, copies=copies, accuracy=accuracy, has_alike=has_alike))
    assert line.startswith(f"Without the {words}: ")


def test_the_balanced_accuracy_counts_each_class_alike() -> None:
    """Nine of ten of one class, none of one of another, and a third without pictures, which does not count."""
    single = torch.tensor([[0.7, 0.2, 0.1]] * 9 + [[0.1, 0.8, 0.1], [0.7, 0.2, 0.1]])
    split = _split([0] * 10 + [1])
    metrics = measure(ViewProbabilities(single, single), split, labels=LABELS, name="made up")
    assert metrics.accuracy["single_view"] == pytest.approx(9 / 11)
    assert balanced_accuracy(metrics) == pytest.approx(0.45)


def test_calibration_error_is_the_gap_between_score_and_accuracy() -> None:
    """Ten answers at 0.9, seven right: the gap is 0.2."""
    single = torch.tensor([[0.9, 0.05, 0.05]] * 10)
    metrics = measure(ViewProbabilities(single, single), _split([0] * 7 + [1] * 3), labels=LABELS, name="made up")
    assert metrics.expected_calibration_error == pytest.approx(0.2, abs=1e-6)


def test_six_views_average_logits_with_their_weights() -> None:
    """Single view is the network's own softmax; six views are softmax of the weighted mean of logits."""
    torch.manual_seed(0)
    network = build(Architecture("fast"), classes=3, spec=InputSpec()).eval()
    images = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    answers = run_views(network, images, console=Console(file=io.StringIO()), mirrors=True)
    with torch.inference_mode():
        assert torch.allclose(answers.single_view, network(images).softmax(1), atol=1e-6)
        mean = sum(weight * network(view) for weight, view in six_views(images, mirrors=True))
        assert isinstance(mean, torch.Tensor)
        assert torch.allclose(answers.six_views, mean.softmax(1), atol=1e-6)


def test_six_views_are_read_at_a_temperature_of_their_own() -> None:
    """Half as sharp where it is 2, while the single view is left at its 1."""
    torch.manual_seed(0)
    network = build(Architecture("fast"), classes=3, spec=InputSpec()).eval()
    images = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    console = Console(file=io.StringIO())
    plain = run_views(network, images, console=console, mirrors=True)
    answers = run_views(
        network, images, console=console, calibration=Calibration(six_views_temperature=2.0), mirrors=True
    )
    assert torch.equal(answers.single_view, plain.single_view)
    torch.testing.assert_close(answers.six_views, (plain.six_views.log() / 2).softmax(1))


def test_coverage_is_that_of_the_single_view() -> None:
    """It is what the service gives: the surer half of two answers is wrong, whatever six views say."""
    single = torch.tensor([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1]])
    six = torch.tensor([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    metrics = measure(ViewProbabilities(single, six), _split([1, 1]), labels=LABELS, name="made up")
    assert metrics.coverage is not None
    assert [(at.n, at.accuracy) for at in metrics.coverage] == [(1, 0.0), (2, 0.5)]
    assert metrics.coverage[0].score == pytest.approx(0.9)


def test_bins_of_scores_are_those_of_the_single_view() -> None:
    """As coverage is: a wrong answer at 0.9, and a right one at 0.7."""
    single = torch.tensor([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1]])
    six = torch.tensor([[0.1, 0.8, 0.1], [0.4, 0.5, 0.1]])
    metrics = measure(ViewProbabilities(single, six), _split([1, 1]), labels=LABELS, name="made up")
    assert metrics.reliability_bins is not None
    assert [scores.accuracy for scores in metrics.reliability_bins] == [1.0, 0.0]
    assert [scores.score for scores in metrics.reliability_bins] == pytest.approx([0.7, 0.9])
