"""Folders of pictures as people have them: mixed sizes, junk files, a test part or none."""

from pathlib import Path

import numpy as np
import pytest

from models.preprocessing import InputSpec
from tests.drawing import encode, gradient, solid
from training.data import read_dataset
from training.errors import DataError
from training.folders import read_tree, split_tree


def _add(root: Path, label: str, names: list[str], data: bytes | None = None) -> None:
    for name in names:
        path = root / label / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(solid(label)) if data is None else data)


def _ignore(_sentence: str) -> None:
    pass


def test_class_names_are_the_folders_names_sorted(tmp_path: Path) -> None:
    """Pictures of any format and size below a class folder belong to it, at any depth."""
    _add(tmp_path, "red", ["1.png", "deep/2.png"])
    _add(tmp_path, "blue", ["1.jpg"], encode(gradient(300, 200), "JPEG"))
    tree = read_tree(tmp_path, spec=InputSpec(), report=_ignore)
    assert tree.labels == ("blue", "red")
    assert [len(images) for images in tree.classes] == [1, 2]
    assert tree.classes[1][0, 0, 0].tolist() == [255, 0, 0]


def test_a_file_that_is_no_picture_is_named_and_counted(tmp_path: Path) -> None:
    """The rest of the class is used; hidden files are not even mentioned."""
    _add(tmp_path, "red", ["1.png", "2.png"])
    _add(tmp_path, "red", ["notes.txt"], b"not a picture")
    _add(tmp_path, "red", ["cut.png"], encode(solid("red"))[:60])
    _add(tmp_path, "red", [".DS_Store"], b"junk")
    _add(tmp_path, "blue", ["1.png"])
    told: list[str] = []
    tree = read_tree(tmp_path, spec=InputSpec(), report=told.append)
    assert [len(images) for images in tree.classes] == [1, 2]
    assert len(told) == 3
    assert "cut.png" in told[0]
    assert "notes.txt" in told[1]
    assert told[2].startswith("2 of 4 files in")


def test_many_bad_files_are_not_all_named(tmp_path: Path) -> None:
    """Ten are named, the rest counted."""
    _add(tmp_path, "red", ["good.png"])
    _add(tmp_path, "red", [f"{i:02}.txt" for i in range(25)], b"no")
    _add(tmp_path, "blue", ["1.png"])
    told: list[str] = []
    read_tree(tmp_path, spec=InputSpec(), report=told.append)
    assert len(told) == 11
    assert told[-1].startswith("25 of 26 files")
    assert told[-1].endswith("(15 more not named)")


def test_a_class_without_a_readable_picture_is_refused(tmp_path: Path) -> None:
    """An empty folder, or one of junk alone, is named."""
    _add(tmp_path, "red", ["1.png"])
    (tmp_path / "blue").mkdir()
    with pytest.raises(DataError, match="The class 'blue' has no readable picture among 0 files"):
        read_tree(tmp_path, spec=InputSpec(), report=_ignore)


@pytest.mark.parametrize("folders", [[], ["red"]])
def test_fewer_than_two_classes_are_refused(tmp_path: Path, folders: list[str]) -> None:
    """A classifier has something to tell apart."""
    for name in folders:
        _add(tmp_path, name, ["1.png", "2.png"])
    with pytest.raises(DataError, match="at least 2 are needed"):
        read_tree(tmp_path, spec=InputSpec(), report=_ignore)


def test_one_tree_is_split_by_the_seed(tmp_path: Path) -> None:
    """A fifth of each class is held out, the same one for the same seed, and nothing is in both parts."""
    for label in ("red", "blue"):
        for number in range(20):
            _add(tmp_path, label, [f"{number:02}.png"], encode(solid(f"rgb({number},{number},9)")))
    tree = read_tree(tmp_path, spec=InputSpec(), report=_ignore)
    train, test = split_tree(tree, seed=1)
    again, _ = split_tree(tree, seed=1)
    other, _ = split_tree(tree, seed=2)
    assert np.bincount(train.targets).tolist() == [16, 16]
    assert np.bincount(test.targets).tolist() == [4, 4]
    assert np.array_equal(train.images, again.images)
    assert not np.array_equal(train.images, other.images)
    for place in (0, 1):
        shades = [{int(image[0, 0, 0]) for image in part.images[part.targets == place]} for part in (train, test)]
        assert shades[0] | shades[1] == set(range(20))
        assert not shades[0] & shades[1]


def test_a_class_with_one_picture_cannot_be_split(tmp_path: Path) -> None:
    """It could be learnt or measured, not both."""
    _add(tmp_path, "red", ["1.png", "2.png"])
    _add(tmp_path, "blue", ["1.png"])
    with pytest.raises(DataError, match="The class 'blue' has one readable picture"):
        split_tree(read_tree(tmp_path, spec=InputSpec(), report=_ignore), seed=0)


def test_train_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    """With both parts there nothing is split, and classes are numbered by the training part."""
    for label in ("blue", "green", "red"):
        _add(tmp_path / "train", label, ["1.png", "2.png"])
    _add(tmp_path / "test", "red", ["1.png"])
    dataset = read_dataset(str(tmp_path), seed=0, cache=tmp_path, report=_ignore)
    assert dataset.labels == ("blue", "green", "red")
    assert len(dataset.train) == 6
    assert dataset.test.targets.tolist() == [2]


def test_a_test_class_without_training_pictures_is_refused(tmp_path: Path) -> None:
    """Nobody can learn a class that is only in the test part."""
    for label in ("red", "blue"):
        _add(tmp_path / "train", label, ["1.png"])
    _add(tmp_path / "test", "green", ["1.png"])
    with pytest.raises(DataError, match="has the classes green, which"):
        read_dataset(str(tmp_path), seed=0, cache=tmp_path, report=_ignore)


@pytest.mark.parametrize(("first", "second"), [("Training", "Testing"), ("TRAIN", "Val"), ("train", "validation")])
def test_parts_are_found_by_any_usual_name(tmp_path: Path, first: str, second: str) -> None:
    """Kaggle's Training/ and Testing/ are parts, not classes."""
    for part in (first, second):
        for label in ("red", "blue"):
            _add(tmp_path / part, label, ["1.png", "2.png"])
    assert read_dataset(str(tmp_path), seed=0, cache=tmp_path, report=_ignore).labels == ("blue", "red")


def test_a_training_part_without_a_test_part_is_refused(tmp_path: Path) -> None:
    """Its classes would otherwise be taken for one class beside whatever else lies there."""
    for label in ("red", "blue"):
        _add(tmp_path / "train", label, ["1.png"])
    _add(tmp_path / "holdout", "red", ["1.png"])
    with pytest.raises(DataError, match="has train/ but no other part"):
        read_dataset(str(tmp_path), seed=0, cache=tmp_path, report=_ignore)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """A folder of pictures is a class, whatever its name."""
    for label in ("train", "car"):
        _add(tmp_path, label, ["1.png", "2.png"], encode(solid("red")))
    assert read_dataset(str(tmp_path), seed=0, cache=tmp_path, report=_ignore).labels == ("car", "train")
