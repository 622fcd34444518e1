"""Every picture of a data set is judged by a network that has not learnt it."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from models.networks import Architecture
from tests.networks import Brightness
from training import folds
from training.data.dataset import Dataset, Split
from training.data.duplicates import Copies
from training.data.findings import collect
from training.data.held_out import chosen
from training.devices import Computing
from training.errors import TrainingError
from training.folds import judge_all
from training.fresh import Start
from training.loop import Trained
from training.measuring.label_mistakes import label_mistake_lines, write_label_mistakes
from training.recipes import ACCURATE, FAST, LargeBatchRecipe

LABELS = ("cat", "dog")


def _colours(n: int) -> Split:
    """Noisy pictures of two classes that differ in brightness."""
    generator = torch.Generator().manual_seed(n)
    targets = torch.arange(n) % 2
    noise = torch.randint(0, 100, (n, 9, 9, 3), generator=generator)
    return Split((noise + 120 * targets[:, None, None, None]).to(torch.uint8), targets)


def test_every_picture_is_judged_by_a_network_that_has_not_learnt_it(tmp_path: Path) -> None:
    """A wrong label in either part is found in spite of being learnt by others; words and file hold the same."""
    dataset = Dataset("made", LABELS, _colours(40), _colours(20))
    dataset.train.targets[6] = 1
    dataset.test.targets[3] = 0
    recipe = replace(FAST, architecture=Architecture("fast", {"widths": [4, 4, 4]}), stem_pictures=40)
    console = Console(file=io.StringIO())
    computing = Computing(torch.device("cpu"), torch.float32)
    found = judge_all(recipe, dataset, folds=3, seed=0, computing=computing, console=console, epochs=8)
    assert {item.file for item in found} == {"train[6]", "test[3]"}
    lines = list(label_mistake_lines(found))
    assert (
        lines[0]
        == "2 labels may be wrong, or the network is; look at these pictures, the likeliest mistake first:"
    )
    assert any(line.startswith("  test[3]: cat ") for line in lines)
    written = json.loads(write_label_mistakes(found, tmp_path).read_text())
    assert [item["file"] for item in written] == [item.file for item in found]


def test_from_the_second_judge_on_it_is_told_how_long_the_rest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long each as the last one took."""
    took = iter([60.0, 70.0, 65.0])

    def train(recipe: LargeBatchRecipe, *_: object, **__: object) -> Trained:
        return Trained(Brightness(), recipe, seconds=next(took))

    monkeypatch.setattr(folds, "train", train)
    written = io.StringIO()
    judge_all(
        FAST,
        Dataset("made", LABELS, _colours(40), _colours(20)),
        folds=3,
        seed=0,
        computing=Computing(torch.device("cpu"), torch.float32),
        console=Console(file=written),
    )
    ends = [line.partition(" to judge")[2] for line in written.getvalue().splitlines() if "to judge" in line]
    assert ends == ["", "; about 0:02:00 left", "; about 0:01:10 left"]


def test_a_fold_that_has_nothing_to_judge_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of one picture may fill a fold that nothing else is in; here the second one is empty."""
    monkeypatch.setattr(folds, "_folds", lambda *_, **__: torch.tensor([0, 0, 2, 2] * 15))
    monkeypatch.setattr(folds, "train", lambda recipe, *_, **__: Trained(Brightness(), recipe, seconds=60.0))
    written = io.StringIO()
    judge_all(
        FAST,
        Dataset("made", LABELS, _colours(40), _colours(20)),
        folds=3,
        seed=0,
        computing=Computing(torch.device("cpu"), torch.float32),
        console=Console(file=written, width=200),
    )
    ends = re.findall(r"network (. of .).* to judge(.*)", written.getvalue())
    assert ends == [("1 of 2", ""), ("2 of 2", "; about 0:01:00 left")]


def test_each_judge_starts_with_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same weights for all of them; and no more mistakes are listed than were asked for."""
    taken: list[object] = []

    def train(recipe: LargeBatchRecipe, *_: object, start: Start | None, **__: object) -> Trained:
        taken.append(start)
        return Trained(Brightness(), recipe, seconds=0.0)

    monkeypatch.setattr(folds, "train", train)
    dataset = Dataset("made", LABELS, _colours(40), _colours(20))
    dataset.train.targets[:6] = 1 - dataset.train.targets[:6]
    computing, console = Computing(torch.device("cpu"), torch.float32), Console(file=io.StringIO())
    start = Start({}, {})
    found = judge_all(FAST, dataset, folds=3, seed=0, computing=computing, console=console, start=start, most=4)
    assert taken == [start] * 3
    assert len(found) == 4


def _recipes_of_judges(
    recipe: LargeBatchRecipe, split: Split, monkeypatch: pytest.MonkeyPatch
) -> list[LargeBatchRecipe]:
    """What the networks that judge are trained with; they are not trained here."""
    taken: list[LargeBatchRecipe] = []

    def train(recipe: LargeBatchRecipe, *_: object, **__: object) -> Trained:
        taken.append(recipe)
        return Trained(Brightness(), recipe, seconds=0.0)

    monkeypatch.setattr(folds, "train", train)
    is_train = torch.arange(len(split)) < 28
    dataset = Dataset("made", LABELS, chosen(split, is_train), chosen(split, ~is_train))
    computing, console = Computing(torch.device("cpu"), torch.float32), Console(file=io.StringIO())
    judge_all(recipe, dataset, folds=2, seed=0, computing=computing, console=console)
    return taken


def test_judges_learn_from_every_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that picks the hardest half of each batch would pick the wrong labels."""
    recipe = replace(ACCURATE, architecture=Architecture("residual", {"widths": [4, 4, 4]}), batch_size=8)
    assert recipe.selection is not None
    taken = _recipes_of_judges(recipe, _colours(40), monkeypatch)
    assert [(each.selection, each.batch_size) for each in taken] == [(None, 8), (None, 8)]


def test_judges_of_flat_pictures_mind_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of plain colours their norms divide by more, as those of a training do; of other pictures they do not."""
    recipe = replace(FAST, architecture=Architecture("fast", {"widths": [4, 4, 4]}))
    flat = Split(_colours(40).images[:, :1, :1].expand(-1, 9, 9, -1).contiguous(), _colours(40).targets)
    for split, is_flat in ((_colours(40), False), (flat, True)):
        taken = _recipes_of_judges(recipe, split, monkeypatch)
        assert ["norm_epsilon" in each.architecture.arguments for each in taken] == [is_flat] * 2


def _with_copies(train: Split, test: Split, *groups: tuple[int, ...]) -> Dataset:
    """A data set in which the pictures of these groups are equal."""
    count = len(train) + len(test)
    findings = collect(
        "made",
        LABELS,
        files=train.names("train") + test.names("test"),
        targets=torch.cat([train.targets, test.targets]).numpy(),
        part_of=np.where(np.arange(count) < len(train), "train", "test"),
        copies=Copies(groups, (), np.zeros(count, np.int64)),
    )
    return Dataset("made", LABELS, train, test, findings=findings)


@pytest.mark.parametrize("seed", range(5))
def test_each_class_is_dealt_out_to_all_folds(seed: int) -> None:
    """Two pictures of each of twelve classes are in two folds, and folds are equally large; copies are in one."""
    targets = torch.arange(24) % 12
    whole = Split(_colours(24).images, targets)
    dataset = Dataset("made", tuple("abcdefghijkl"), chosen(whole, targets < 9), chosen(whole, targets >= 9))
    whole = folds._joined(dataset)
    fold_of = folds._folds(dataset, whole, folds=3, seed=seed)
    assert all(len(set(fold_of[whole.targets == target].tolist())) == 2 for target in range(12))
    assert torch.bincount(fold_of).tolist() == [8, 8, 8]
    train, test = _colours(10), _colours(2)
    dataset = _with_copies(train, test, (0, 2, 11), (4, 6))
    fold_of = folds._folds(dataset, folds._joined(dataset), folds=3, seed=seed)
    assert fold_of[0] == fold_of[2] == fold_of[11]
    assert fold_of[4] == fold_of[6]
    assert all(set(fold_of[torch.arange(12) % 2 == target].tolist()) == {0, 1, 2} for target in (0, 1))


def test_a_val_part_is_judged_like_the_others() -> None:
    """Its pictures are called by their own names."""
    train, test, val = _colours(10), _colours(2), _colours(4)
    whole = folds._joined(Dataset("made", LABELS, train, test, val=val))
    assert whole.names("picture")[10:] == ("test[0]", "test[1]", "val[0]", "val[1]", "val[2]", "val[3]")
    assert torch.equal(whole.images[12:], val.images)
    assert whole.targets.tolist() == [0, 1] * 8


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_in_a_val_part_is_in_the_fold_of_what_it_equals(seed: int) -> None:
    """A network that has learnt one has learnt the other."""
    parts = {"train": _colours(10), "test": _colours(2), "val": _colours(4)}
    findings = collect(
        "made",
        LABELS,
        files=[name for part, split in parts.items() for name in split.names(part)],
        targets=torch.cat([split.targets for split in parts.values()]).numpy(),
        part_of=np.repeat(list(parts), [10, 2, 4]),
        copies=Copies(((3, 13),), (), np.zeros(16, np.int64)),
    )
    dataset = Dataset("made", LABELS, parts["train"], parts["test"], findings=findings, val=parts["val"])
    fold_of = folds._folds(dataset, folds._joined(dataset), folds=3, seed=seed)
    assert fold_of[13] == fold_of[3]


@pytest.mark.parametrize("seed", range(5))
def test_copies_in_an_archive_are_in_one_fold(seed: int) -> None:
    """Nobody has looked for them when it was read; a network that learns one has learnt the other."""
    train, test = _colours(20), _colours(6)
    train.images[4] = train.images[2]
    test.images[1] = train.images[7]
    dataset = Dataset("made", LABELS, train, test)
    fold_of = folds._folds(dataset, folds._joined(dataset), folds=4, seed=seed)
    assert fold_of[2] == fold_of[4]
    assert fold_of[7] == fold_of[20 + 1]


def test_a_class_that_would_not_be_learnt_is_not_judged() -> None:
    """One owl in no other fold looks like no owl to its network; it is told, and not called a mistake."""
    train = _colours(40)
    train.targets[3] = 2
    dataset = Dataset("made", (*LABELS, "owl"), train, _colours(20))
    recipe = replace(FAST, architecture=Architecture("fast", {"widths": [4, 4, 4]}), stem_pictures=40)
    console = Console(file=io.StringIO(), width=200)
    computing = Computing(torch.device("cpu"), torch.float32)
    assert judge_all(recipe, dataset, folds=2, seed=0, computing=computing, console=console, epochs=8) == []
    assert isinstance(console.file, io.StringIO)
    assert re.findall("network . of 2", console.file.getvalue()) == ["network 1 of 2", "network 2 of 2"]
    assert "not judged: owl; copies of one picture are in the same fold" in console.file.getvalue()


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ((tuple(range(8)),), "without the largest fold 0 of 8 pictures would be left to learn from"),
        (((0, 2, 4, 6), (1, 3, 5, 7)), "without it no picture of such a class would be learnt. Add other"),
    ],
)
def test_nothing_but_copies_of_one_picture_cannot_be_judged(
    groups: tuple[tuple[int, ...], ...], sentence: str
) -> None:
    """All of them, or of each class, are in one fold: none are left to learn, which is said before a training."""
    with pytest.raises(TrainingError, match=sentence):
        judge_all(
            FAST,
            _with_copies(_colours(6), _colours(2), *groups),
            folds=4,
            seed=0,
            computing=Computing(torch.device("cpu"), torch.float32),
            console=Console(file=io.StringIO()),
        )


def test_pictures_that_are_too_small_cannot_be_judged() -> None:
    """The sentence is that of a training."""
    small = Split(torch.zeros(20, 8, 8, 3, dtype=torch.uint8), torch.arange(20) % 2)
    with pytest.raises(TrainingError, match="The pictures are 8 × 8 pixels"):
        judge_all(
            FAST,
            Dataset("small", LABELS, small, small),
            folds=2,
            seed=0,
            computing=Computing(torch.device("cpu"), torch.float32),
            console=Console(file=io.StringIO()),
        )
