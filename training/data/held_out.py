"""Pictures that no recipe learns from: some of the training part, or a val part that somebody divided off.

Hyper-parameters, the temperature and the abstain threshold are chosen on it, so that the test part is
read for nothing but the final figures.
"""

from dataclasses import replace

import torch

from training.data.dataset import Dataset, Split
from training.data.leaks import find_learnt_val
from training.data.sampling import rank_within_classes
from training.errors import TrainingError

FEWEST_FOR_RULE = 100
"""Pictures, for an abstain rule. With fewer its threshold would stand on less than five, and the accepted share of
others would scatter by more than 2.2 points (one standard error, √(0.95 · 0.05 / 100)). A floor is fitted from
here on, too."""
FEWEST_FOR_TEMPERATURE = 20
"""Pictures: from here on a cautious temperature is better than none. Source: docs/experiments.md, 2026-11-25."""
MOST_HELD_OUT = 2_000
"""Enough to know an accuracy of 95 % to ± 0.5 points (one standard error)."""
_SHARE, _LARGEST_SHARE = 0.1, 0.2
"""What is held out, and what a small data set is asked for at most, so that it is enough for something. Source:
docs/experiments.md, 2026-11-25: more pictures sharpen the temperature less than the training would miss them."""

COPIES_TOGETHER = "copies_together"
"""Field of a training's configuration: true where copies of one picture are learnt or held out all; absent where
there are none, and in older trainings, which did not look."""
HELD_OUT_FINGERPRINT = "held_out_fingerprint"
"""Field beside it: of the labels and the held-out part."""
HELD_OUT_PART = "held_out_part"
"""Field beside it: `VAL` where the data's val part is held out; absent where some of the training pictures are."""
VAL = "val"


def default_count(pictures: int) -> int:
    """How many of so many training pictures are held out unless the user decides.

    A tenth; where that is too few for the abstain rule, or for a temperature, as many as it needs, if a fifth is
    enough; of fewer than 100 none.
    """
    affordable = int(_LARGEST_SHARE * pictures)
    wanted = FEWEST_FOR_RULE if affordable >= FEWEST_FOR_RULE else FEWEST_FOR_TEMPERATURE
    return min(MOST_HELD_OUT, max(wanted, int(_SHARE * pictures))) if affordable >= wanted else 0


def set_aside(dataset: Dataset, *, count: int | None, seed: int, copies_together: bool = True) -> Dataset:
    """Give a data set its held-out part: its val part, or else some of its training pictures.

    Pictures of the val part that equal or look like learnt ones are left out of it.

    Args:
        dataset: as it was read.
        count: of training pictures; None takes the val part or, where there is none, `default_count` of them; 0
            learns from everything.
        seed: of the draw.
        copies_together: whether copies of one picture are learnt or held out all; older trainings did not look.

    Returns:
        The data set; its held-out part may be smaller than `count` where copies do not fit in, and is None where
        nobody asked for a number and too few of them can go, or copies of what is learnt are all of the val part.

    Raises:
        TrainingError: a class would have no picture left to learn from.
    """
    if count is None and dataset.val is not None:
        is_learnt = find_learnt_val(dataset)
        held_out = chosen(dataset.val, ~is_learnt) if is_learnt.any() else dataset.val  # as mapped, without a copy
        return replace(dataset, held_out=held_out if len(held_out) else None)
    split, group = dataset.train, group_copies(dataset) if copies_together else None
    if count is not None:
        if count == 0:
            return dataset
        train, held_out = hold_out(split, count=count, seed=seed, group=group)
        if not len(held_out):
            raise TrainingError(
                f"--held-out {count} cannot be taken from {len(train)} training pictures: copies of one picture "
                "stay together, and each class must keep one. Ask for more, or add pictures."
            )
        return replace(dataset, train=train, held_out=held_out)
    most = _most(split)
    wanted = next((some for some in (default_count(len(split)), int(_SHARE * len(split))) if some <= most), 0)
    if wanted < FEWEST_FOR_TEMPERATURE:
        return dataset
    # copies that do not fit in leave a few too few: a few more are asked for, if otherwise less could be fitted
    needed = FEWEST_FOR_RULE if wanted >= FEWEST_FOR_RULE else FEWEST_FOR_TEMPERATURE
    largest = 1 if group is None else int(torch.bincount(group).max())
    for asked in range(wanted, min(most, wanted + largest) + 1):
        train, held_out = hold_out(split, count=asked, seed=seed, group=group)
        if len(held_out) >= needed:
            return replace(dataset, train=train, held_out=held_out)
    return dataset


def group_copies(dataset: Dataset) -> torch.Tensor | None:
    """Tell which training pictures are copies of one another, as far as reading the data set found out.

    Returns:
        int64 (n,), for each picture the place of the first of its copies; None where there are none.
    """
    first = dataset.findings.first_of_copies if dataset.findings else {}
    places: dict[str, int] = {}
    names = [first.get(file, file) for file in dataset.train.files]
    group = torch.tensor([places.setdefault(name, place) for place, name in enumerate(names)], dtype=torch.int64)
    return group if len(places) < len(group) else None


def hold_out(split: Split, *, count: int, seed: int, group: torch.Tensor | None = None) -> tuple[Split, Split]:
    """Divide pictures; each class gives its share, and keeps at least one picture.

    Copies stay together: what is fitted on a picture whose copy was learnt is fitted on scores that are too good.
    Copies that lie in two classes are learnt from, since one of their labels is wrong.

    Args:
        split: to divide.
        count: of pictures to hold out. Copies that are more than what is still missing are passed over, so fewer
            may go; who asks for as many as went gets the same ones.
        seed: the same seed holds out the same pictures.
        group: int64 (n,), for each picture the place of the first of its copies; None where there are none.

    Returns:
        What remains and what is held out, both in the order of `split`.

    Raises:
        TrainingError: more are wanted than the classes can give.
    """
    most = _most(split)
    if not 0 < count <= most:
        raise TrainingError(
            f"--held-out {count} cannot be taken from {len(split)} training pictures: each class must keep at "
            f"least one, so {most} at most."
        )
    group = torch.arange(len(split)) if group is None else group
    goes = torch.zeros(len(split), dtype=torch.bool)
    goes[_choose(_order(split.targets, group, seed=seed), split.targets, group, count=count)] = True
    return chosen(split, ~goes), chosen(split, goes)


def _most(split: Split) -> int:
    """Count how many pictures can go if each class keeps one."""
    return len(split) - int((torch.bincount(split.targets) > 0).sum())


def _order(targets: torch.Tensor, group: torch.Tensor, *, seed: int) -> torch.Tensor:
    """Order pictures so that those at the front, with their copies, are the same share of each class."""
    rank, size = rank_within_classes(targets, seed=seed)
    weight = torch.bincount(group, minlength=len(group))  # pictures that each stands for; 0 for others' copies
    by_class = torch.argsort(targets * len(targets) + rank)
    before = torch.empty_like(weight)
    before[by_class] = weight[by_class].cumsum(0) - weight[by_class]
    of_class = torch.zeros_like(weight).index_add(0, targets, weight)
    before -= (of_class.cumsum(0) - of_class)[targets]
    return torch.argsort((before + weight / 2) / size, stable=True)


def _choose(order: torch.Tensor, targets: torch.Tensor, group: torch.Tensor, *, count: int) -> list[int]:
    """Take copies in the order of their first pictures, as long as they fit and leave their class something."""
    members: dict[int, list[int]] = {}
    for place, first in enumerate(group.tolist()):
        members.setdefault(first, []).append(place)
    labels, left = targets.tolist(), torch.bincount(targets).tolist()
    going: list[int] = []
    for first in order.tolist():
        copies = members.get(first, [])  # none for a picture that another one stands for
        classes = {labels[place] for place in copies}
        if len(classes) != 1 or len(copies) > count - len(going) or len(copies) >= left[labels[first]]:
            continue
        left[labels[first]] -= len(copies)
        going += copies
        if len(going) == count:
            break
    return going


def chosen(split: Split, mask: torch.Tensor) -> Split:
    """Copy the pictures that a mask, bool (n,), chooses, with the names of their files."""
    files = tuple(split.files[place] for place in torch.nonzero(mask).flatten().tolist()) if split.files else ()
    return Split(split.images[mask], split.targets[mask], files)
