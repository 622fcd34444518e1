"""Thumbnails are compared as if each pair were alone, however many pictures share one."""

import numpy as np
import pytest
from PIL import Image

from tests.photographs import OBJECTS, draw_photograph
from training.data.likeness import Thumbnails, alike_pairs
from training.data.picture_cache import to_thumbnail


@pytest.fixture(scope="module")
def thumbnails() -> Thumbnails:
    """Six photographs, and a crop of each that another resizing has followed."""
    pictures = [draw_photograph(list(OBJECTS)[number % 3], 700 + number, side=112) for number in range(6)]
    crops = [picture.crop((0, 4, 107, 110)).resize((90, 90)) for picture in pictures]
    return np.stack([to_thumbnail(picture) for picture in (*pictures, *crops)])


def _every_pair(count: int) -> np.ndarray:
    return np.stack(np.triu_indices(count, 1), axis=1)


def test_a_crop_is_alike_in_either_order(thumbnails: Thumbnails) -> None:
    """Of all pairs those of a photograph and its crop are kept; who of a pair comes first is nothing."""
    pairs = _every_pair(12)
    expected = [[place, place + 6] for place in range(6)]
    assert alike_pairs(thumbnails, pairs).tolist() == expected
    assert alike_pairs(thumbnails, pairs[:, ::-1]).tolist() == [pair[::-1] for pair in expected]


def test_a_pair_among_many_is_judged_as_it_is_alone(thumbnails: Thumbnails) -> None:
    """A picture's crops are made once for all that it is compared with; the pairs do not get mixed up."""
    pairs = np.random.default_rng(0).permutation(_every_pair(12))
    alone = [pair for pair in pairs.tolist() if len(alike_pairs(thumbnails, np.array([pair])))]
    assert alike_pairs(thumbnails, pairs).tolist() == alone


@pytest.mark.parametrize("at_once", [7, 5_000, 1_000_000])
def test_thousands_of_pictures_are_compared_as_a_few_are(thumbnails: Thumbnails, at_once: int) -> None:
    """Pictures and pairs are worked through in parts; at the end of each the next one goes on."""
    few = _every_pair(12)
    copies = 12 * np.arange(200 if at_once > 7 else 3)
    many = np.concatenate([few + first for first in copies])
    expected = np.concatenate([alike_pairs(thumbnails, few) + first for first in copies])
    found = alike_pairs(np.tile(thumbnails, (len(copies), 1, 1, 1)), many, at_once=at_once)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("box", [(0, 0, 101, 101), (11, 0, 112, 101)])
def test_a_crop_of_a_tenth_at_a_corner_is_tried(box: tuple[int, int, int, int]) -> None:
    """Of noise nothing less would do: cropped by a twentieth it has a correlation of 0.93."""
    noise = np.random.default_rng(0).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((112, 112), Image.Resampling.BICUBIC)
    pair = np.stack([to_thumbnail(picture), to_thumbnail(picture.crop(box))])
    assert len(alike_pairs(pair, _every_pair(2))) == 1


def test_no_pair_is_compared_without_a_complaint(thumbnails: Thumbnails) -> None:
    """Pictures of which none resembles another are the usual case."""
    assert alike_pairs(thumbnails, np.empty((0, 2), np.int64)).shape == (0, 2)
    assert alike_pairs(thumbnails[:0], np.empty((0, 2), np.int64)).shape == (0, 2)


def test_light_and_contrast_count_for_nothing(thumbnails: Thumbnails) -> None:
    """A paler copy of a photograph is alike, a photograph of something else is not."""
    paler = (thumbnails[:1].astype(np.float32) * 0.6 + 60).astype(np.uint8)
    changed = np.concatenate([thumbnails[:2], paler])
    assert alike_pairs(changed, _every_pair(3)).tolist() == [[0, 2]]
