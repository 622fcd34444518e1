"""Fitting `models.distance`: where the classes lie among the features, and how they scatter."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.distance import ClassDistance

MOST_PICTURES = 10_000
"""That means and covariance are taken from: 40 times the features of `fast`, in a few seconds."""
_ROUNDING = 0.1
"""Scatter that is added to all directions together, as a share of the features' length. Engines round each layer
to bfloat16, to 0.4 %: classes that are told apart too easily scatter less, and distances would be noise. On
CIFAR-10 0.1 is no worse than none (docs/experiments.md)."""

_ROUNDED = 0.004
"""Share of its length by which bfloat16 moves a picture's features. It counts as one unit at least: where held-out
pictures lie on their class's mean, as drawings of one colour do, their median would be rounding or nothing."""


def fit_distance(features: Tensor, targets: Tensor, held_out_features: Tensor, *, classes: int) -> ClassDistance:
    """Fit class means and one covariance, and the unit in which distances are counted.

    Args:
        features: float (n, features) of pictures that the network learnt from.
        targets: int64 (n,).
        held_out_features: of pictures that it did not learn from; their median distance becomes 1, or less where
            it is no more than what rounding makes.
        classes: of the network; one without pictures is never near.
    """
    directions = F.normalize(features.double(), dim=1)
    center = directions.mean(0)
    means = _class_means(directions, targets, classes=classes)
    rounding = _ROUNDING**2 / features.shape[1] * torch.eye(features.shape[1], dtype=torch.float64)
    covariance = shrunk_covariance(directions - means[targets]) + rounding
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
    whitening = eigenvectors / eigenvalues.sqrt()
    whole = ClassDistance(center, whitening, (means - center) @ whitening)
    least = features.shape[1] * (_ROUNDED / _ROUNDING) ** 2
    unit = whole(held_out_features.float()).median().double().clamp_min(least).sqrt()
    return ClassDistance(center, whitening / unit, (means - center) @ whitening / unit)


def shrunk_covariance(centred: Tensor) -> Tensor:
    """Estimate a covariance that can be inverted, however few pictures there are.

    The sample's own is mixed with a multiple of the identity; the fewer pictures, the more of it.

    Args:
        centred: float64 (n, features), with means of zero.
    Source:
        Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
    """
    n, features = centred.shape
    sample = centred.T @ centred / n
    scale = sample.trace() / features
    spread = sample.square().sum() - features * scale**2  # how far the sample is from a multiple of the identity
    noise = (centred.square().sum(1).square().sum() / n - sample.square().sum()) / n  # how far from the truth
    share = (noise / spread.clamp_min(1e-30)).clamp(0, 1)
    floor = scale.clamp_min(1e-12)  # all pictures alike: any distance is as good as another
    return (1 - share) * sample + (share * scale + 1e-6 * floor) * torch.eye(features, dtype=sample.dtype)


def _class_means(directions: Tensor, targets: Tensor, *, classes: int) -> Tensor:
    counts = torch.bincount(targets, minlength=classes)
    sums = torch.zeros(classes, directions.shape[1], dtype=directions.dtype).index_add(0, targets, directions)
    means = sums / counts.clamp_min(1)[:, None]
    means[counts == 0] = means[counts > 0][0]  # the nearest class is then never one that nobody has seen
    return means
