"""Fitting class means, one covariance, and the unit of the distance."""

import pytest
import torch
from torch import Tensor

from training.measuring.distance import fit_distance, shrunk_covariance


def _features(n: int, *, seed: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Clouds around a corner each, stretched in one direction."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % classes
    noise = torch.randn(n, 8, generator=random) * torch.tensor([1.5] + [0.1] * 7)
    return 3 * torch.eye(8)[targets + 1] + 2 + noise, targets


def test_one_is_the_median_of_held_out_pictures() -> None:
    """Whatever the scale of the features."""
    features, targets = _features(600, seed=0)
    held_out, _ = _features(201, seed=1)
    distance = fit_distance(features, targets, held_out, classes=3)
    assert distance(held_out).median().item() == pytest.approx(1, abs=1e-4)


def test_what_lies_between_the_classes_is_farther_than_what_lies_in_them() -> None:
    """A mixture of two classes, and a direction that no class has, are far beyond the usual."""
    features, targets = _features(600, seed=0)
    distance = fit_distance(features, targets, features, classes=3)
    between = (features[targets == 0][:50] + features[targets == 1][:50]) / 2
    strange = features[:50] + 3 * torch.eye(8)[7]
    usual = distance(features).quantile(0.99)
    assert distance(between).min() > usual
    assert distance(strange).min() > usual


def test_a_stretched_direction_counts_less() -> None:
    """The same step is farther where the class hardly scatters."""
    features, targets = _features(2_000, seed=0)
    distance = fit_distance(features, targets, features, classes=3)
    middle = features[targets == 0].mean(0, keepdim=True)
    along, across = middle.clone(), middle.clone()
    along[0, 0] += 0.5
    across[0, 6] += 0.5
    assert distance(across) > 5 * distance(along)


def test_a_class_without_pictures_is_never_near() -> None:
    """A fourth class that nobody has seen changes no distance, nor of pictures that are like none."""
    features, targets = _features(600, seed=0)
    three = fit_distance(features, targets, features, classes=3)
    four = fit_distance(features, targets, features, classes=4)
    assert four.means.shape == (4, 8)
    torch.testing.assert_close(four(features), three(features))
    torch.testing.assert_close(four(-features), three(-features))


def test_few_pictures_give_a_covariance_that_can_be_inverted() -> None:
    """Ten pictures of 40 features: the sample's own has 30 zeros, the estimate none, and the same trace."""
    rows = torch.randn(10, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centred = rows - rows.mean(0)
    estimate = shrunk_covariance(centred)
    assert torch.linalg.eigvalsh(estimate).min() > 0.1
    assert estimate.trace() == pytest.approx(float(centred.square().sum() / 10), rel=1e-4)


def test_many_pictures_leave_the_sample_as_it_is() -> None:
    """20,000 pictures of 4 features: nothing is mixed in."""
    rows = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows *= torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(shrunk_covariance(rows), rows.T @ rows / 20_000, atol=0.02, rtol=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pictures_that_are_all_alike_still_give_numbers(value: float) -> None:
    """A network that has learnt nothing has a distance all the same, whatever was held out."""
    features = torch.full((20, 6), value)
    for held_out in (features, features + torch.rand(20, 6) / 9):
        distance = fit_distance(features, torch.arange(20) % 2, held_out, classes=2)
        assert distance(features).isfinite().all()
        assert distance(held_out + 1).isfinite().all()


def test_what_bfloat16_rounds_off_is_no_distance() -> None:
    """Pictures that lie exactly on their class's mean are no farther than usual after an engine's rounding."""
    targets = torch.arange(90) % 3
    features = torch.rand(3, 64, generator=torch.Generator().manual_seed(0))[targets]
    distance = fit_distance(features, targets, features, classes=3)
    assert distance(features.bfloat16().float()).max() < 1
