"""The part of the training pictures that nothing learns from."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.data.dataset import Dataset, Split
from training.data.duplicates import Copies
from training.data.findings import collect
from training.data.held_out import default_count, group_copies, hold_out, set_aside
from training.errors import TrainingError


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


def _bursts(split: Split) -> Tensor:
    """Each picture whose number divides by 5 has its two followers as copies."""
    places = torch.arange(len(split))
    return torch.where(places % 5 < 3, places - places % 5, places)


@pytest.mark.parametrize("seed", range(5))
def test_copies_stay_together(seed: int) -> None:
    """Each burst is learnt or held out whole, and the classes still give about their share."""
    split = _split(100, 60, 40)
    group = _bursts(split)
    kept, held_out = hold_out(split, count=40, seed=seed, group=group)
    assert not set(group[_numbers(kept)].tolist()) & set(group[_numbers(held_out)].tolist())
    assert len(held_out) == 40
    assert torch.bincount(held_out.targets).tolist() == pytest.approx([20, 12, 8], abs=3)


@pytest.mark.parametrize("count", range(1, 12))
def test_asking_for_as_many_as_went_gives_the_same(count: int) -> None:
    """Of nothing but bursts not each number can be had; a checkpoint remembers the number that came out."""
    split = _split(40, 40)
    places = torch.arange(80)
    group = torch.where(places < 40, places - places % 5, places - places % 2)
    _, held_out = hold_out(split, count=count, seed=2, group=group)
    assert len(held_out) <= count
    if len(held_out):
        _, again = hold_out(split, count=len(held_out), seed=2, group=group)
        assert _numbers(again) == _numbers(held_out)


def test_copies_in_two_classes_are_learnt_from() -> None:
    """One of their labels is wrong, and nothing is fitted on it."""
    split = _split(10, 10)
    group = torch.arange(20)
    group[15] = 4
    kept, held_out = hold_out(split, count=16, seed=0, group=group)
    assert {4, 15} <= set(_numbers(kept))
    assert len(held_out) == 16


def test_without_copies_the_same_pictures_go_as_ever() -> None:
    """What an older training held out of CIFAR-10 or an archive is found again."""
    split = _split(5, 1, 14)
    alone = hold_out(split, count=6, seed=3, group=torch.arange(20))[1]
    assert _numbers(hold_out(split, count=6, seed=3)[1]) == _numbers(alone) == [1, 3, 6, 7, 8, 12]


def _with_copies(*groups: tuple[int, ...], a_class: int = 60) -> Dataset:
    """Two classes of so many pictures in files, of which some are equal."""
    learnt = 2 * a_class
    train, test = _split(a_class, a_class), _split(2, 2)
    names = tuple(f"{number:03}.png" for number in range(learnt + 4))
    findings = collect(
        "d",
        ("a", "b"),
        files=names,
        targets=torch.cat([train.targets, test.targets]).numpy(),
        part_of=np.repeat(["train", "test"], [learnt, 4]),
        copies=Copies(groups, (), np.arange(learnt + 4)),
    )
    train, test = (
        Split(part.images, part.targets, some) for part, some in ((train, names[:learnt]), (test, names[learnt:]))
    )
    return Dataset("d", ("a", "b"), train, test, findings=findings)


def test_a_data_set_knows_its_copies() -> None:
    """They stay together, unless an older training is followed, which did not look."""
    dataset = _with_copies(tuple(range(0, 30)), tuple(range(60, 90)), (119, 120))
    assert group_copies(dataset) is not None
    together = set_aside(dataset, count=None, seed=0).held_out
    assert together is not None
    assert len(together) == 20
    assert not {*range(30), *range(60, 90)} & set(_numbers(together))
    apart = set_aside(dataset, count=None, seed=0, copies_together=False).held_out
    assert apart is not None
    assert {*range(30), *range(60, 90)} & set(_numbers(apart))
    assert group_copies(_with_copies((119, 120))) is None


def test_bursts_leave_no_fit_wanting_for_a_picture_or_two() -> None:
    """33 bursts of three are 99 pictures, and the rule needs 100: one burst more goes."""
    dataset = _with_copies(*(tuple(range(start, start + 3)) for start in range(0, 540, 3)), a_class=270)
    held_out = set_aside(dataset, count=None, seed=0).held_out
    assert held_out is not None
    assert len(held_out) == 102
    again = set_aside(dataset, count=102, seed=0).held_out
    assert again is not None
    assert _numbers(again) == _numbers(held_out)


def test_many_small_classes_are_not_refused_where_nobody_asks_for_more() -> None:
    """500 pictures in 420 classes can give 80, and give a tenth; in 460 they can give 40, and give none."""
    for twos, count in ((80, 50), (40, 0)):
        sizes = [2] * twos + [1] * (500 - 2 * twos)
        dataset = Dataset("d", tuple(map(str, range(len(sizes)))), _split(*sizes), _split(1))
        held_out = set_aside(dataset, count=None, seed=0).held_out
        assert (0 if held_out is None else len(held_out)) == count


def test_where_nothing_but_copies_is_there_everything_is_learnt() -> None:
    """Each class is one picture, saved again and again: nothing can go, and who asked for a number is told."""
    dataset = _with_copies(tuple(range(60)), tuple(range(60, 120)))
    assert set_aside(dataset, count=None, seed=0) is dataset
    with pytest.raises(
        TrainingError, match=r"--held-out 5 cannot be taken from 120 .* copies of one picture stay"
    ):
        set_aside(dataset, count=5, seed=0)


def test_a_data_set_can_be_learnt_from_whole() -> None:
    """0 leaves it as it was read; otherwise its held-out part is filled."""
    dataset = Dataset("d", ("a", "b"), _split(60, 60), _split(2, 2))
    assert set_aside(dataset, count=0, seed=0) is dataset
    divided = set_aside(dataset, count=None, seed=0)
    assert divided.held_out is not None
    assert (len(divided.train), len(divided.held_out)) == (100, 20)
    assert divided.test is dataset.test


def _with_val(*learnt: int, counts: tuple[int, int] = (60, 60)) -> Dataset:
    """Three pictures that somebody divided off, of which these places were learnt, too."""
    train, test, val = _split(*counts), _split(1, 1), _split(2, 1)
    parts = {"train": train, "test": test, "val": val}
    named = {
        part: Split(split.images, split.targets, tuple(f"{part}/{number}.png" for number in range(len(split))))
        for part, split in parts.items()
    }
    before = len(train) + len(test)
    findings = collect(
        "d",
        ("a", "b"),
        files=[file for split in named.values() for file in split.files],
        targets=torch.cat([split.targets for split in parts.values()]).numpy(),
        part_of=np.repeat(list(parts), list(map(len, parts.values()))),
        copies=Copies(tuple((place, before + place) for place in learnt), (), np.arange(before + 3)),
    )
    return Dataset("d", ("a", "b"), named["train"], named["test"], findings=findings, val=named["val"])


def test_a_val_part_is_held_out_and_nothing_of_what_is_learnt() -> None:
    """However few its pictures are; those of which a copy is learnt are left out."""
    for learnt, held in (((), [0, 1, 2]), ((1,), [0, 2])):
        dataset = _with_val(*learnt)
        divided = set_aside(dataset, count=None, seed=0)
        assert divided.held_out is not None
        assert divided.held_out.files == tuple(f"val/{place}.png" for place in held)
        assert _numbers(divided.held_out) == held
        assert divided.train is dataset.train


def test_of_nothing_but_copies_of_what_is_learnt_nothing_is_held_out() -> None:
    """Nor anything instead: all was meant to be learnt."""
    divided = set_aside(_with_val(0, 1, 2), count=None, seed=0)
    assert divided.held_out is None
    assert len(divided.train) == 120


def test_a_number_is_taken_from_what_is_learnt() -> None:
    """Of 0 nothing is held out, whatever somebody divided off."""
    dataset = _with_val()
    assert set_aside(dataset, count=0, seed=0).held_out is None
    divided = set_aside(dataset, count=4, seed=0)
    assert divided.held_out is not None
    assert all(file.startswith("train/") for file in divided.held_out.files)
    assert (len(divided.held_out), len(divided.train)) == (4, 116)
