"""The labels of a picture, best first."""

import numpy as np
import pytest

from models.prediction import Prediction, rank

LABELS = ("red", "green", "blue")


def test_the_best_class_comes_first() -> None:
    """Predictions are sorted by score, and each keeps its own label and place."""
    ranked = rank(np.array([0.25, 0.125, 0.625], np.float32), LABELS, top_k=3)
    assert ranked == [Prediction("blue", 2, 0.625), Prediction("red", 0, 0.25), Prediction("green", 1, 0.125)]


@pytest.mark.parametrize(("top_k", "count"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (1000, 3)])
def test_at_most_as_many_are_returned_as_there_are_classes(top_k: int, count: int) -> None:
    """More than there are classes returns all of them."""
    ranked = rank(np.array([0.25, 0.125, 0.625], np.float32), LABELS, top_k=top_k)
    assert [prediction.label for prediction in ranked] == ["blue", "red", "green"][:count]


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    """A tie is broken by the place among the labels, also in a long row."""
    labels = [f"class {i}" for i in range(100)]
    probabilities = np.full(100, 0.005, np.float32)
    probabilities[50:] = 0.015
    ranked = rank(probabilities, labels, top_k=100)
    assert [prediction.class_index for prediction in ranked] == [*range(50, 100), *range(50)]


def test_a_prediction_is_made_of_pythons_own_numbers() -> None:
    """JSON has no NumPy."""
    (prediction,) = rank(np.array([0.25, 0.75], np.float32), ("cat", "dog"), top_k=1)
    assert (type(prediction.class_index), type(prediction.score)) == (int, float)
