"""A data set is looked at without training, folder or arrays."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.drawing import encode, solid
from tests.photographs import draw_photograph
from training.data import read_dataset
from training.data.dataset import Dataset, Split
from training.data.findings import to_lines
from training.data.inspection import inspect_dataset, lines_before_training


def _split(seeds: list[int], side: int) -> Split:
    pictures = [np.asarray(draw_photograph("disc", seed, side=side)) for seed in seeds]
    return Split(torch.from_numpy(np.stack(pictures)), torch.zeros(len(seeds), dtype=torch.int64))


@pytest.mark.parametrize("side", [32, 40])
def test_arrays_are_looked_at_like_files(side: int) -> None:
    """A test picture that is a training picture too is a leak; pictures are called by their places."""
    train, test = _split([1, 2, 3], side), _split([4, 2], side)
    test.targets[1] = 1
    findings = inspect_dataset(Dataset("made", ("a", "b"), train, test))
    assert findings.counts == {"a": {"train": 3, "test": 1}, "b": {"train": 0, "test": 1}}
    (group,) = findings.copies
    assert (group.kind, group.files) == ("equal", ("train[1]", "test[1]"))
    assert group.is_leak
    assert group.is_contradiction


def test_the_val_part_of_arrays_is_looked_at_too() -> None:
    """It is counted, and what it shares with the training part is told in the words that a folder's is."""
    train, test, val = _split([1, 2, 3], 32), _split([4], 32), _split([5, 2], 32)
    findings = inspect_dataset(Dataset("made", ("a", "b"), train, test, val=val))
    assert findings.counts["a"] == {"train": 3, "val": 2, "test": 1}
    lines = list(to_lines(findings))
    assert lines[-2:] == [
        "warning: 1 group of equal pictures, each in train and val: what val holds was also learnt",
        "  train[1] (train) = val[1] (val)",
    ]


def test_a_folder_was_looked_at_when_it_was_read(tmp_path: Path) -> None:
    """Copies within a part and across both are found in a folder that has a test part; a broken file is named."""
    for file, data in {
        "train/red/1.png": encode(solid("red")),
        "train/red/2.png": encode(draw_photograph("disc", 1, side=64)),
        "train/blue/1.png": encode(solid("blue")),
        "test/blue/other.bmp": encode(solid("blue"), "BMP"),
        "test/red/cut.png": encode(solid("red"))[:40],
        "test/red/same.jpg": encode(draw_photograph("disc", 1, side=64), "JPEG"),
    }.items():
        path = tmp_path / "data" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    dataset = read_dataset(str(tmp_path / "data"), seed=0, cache=tmp_path, report=lambda _sentence: None)
    findings = inspect_dataset(dataset)
    assert [item.file for item in findings.unreadable] == ["test/red/cut.png"]
    assert [(group.kind, group.files) for group in findings.copies] == [
        ("equal", ("train/blue/1.png", "test/blue/other.bmp")),
        ("near", ("train/red/2.png", "test/red/same.jpg")),
    ]
    assert all(group.is_leak for group in findings.copies)
    assert dataset.test.files == ("test/blue/other.bmp", "test/red/same.jpg")


def test_a_training_on_arrays_hears_of_classes_of_unequal_size() -> None:
    """Ten of one class and one of another; nothing is said where there are as many of each."""
    train, test = _split([*range(11)], 16), _split([20], 16)
    train.targets[0] = 1
    (line,) = lines_before_training(Dataset("made", ("a", "b"), train, test))
    assert line.startswith("warning: the class 'a' has 10 pictures to learn from, and 'b' has 1: small classes")
    train.targets[:5] = 1
    assert list(lines_before_training(Dataset("made", ("a", "b"), train, test))) == []


def test_a_training_on_arrays_hears_of_test_pictures_that_are_learnt() -> None:
    """Their number, and four of them; what only looks alike is left to `inspect`."""
    train, test = _split([*range(8)], 16), _split([1, 9, 2, 3, 4, 5], 16)
    test.images[1] = train.images[7] // 2
    (line,) = lines_before_training(Dataset("made", ("a",), train, test))
    assert line == (
        "warning: 5 of 6 pictures to measure on equal one that is learnt: test[0], test[2], test[3], test[4] …. "
        "inspect names all, and finds those that only look alike"
    )
