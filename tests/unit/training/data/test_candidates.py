"""What may be a copy is found without comparing everything with everything."""

import numpy as np

from tests.drawing import solid
from tests.photographs import OBJECTS, draw_photograph
from training.data import candidates
from training.data.picture_cache import to_thumbnail


def test_a_smaller_copy_is_a_candidate_and_a_flat_picture_is_none() -> None:
    """The pair is told by the places in what was given, where two plain walls lie between."""
    photograph = draw_photograph(next(iter(OBJECTS)), 9_000, side=112)
    pictures = [solid("white"), photograph, solid("white"), photograph.resize((60, 77))]
    pairs = candidates.candidate_pairs(np.stack([to_thumbnail(picture) for picture in pictures]))
    assert pairs.tolist() == [[1, 3]]


def test_many_pictures_that_look_nearly_alike_are_bounded_work() -> None:
    """Where all pictures fall into the same cell, each is compared with a few neighbours and not with all."""
    projected = np.zeros((400, 8), np.float32)
    projected[:, -1] = np.arange(400)
    pairs = np.unique(candidates._table_pairs(projected))
    assert 400 <= len(pairs) <= 400 * candidates._NEIGHBOURS < 400 * 399 / 2
