"""From the probabilities of a picture to the labels that it gets."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.preprocessing import Probabilities


class Prediction(NamedTuple):
    """One label and its probability.

    Attributes:
        label: as in the checkpoint.
        class_index: its place among the labels, from 0.
        score: probability, 0…1.
    """

    label: str
    class_index: int
    score: float


def rank(probabilities: Probabilities, labels: Sequence[str], *, top_k: int) -> list[Prediction]:
    """Sort one picture's probabilities, best first; equal ones keep the order of the labels.

    Args:
        probabilities: float32 (classes,).
        labels: one for each class.
        top_k: how many to return; more than there are classes returns all.
    """
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    scores: list[float] = probabilities[order].tolist()
    return [Prediction(labels[i], i, score) for i, score in zip(order.tolist(), scores, strict=True)]
