"""What is compared with few pictures, and how it is told."""

import pytest
import torch

from benchmarks.few_pictures import only_a_few, to_lines
from training.data.dataset import Dataset, Split
from training.errors import DataError


def test_a_few_of_each_class_are_left_to_learn_from() -> None:
    """As many of each, other ones for another seed, each with its class; the test part stays whole."""
    numbers = torch.arange(90, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    whole = Split(numbers, torch.arange(90) % 3)
    dataset = Dataset("made", ("a", "b", "c"), whole, whole)
    few, again, other = (only_a_few(dataset, count=7, seed=seed) for seed in (0, 0, 1))
    assert few.train.targets.bincount().tolist() == [7, 7, 7]
    assert torch.equal(few.train.images.flatten() % 3, few.train.targets)
    assert len(set(few.train.images.flatten().tolist())) == 21
    assert torch.equal(few.train.images, again.train.images)
    assert not torch.equal(few.train.images, other.train.images)
    assert few.test is whole
    with pytest.raises(DataError, match="31 pictures of each class are wanted; of one there are 30"):
        only_a_few(dataset, count=31, seed=0)


def test_ways_are_told_apart_and_seeds_put_together() -> None:
    """A line for each, in the order in which they were run."""
    lines = to_lines(
        [
            {"way": way, "count": 30, "seed": seed, "seconds": 10.2, "single_view": single, "six_views": 0.9}
            for way, singles in (("fast", (0.80, 0.84)), ("compact", (0.5,)))
            for seed, single in enumerate(singles)
        ]
    )
    assert lines == [
        "30 of a class, fast: 82.0 % (80.0 to 84.0) single view, 90.0 % six views, 10 s, n = 2",
        "30 of a class, compact: 50.0 % (50.0 to 50.0) single view, 90.0 % six views, 10 s, n = 1",
    ]
