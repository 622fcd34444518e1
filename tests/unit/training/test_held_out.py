"""The part of the training pictures that nothing learns from."""

import pytest
import torch

from training.dataset import Dataset, Split
from training.errors import TrainingError
from training.held_out import default_count, hold_out, set_aside


def _split(*counts: int) -> Split:
    """Classes of so many pictures; each picture carries its number in its pixels."""
    targets = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    numbers = torch.arange(len(targets)).view(-1, 1, 1, 1)
    return Split(torch.cat([numbers % 256, numbers // 256, numbers * 0], dim=3).to(torch.uint8), targets)


def _numbers(split: Split) -> list[int]:
    pixels = split.images[:, 0, 0].int()
    return (pixels[:, 0] + 256 * pixels[:, 1]).tolist()


@pytest.mark.parametrize(
    ("pictures", "count"),
    [(50_000, 2_000), (20_000, 2_000), (1_200, 120), (1_000, 100), (99, 0), (2, 0)],
)
def test_a_tenth_is_held_out_but_not_of_very_few(pictures: int, count: int) -> None:
    """A tenth, 2,000 at most, and nothing of fewer than 100."""
    assert default_count(pictures) == count


@pytest.mark.parametrize(
    ("pictures", "count"), [(999, 100), (500, 100), (499, 49), (240, 24), (199, 20), (100, 20)]
)
def test_of_a_small_data_set_a_fifth_may_go_where_it_is_enough_for_something(pictures: int, count: int) -> None:
    """100 for the abstain rule from 500 pictures on, 20 for a temperature from 100 on; a tenth between them."""
    assert default_count(pictures) == count


def test_each_picture_is_in_exactly_one_part() -> None:
    """Nothing is lost or doubled, and pictures keep their classes and their order."""
    split = _split(50, 30, 20)
    kept, held_out = hold_out(split, count=10, seed=3)
    assert sorted(_numbers(kept) + _numbers(held_out)) == list(range(100))
    for part in (kept, held_out):
        assert _numbers(part) == sorted(_numbers(part))
        assert part.targets.tolist() == split.targets[_numbers(part)].tolist()


def test_files_go_with_their_pictures() -> None:
    """Whoever is told of a picture in either part finds its file."""
    split = _split(20, 20)
    named = Split(split.images, split.targets, tuple(f"{number}.png" for number in range(40)))
    for part in hold_out(named, count=4, seed=0):
        assert part.files == tuple(f"{number}.png" for number in _numbers(part))


def test_classes_give_their_share() -> None:
    """Half of the pictures are half of those held out, whatever the order in the file."""
    _, held_out = hold_out(_split(500, 300, 200), count=100, seed=0)
    assert torch.bincount(held_out.targets).tolist() == [50, 30, 20]


def test_the_seed_decides() -> None:
    """The same seed holds out the same pictures, another one others."""
    first, again, other = (_numbers(hold_out(_split(200, 200), count=40, seed=seed)[1]) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_class_keeps_at_least_one_picture() -> None:
    """As many as can go leave one of each class; one more is refused with the largest number."""
    kept, _ = hold_out(_split(5, 1, 4), count=7, seed=0)
    assert kept.targets.tolist() == [0, 1, 2]
    with pytest.raises(TrainingError, match=r"--held-out 8 cannot be taken from 10 training pictures.*7 at most"):
        hold_out(_split(5, 1, 4), count=8, seed=0)


def test_a_data_set_can_be_learnt_from_whole() -> None:
    """0 leaves it as it was read; otherwise its held-out part is filled."""
    dataset = Dataset("d", ("a", "b"), _split(60, 60), _split(2, 2))
    assert set_aside(dataset, count=0, seed=0) is dataset
    divided = set_aside(dataset, count=None, seed=0)
    assert divided.held_out is not None
    assert (len(divided.train), len(divided.held_out)) == (100, 20)
    assert divided.test is dataset.test
