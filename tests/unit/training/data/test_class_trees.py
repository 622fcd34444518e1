"""Folders of pictures as people have them: mixed sizes, junk files, a test part or none."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.preprocessing import InputSpec
from tests.drawing import encode, gradient, solid
from tests.photographs import draw_photograph
from training.data import read_dataset
from training.data.class_trees import (
    Parts,
    Tree,
    choose_side,
    find_parts,
    read_tree,
    report_unreadable,
    report_unused,
)
from training.data.duplicates import Places
from training.data.splitting import copies_in, split_tree
from training.errors import DataError


def _add(root: Path, label: str, names: list[str], data: bytes | None = None) -> None:
    for name in names:
        path = root / label / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(solid(label)) if data is None else data)


def _ignore(_sentence: str) -> None:
    pass


def _read(root: Path) -> Tree:
    return read_tree(root, spec=InputSpec(), cache=root.parent / f"{root.name} cache", report=_ignore)


def _split(tree: Tree, seed: int = 0) -> tuple[Places, Places]:
    return split_tree(tree, copies_in([tree]), seed=seed)


def _files(tree: Tree, places: Places) -> set[str]:
    return {tree.pictures.read[place].file for place in places}


def test_class_names_are_the_folders_names_sorted(tmp_path: Path) -> None:
    """Pictures of any format and size below a class folder belong to it, at any depth."""
    _add(tmp_path, "red", ["1.png", "deep/2.png"])
    _add(tmp_path, "blue", ["1.jpg"], encode(gradient(300, 200), "JPEG"))
    tree = _read(tmp_path)
    assert tree.labels == ("blue", "red")
    assert [read.file for read in tree.pictures.read] == ["blue/1.jpg", "red/1.png", "red/deep/2.png"]
    assert tree.targets.tolist() == [0, 1, 1]
    assert tree.pictures.images[1, 0, 0].tolist() == [255, 0, 0]


def test_a_file_that_is_no_picture_is_named_and_counted(tmp_path: Path) -> None:
    """The rest of the class is used; hidden files are not even mentioned."""
    _add(tmp_path, "red", ["1.png", "2.png"])
    _add(tmp_path, "red", ["notes.txt"], b"not a picture")
    _add(tmp_path, "red", ["cut.png"], encode(solid("red"))[:60])
    _add(tmp_path, "red", [".DS_Store"], b"junk")
    _add(tmp_path, "blue", ["1.png"])
    told: list[str] = []
    tree = _read(tmp_path)
    report_unreadable(tree.pictures, told.append)
    assert tree.targets.tolist() == [0, 1, 1]
    assert len(told) == 3
    assert told[0].startswith("skipped red/cut.png: The PNG picture")
    assert told[1].startswith("skipped red/notes.txt: The file is no picture format")
    assert told[2] == "2 of 5 files are no readable pictures"


def test_what_lies_in_hidden_folders_is_not_looked_at(tmp_path: Path) -> None:
    """Thumbnails of a picture viewer are no pictures of the class, and make no part of a class named train."""
    red, blue = encode(solid("red")), encode(solid("blue"))
    _add(tmp_path, "train", ["1.png", ".thumbnails/small.png"], red)
    _add(tmp_path, "car", ["1.png", "deep/.bin/2.png"], blue)
    assert [read.file for read in _read(tmp_path).pictures.read] == ["car/1.png", "train/1.png"]
    assert find_parts(tmp_path) == Parts(None, None, None)


def test_folders_of_other_programs_are_passed_over(tmp_path: Path) -> None:
    """What Synology, macOS and drives have of their own is neither pictures nor classes, nor told."""
    red, blue = encode(solid("red")), encode(solid("blue"))
    _add(tmp_path, "red", ["1.png", "@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "deep/@eaDir/2.jpg"], red)
    _add(tmp_path, "blue", ["1.png"], blue)
    for name in ("@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"):
        _add(tmp_path, name, ["1.png"], red)
    told: list[str] = []
    tree = _read(tmp_path)
    report_unused(tmp_path, [tmp_path], told.append)
    assert tree.labels == ("blue", "red")
    assert [read.file for read in tree.pictures.read] == ["blue/1.png", "red/1.png"]
    assert told == []


def test_a_folder_that_cannot_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pictures are left out, and not without a word."""
    _add(tmp_path, "red", ["1.png", "mine/2.png"])
    _add(tmp_path, "blue", ["1.png"])
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if path == str(tmp_path / "red" / "mine"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # whoever runs the tests may open everything
    told: list[str] = []
    report_unused(tmp_path, [tmp_path], told.append)
    assert told == ["warning: left out, since they cannot be opened: red/mine/ (Permission denied)"]
    assert [read.file for read in _read(tmp_path).pictures.read] == ["blue/1.png", "red/1.png"]


def test_many_bad_files_are_not_all_named(tmp_path: Path) -> None:
    """Ten are named, the rest counted."""
    _add(tmp_path, "red", ["good.png"])
    _add(tmp_path, "red", [f"{i:02}.txt" for i in range(25)], b"no")
    _add(tmp_path, "blue", ["1.png"])
    told: list[str] = []
    report_unreadable(_read(tmp_path).pictures, told.append)
    assert len(told) == 11
    assert told[-1] == "25 of 27 files are no readable pictures (15 more not named)"


@pytest.mark.parametrize(
    ("names", "fewest", "told"),
    [
        ((), 1, "has no class folders; at least 1 is needed"),
        (("red",), 2, r"has 1 class folder \(red\); at least 2 are needed"),
        (("red", "blue"), 3, r"has 2 class folders \(blue, red\); at least 3 are needed"),
    ],
)
def test_too_few_classes_are_counted(names: tuple[str, ...], fewest: int, told: str, tmp_path: Path) -> None:
    """And named."""
    for name in names:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=told):
        read_tree(
            tmp_path,
            spec=InputSpec(),
            cache=tmp_path.parent / "cache",
            report=lambda _: None,
            fewest_classes=fewest,
        )


def test_a_class_without_a_readable_picture_is_refused(tmp_path: Path) -> None:
    """An empty folder, or one of junk alone, is named."""
    _add(tmp_path, "red", ["1.png"])
    (tmp_path / "blue").mkdir()
    with pytest.raises(DataError, match=r"A class has no picture .*: 'blue' \(0 files\)\. .* remove the folder\."):
        _read(tmp_path)
    assert not (tmp_path.parent / f"{tmp_path.name} cache").exists(), "refused before anything was decoded"
    _add(tmp_path, "blue", ["1.txt"], b"no")
    for number in range(6):
        _add(tmp_path, f"green {number}", ["1.txt"], b"no")
    with pytest.raises(
        DataError,
        match=r"Some classes have no picture .*: 'blue' \(1 file\), 'green 0' \(1 file\), .* and 2 more\.",
    ):
        _read(tmp_path)


def test_a_class_that_cannot_be_opened_is_refused_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for an empty one."""
    _add(tmp_path, "red", ["1.png"])
    (tmp_path / "blue").mkdir()
    monkeypatch.setattr(os, "access", lambda path, _mode: path.name != "blue")
    with pytest.raises(DataError, match=r"A class has no picture .*: 'blue' \(cannot be opened\)\."):
        _read(tmp_path)


def test_a_folder_beside_the_parts_need_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's backup is not looked into."""
    for part in ("train", "test"):
        _add(tmp_path / part, "red", ["1.png"])
    closed = tmp_path / "backup"
    closed.mkdir()
    list_folder = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return list_folder(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert find_parts(tmp_path) == Parts(tmp_path / "train", tmp_path / "test", None)


def test_names_are_composed(tmp_path: Path) -> None:
    """MacOS writes an accent as a letter of its own; two folders that look the same are refused."""
    data = encode(solid("blue"))
    _add(tmp_path, "cafe\u0301", ["1.png"], data)
    _add(tmp_path, "red", ["1.png"])
    assert _read(tmp_path).labels == ("caf\u00e9", "red")
    _add(tmp_path, "caf\u00e9", ["1.png"], data)
    with pytest.raises(DataError, match=r"'cafe\\u0301' and 'caf\\xe9': one name in two spellings"):
        _read(tmp_path)


@pytest.mark.parametrize("folders", [[], ["red"]])
def test_fewer_than_two_classes_are_refused(tmp_path: Path, folders: list[str]) -> None:
    """A classifier has something to tell apart."""
    for name in folders:
        _add(tmp_path, name, ["1.png", "2.png"])
    with pytest.raises(DataError, match="at least 2 are needed"):
        _read(tmp_path)


def test_one_tree_is_split_by_the_seed(tmp_path: Path) -> None:
    """A fifth of each class is held out, the same one for the same seed, and nothing is in both parts."""
    for place, label in enumerate(("red", "blue")):
        for number in range(20):
            _add(tmp_path, label, [f"{number:02}.png"], encode(solid(f"rgb({number},{number},{place})")))
    tree = _read(tmp_path)
    train, test = _split(tree, seed=1)
    again, _ = _split(tree, seed=1)
    other, _ = _split(tree, seed=2)
    assert np.bincount(tree.targets[train]).tolist() == [16, 16]
    assert np.bincount(tree.targets[test]).tolist() == [4, 4]
    assert np.array_equal(train, again)
    assert not np.array_equal(train, other)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(40))


@pytest.mark.parametrize("seed", range(5))
def test_copies_stay_on_one_side_of_the_split(tmp_path: Path, seed: int) -> None:
    """Each of ten photographs and its smaller JPEG are learnt both or measured both, whatever the seed."""
    for label in ("cross", "disc"):
        for number in range(10):
            picture = draw_photograph(label, number, side=96)
            _add(tmp_path, label, [f"{number}.png"], encode(picture))
            _add(tmp_path, label, [f"{number} again.jpg"], encode(picture.resize((80, 80)), "JPEG"))
    tree = _read(tmp_path)
    train, test = (_files(tree, places) for places in _split(tree, seed=seed))
    assert len(test) == 8
    assert {file.replace(" again.jpg", ".png") for file in test}.isdisjoint(
        file.replace(" again.jpg", ".png") for file in train
    )


def test_a_picture_in_two_classes_is_not_measured_with(tmp_path: Path) -> None:
    """One of its labels is wrong, so it is only learnt from."""
    for label, number in (("cross", 0), ("disc", 10)):
        for name in range(4):
            _add(tmp_path, label, [f"{name}.png"], encode(draw_photograph(label, number + name, side=64)))
    both = encode(draw_photograph("cross", 77, side=64))
    _add(tmp_path, "cross", ["both.png"], both)
    _add(tmp_path, "disc", ["both.png"], both)
    tree = _read(tmp_path)
    for seed in range(8):
        assert {"cross/both.png", "disc/both.png"} <= _files(tree, _split(tree, seed=seed)[0])


def test_a_class_of_copies_is_learnt_whole(tmp_path: Path) -> None:
    """Nothing of it could be measured honestly; a data set of nothing else is refused."""
    _add(tmp_path, "red", ["1.png", "2.png", "3.png"])
    for name in range(5):
        _add(tmp_path, "disc", [f"{name}.png"], encode(draw_photograph("disc", name, side=64)))
    tree = _read(tmp_path)
    train, test = _split(tree)
    assert np.bincount(tree.targets[train]).tolist() == [4, 3]
    assert tree.targets[test].tolist() == [0]
    _add(tmp_path / "all", "red", ["1.png", "2.png"])
    _add(tmp_path / "all", "blue", ["1.png", "2.png"])
    with pytest.raises(DataError, match="nothing but copies of one picture"):
        _split(_read(tmp_path / "all"))


def test_classes_of_one_scene_each_are_split_with_a_warning(tmp_path: Path) -> None:
    """Eight pictures of one desk a class: nothing could be held out if they stayed together, so they do not."""
    root, told = tmp_path / "desks", list[str]()
    for label in ("cross", "disc"):
        picture = draw_photograph(label, 3, side=96)
        for number in range(8):
            _add(root, label, [f"{number}.jpg"], encode(picture, "JPEG", quality=60 + number))
    dataset = read_dataset(str(root), seed=0, cache=tmp_path / "cache", report=told.append)
    assert np.bincount(dataset.test.targets).tolist() == [2, 2]
    assert any(line.startswith("warning: each class holds nothing but copies") for line in told)
    assert dataset.findings is not None
    assert [len(scene) for scene in dataset.findings.scenes] == [8, 8]
    for number in range(4):
        _add(root, "disc", [f"other {number}.png"], encode(draw_photograph("disc", 10 + number, side=96)))
    told.clear()
    dataset = read_dataset(str(root), seed=0, cache=tmp_path / "cache", report=told.append)
    assert not any("nothing but copies" in line for line in told)
    assert np.bincount(dataset.test.targets).tolist() == [0, 2]


def test_pictures_that_all_lie_in_two_classes_are_a_reason_too(tmp_path: Path) -> None:
    """No class holds copies of one picture alone, and still there is nothing to measure on."""
    for label in ("cross", "disc"):
        for name in range(3):
            _add(tmp_path, label, [f"{name}.png"], encode(draw_photograph("disc", name, side=64)))
    with pytest.raises(DataError, match="or pictures that lie in two classes, so there is nothing to measure on"):
        _split(_read(tmp_path))


def test_the_largest_group_is_not_held_out_if_another_can_be(tmp_path: Path) -> None:
    """Of one picture six times and two others, a fifth is held out of the others."""
    _add(tmp_path, "red", [f"{number}.png" for number in range(6)])
    for name in ("a", "b"):
        _add(tmp_path, "red", [f"{name}.png"], encode(draw_photograph("disc", ord(name), side=64)))
    _add(tmp_path, "blue", ["1.png", "2.png"])
    _add(tmp_path, "blue", ["3.png"], encode(solid("navy")))
    tree = _read(tmp_path)
    for seed in range(5):
        _, test = _split(tree, seed=seed)
        red = {file for file in _files(tree, test) if "red" in file}
        assert red
        assert red <= {"red/a.png", "red/b.png"}


@pytest.mark.parametrize(("sides", "chosen"), [([32], 32), ([40, 50, 900], 32), ([100], 48), ([224, 3_000], 64)])
def test_the_inputs_size_follows_the_pictures(tmp_path: Path, sides: list[int], chosen: int) -> None:
    """The median of the shorter sides decides; what is no picture has no say."""
    for number, side in enumerate(sides):
        _add(tmp_path, "red", [f"{number}.png"], encode(gradient(side + 9, side)))
    _add(tmp_path, "red", ["notes.txt"], b"no")
    assert choose_side(tmp_path) == chosen


def test_headers_alone_choose_the_inputs_size(tmp_path: Path) -> None:
    """Nothing is decoded for it: a large picture of which the end is missing counts, turned or not."""
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    for number, picture in enumerate((gradient(150, 900), gradient(900, 150))):
        data = encode(picture, "JPEG", exif=exif)
        _add(tmp_path, "red", [f"{number}.jpg"], data[: len(data) // 2])
    assert choose_side(tmp_path) == 64


def test_long_pictures_choose_the_inputs_size_by_their_shorter_side(tmp_path: Path) -> None:
    """No more of them is seen than a square of it, whichever way they are long."""
    for number, picture in enumerate((gradient(40, 300), gradient(300, 40))):
        _add(tmp_path, "red", [f"{number}.png"], encode(picture))
    assert choose_side(tmp_path) == 32


def test_only_pictures_of_classes_choose_the_inputs_size(tmp_path: Path) -> None:
    """Large ones that are loose, hidden or in no part have no say."""
    for part in ("train", "test"):
        _add(tmp_path / part, "red", ["1.png"], encode(gradient(40, 40)))
    large = encode(gradient(300, 300))
    _add(tmp_path / "val", "red", ["1.png", "2.png", "3.png"], large)
    _add(tmp_path / "train" / "red", ".thumbnails", ["1.png", "2.png", "3.png"], large)
    _add(tmp_path, "", ["1.png", "2.png", "3.png"], large)
    assert choose_side(tmp_path) == 32


def test_a_folder_without_pictures_gets_the_smallest_input(tmp_path: Path) -> None:
    """It will be refused in a moment, by those who know why."""
    assert choose_side(tmp_path) == 32


def test_a_class_with_one_picture_cannot_be_split(tmp_path: Path) -> None:
    """It could be learnt or measured, not both."""
    _add(tmp_path, "red", ["1.png", "2.png"])
    _add(tmp_path, "blue", ["1.png"])
    with pytest.raises(DataError, match=r"The class 'blue' has one readable picture"):
        _split(_read(tmp_path))


def test_what_was_found_is_told_before_a_folder_is_refused(tmp_path: Path) -> None:
    """A class has one picture since two others are none, or all are copies: it is said which ones."""
    _add(tmp_path / "one", "red", ["1.png", "2.png"])
    _add(tmp_path / "one", "blue", ["1.png"])
    _add(tmp_path / "one", "blue", ["2.png", "3.png"], b"")
    told: list[str] = []
    with pytest.raises(DataError, match=r"The class 'blue' has one readable picture"):
        read_dataset(str(tmp_path / "one"), seed=0, cache=tmp_path / "cache", report=told.append)
    assert "one: 3 pictures to learn from, 0 to measure on" in told
    assert "warning: 2 files left out, no readable picture" in told
    assert any(line.startswith("  blue/2.png: The picture is empty") for line in told)
    for label in ("red", "blue"):
        _add(tmp_path / "copies", label, ["1.png", "2.png"])
    told.clear()
    with pytest.raises(DataError, match="nothing but copies of one picture"):
        read_dataset(str(tmp_path / "copies"), seed=0, cache=tmp_path / "cache", report=told.append)
    assert told.index("2 groups of equal pictures") + 1 == told.index("  blue/1.png = blue/2.png")


def test_train_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    """With both parts there nothing is split, and classes are numbered by the training part."""
    for label in ("blue", "green", "red"):
        _add(tmp_path / "train", label, ["1.png", "2.png"])
    _add(tmp_path / "test", "red", ["1.png"])
    dataset = read_dataset(str(tmp_path), seed=0, cache=tmp_path / ".cache", report=_ignore)
    assert dataset.labels == ("blue", "green", "red")
    assert len(dataset.train) == 6
    assert dataset.test.targets.tolist() == [2]


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    """Pictures beside the classes or the parts, and links that are not followed: five names, and how many more."""
    elsewhere = tmp_path / "elsewhere"
    red = encode(solid("red"))
    _add(elsewhere, "red", ["1.png"], red)
    root = tmp_path / "data"
    for part in ("train", "test"):
        for label in ("blue", "red"):
            _add(root / part, label, ["1.png", ".hidden/2.png"], red)
    told: list[str] = []
    report_unused(root, [root / "train", root / "test"], told.append)
    assert told == []
    _add(root, "val/red", ["1.png"], red)
    _add(root, "", ["loose.png", ".DS_Store"], red)
    _add(root / "train", "", ["loose.png"], red)
    (root / "train" / "red" / "album").symlink_to(elsewhere / "red")
    (root / "train" / "red" / "gone.png").symlink_to(elsewhere / "nothing.png")
    (root / "train" / "red" / "there.png").symlink_to(elsewhere / "red" / "1.png")
    (root / "train" / "green").symlink_to(elsewhere / "red")
    dataset = read_dataset(str(root), seed=0, cache=tmp_path / "cache", report=told.append)
    line = "not used: loose.png, train/loose.png, train/red/album/, train/red/gone.png, val/"
    assert line in told
    assert len(dataset.train) == 4
    _add(root, "", ["z1.png", "z2.png"], red)
    report_unused(root, [root / "train", root / "test"], told.append)
    assert told[-1] == f"{line} and 2 more"


def test_a_test_class_without_training_pictures_is_refused(tmp_path: Path) -> None:
    """Nobody can learn a class that is only in the test part."""
    for label in ("red", "blue"):
        _add(tmp_path / "train", label, ["1.png"])
    _add(tmp_path / "test", "green", ["1.png"])
    with pytest.raises(DataError, match="has the classes green, which"):
        read_dataset(str(tmp_path), seed=0, cache=tmp_path / ".cache", report=_ignore)


@pytest.mark.parametrize(("first", "second"), [("Training", "Testing"), ("TRAIN", "Val"), ("train", "validation")])
def test_parts_are_found_by_any_usual_name(tmp_path: Path, first: str, second: str) -> None:
    """Kaggle's Training/ and Testing/ are parts, not classes."""
    for part in (first, second):
        for label in ("red", "blue"):
            _add(tmp_path / part, label, ["1.png", "2.png"])
    assert read_dataset(str(tmp_path), seed=0, cache=tmp_path / ".cache", report=_ignore).labels == ("blue", "red")


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("train", "test", "Val"), ("train", "test", "Val")),
        (("Training", "train", "VAL", "Valid", "validation"), ("train", "VAL", None)),
        (("TRAINING", "Testing", "Valid", "validation"), ("TRAINING", "Testing", "Valid")),
        (("test", "val"), (None, "test", "val")),
    ],
)
def test_of_several_parts_the_usual_name_is_taken(
    tmp_path: Path, names: tuple[str, ...], taken: tuple[str | None, ...]
) -> None:
    """Not the one whose capitals sort first; one to validate with is the test part where there is no other."""
    for name in names:
        _add(tmp_path / name, "red", ["1.png"])
    assert find_parts(tmp_path) == Parts(*(None if name is None else tmp_path / name for name in taken))


def test_a_val_part_has_no_say_in_the_size(tmp_path: Path) -> None:
    """So that whether it is used changes nothing of the other pictures."""
    for part, side in (("train", 20), ("test", 20), ("val", 300)):
        _add(tmp_path / part, "red", [f"{number}.png" for number in range(9)], encode(solid("red", side)))
    assert choose_side(tmp_path) == 32


def test_a_training_part_without_a_test_part_is_refused(tmp_path: Path) -> None:
    """Its classes would otherwise be taken for one class beside whatever else lies there."""
    for label in ("red", "blue"):
        _add(tmp_path / "train", label, ["1.png"])
    _add(tmp_path / "holdout", "red", ["1.png"])
    with pytest.raises(DataError, match="has train/ but no other part"):
        read_dataset(str(tmp_path), seed=0, cache=tmp_path / ".cache", report=_ignore)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """A folder of pictures is a class, whatever its name."""
    for label in ("train", "car"):
        for number in range(2):
            _add(tmp_path, label, [f"{number}.png"], encode(draw_photograph("disc", len(label) + number, side=64)))
    dataset = read_dataset(str(tmp_path), seed=0, cache=tmp_path / ".cache", report=_ignore)
    assert dataset.labels == ("car", "train")
