"""What is told of a data set before training: every count, every group, every warning, in words and as JSON."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.duplicates import Copies
from training.data.findings import Findings, changed_counts, collect, to_json, to_lines, write
from training.data.picture_cache import Unreadable

FILES = ("cat/1.jpg", "cat/2.jpg", "cat/3.jpg", "dog/1.jpg", "dog/2.jpg", "dog/3.jpg")


def _findings(
    exact: tuple[tuple[int, ...], ...] = (),
    near: tuple[tuple[int, ...], ...] = (),
    unreadable: tuple[Unreadable, ...] = (),
    test: tuple[int, ...] = (2, 5),
    repeat: int = 1,
) -> Findings:
    return collect(
        "pets",
        ("cat", "dog"),
        files=FILES * repeat,
        targets=np.array([0, 0, 0, 1, 1, 1] * repeat),
        part_of=np.where(np.tile(np.isin(np.arange(6), test), repeat), "test", "train"),
        copies=Copies(exact, near, np.arange(6 * repeat)),
        unreadable=unreadable,
    )


def test_a_good_folder_is_told_in_counts_alone() -> None:
    """One line for the data set, one for each class, no warning."""
    assert list(to_lines(_findings(repeat=20))) == [
        "pets: 80 pictures to learn from, 40 to measure on",
        "  cat       40      20",
        "  dog       40      20",
    ]


def test_a_tiny_class_is_warned_of() -> None:
    """Under twenty pictures to learn from are few, none to measure on is said."""
    lines = list(to_lines(_findings(test=(2,))))
    assert "warning: the class 'cat' has 2 pictures to learn from; 20 or more are better" in lines
    assert "warning: the class 'dog' has no picture to measure on; its accuracy will be unknown" in lines


def test_twenty_pictures_are_not_few() -> None:
    """One less is."""
    counts = {label: {"train": count, "test": 1} for label, count in (("cat", 20), ("dog", 19))}
    assert Findings("pets", counts, (), ()).few == {"dog": 19}


def test_many_tiny_classes_are_one_line() -> None:
    """How many, and which is the smallest."""
    counts = {f"k{number}": {"train": 4 - number % 2, "test": 1} for number in range(11)}
    lines = list(to_lines(Findings("many", counts, (), ())))
    assert [line for line in lines if line.startswith("warning")] == [
        "warning: 11 classes have fewer than 20 pictures to learn from, 'k1' the fewest with 3; more are better"
    ]


@pytest.mark.parametrize(("smallest", "is_warned_of"), [(30, True), (31, False)])
def test_classes_of_unequal_size_are_warned_of(smallest: int, is_warned_of: bool) -> None:
    """From ten times on, with the largest and the smallest class; one without any picture is another matter."""
    counts = {"cat": 300, "dog": 100, "newt": smallest, "yeti": 0}
    findings = Findings("pets", {label: {"train": n, "test": 9} for label, n in counts.items()}, (), ())
    told = [line for line in to_lines(findings) if "small classes are recognised worse" in line]
    assert len(told) == is_warned_of
    assert json.loads(to_json(findings))["uneven"] == (["cat", "newt"] if is_warned_of else None)
    if is_warned_of:
        assert told[0].startswith("warning: the class 'cat' has 300 pictures to learn from, and 'newt' has 30: ")


def test_unreadable_files_are_counted_and_named() -> None:
    """Ten are named with the reason, the rest counted."""
    lines = list(to_lines(_findings(unreadable=(Unreadable("cat/x.jpg", "It is empty."),) * 12)))
    start = lines.index("warning: 12 files left out, no readable picture")
    assert lines[start + 1] == "  cat/x.jpg: It is empty."
    assert lines[start + 11] == "  and 2 more"


def test_a_scene_is_warned_of() -> None:
    """Its pictures are counted, two are named, and what follows if they were copies is said; JSON names all."""
    findings = replace(_findings(repeat=20), scenes=(("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"),))
    (line,) = (line for line in to_lines(findings) if "scene" in line)
    assert line.startswith(
        "warning: 3 pictures look alike, cat/1.jpg and cat/2.jpg for instance; they are taken for"
    )
    assert json.loads(to_json(findings))["scenes"] == [["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]]


def test_copies_are_told_by_kind() -> None:
    """Equal pictures are joined by =, those that look alike by ~."""
    lines = list(to_lines(_findings(exact=((0, 1),), near=((3, 4),))))
    assert lines[lines.index("1 group of equal pictures") + 1] == "  cat/1.jpg = cat/2.jpg"
    assert lines[lines.index("1 group of pictures that look alike") + 1] == "  dog/1.jpg ~ dog/2.jpg"
    assert not any("both parts" in line or "several classes" in line for line in lines)


def test_a_leak_names_the_parts() -> None:
    """A copy on each side of the split is a warning that says which one lies where."""
    lines = list(to_lines(_findings(exact=((1, 2),))))
    start = lines.index(
        "warning: 1 group of equal pictures, each in both parts: what is measured on was also learnt"
    )
    assert lines[start + 1] == "  cat/2.jpg (train) = cat/3.jpg (test)"


def _of_three_parts(*exact: tuple[int, ...], copies: Copies | None = None) -> Findings:
    """A picture of each class in each part: 0 to 2 are cats, of the training, the val and the test part."""
    return collect(
        "pets",
        ("cat", "dog"),
        files=FILES,
        targets=np.array([0, 0, 0, 1, 1, 1]),
        part_of=np.array(["train", "val", "test"] * 2),
        copies=copies or Copies(exact, (), np.arange(6)),
    )


def test_three_parts_are_three_columns() -> None:
    """In the order in which they are used."""
    assert list(to_lines(_of_three_parts()))[:3] == [
        "pets: 2 pictures to learn from, 2 to calibrate on, 2 to measure on",
        "  cat        1       1       1",
        "  dog        1       1       1",
    ]
    assert json.loads(to_json(_of_three_parts()))["counts"]["cat"] == {"train": 1, "val": 1, "test": 1}


@pytest.mark.parametrize(
    ("copies", "parts", "consequence"),
    [
        ((0, 2), "train and test", "what is measured on was also learnt"),
        ((0, 1), "train and val", "what val holds was also learnt"),
        ((1, 2), "val and test", "what is measured on was also calibrated on"),
    ],
)
def test_of_three_parts_any_two_may_share_a_picture(copies: tuple[int, ...], parts: str, consequence: str) -> None:
    """Each pair has its own harm; a leak is only what was learnt and is measured on."""
    findings = _of_three_parts(copies)
    told = [line for line in to_lines(findings) if "each in" in line]
    assert told == [f"warning: 1 group of equal pictures, each in {parts}: {consequence}"]
    assert json.loads(to_json(findings))["copies"][0]["is_leak"] == (copies == (0, 2))


def test_what_only_looks_alike_is_told_in_the_same_words_of_each_pair() -> None:
    """Each with an "if": train leaves such pictures of val out, and nobody knows whether they are copies."""
    copies = Copies((), ((0, 1), (3, 5)), np.arange(6))
    told = [line for line in to_lines(_of_three_parts(copies=copies)) if "each in" in line]
    start = "warning: 1 group of pictures that look alike, each in train and"
    assert told == [
        f"{start} test: if they are copies, what is measured on was also learnt",
        f"{start} val: if they are copies, what val holds was also learnt",
    ]


def test_a_picture_in_all_three_parts_is_named_once() -> None:
    """Under the worst: it was learnt and is measured on."""
    lines = list(to_lines(_of_three_parts((0, 1, 2))))
    assert len([line for line in lines if "each in" in line]) == 3
    named = [place for place, line in enumerate(lines) if " = " in line]
    assert [lines[place] for place in named] == ["  cat/1.jpg (train) = cat/2.jpg (val) = cat/3.jpg (test)"]
    assert "each in train and test" in lines[named[0] - 1]


def test_a_picture_in_two_classes_is_a_contradiction() -> None:
    """One of its labels must be wrong, so it is warned of."""
    lines = list(to_lines(_findings(exact=((0, 3),))))
    start = lines.index("warning: 1 group of equal pictures, each in several classes: labels are wrong")
    assert lines[start + 1] == "  cat/1.jpg = dog/1.jpg"


def test_what_only_looks_alike_is_warned_of_with_a_condition() -> None:
    """Two zeros that somebody wrote are alike, and no copies."""
    lines = list(to_lines(_findings(near=((0, 3), (1, 2)))))
    assert [line for line in lines if "if they are copies" in line] == [
        "warning: 1 group of pictures that look alike, each in both parts: if they are copies, what is measured "
        "on was also learnt",
        "warning: 1 group of pictures that look alike, each in several classes: if they are copies, labels are "
        "wrong",
    ]


def test_a_large_group_is_named_in_part() -> None:
    """Four files stand in a line, the one in another class and the other part among them; the rest is counted."""
    everything = _findings(exact=(tuple(range(3)) + tuple(range(6, 600)),), repeat=100, test=(5,))
    (line,) = (line for line in to_lines(everything) if " = " in line)
    assert line.endswith(" and 593 more")
    assert line.count(" = ") == 3
    assert {"cat/1.jpg (train)", "dog/1.jpg (train)", "dog/3.jpg (test)"} <= set(
        line.removesuffix(" and 593 more").strip().split(" = ")
    )


def test_a_group_is_named_once_with_its_worst_fault() -> None:
    """Each heading counts all of its groups; the files stand below the last warning that is of them."""
    lines = list(to_lines(_findings(exact=((0, 1), (2, 4), (3, 5)))))
    assert lines[lines.index("3 groups of equal pictures, 2 of them warned of below") :] == [
        "3 groups of equal pictures, 2 of them warned of below",
        "  cat/1.jpg = cat/2.jpg",
        "warning: 2 groups of equal pictures, each in both parts: what is measured on was also learnt",
        "  dog/1.jpg (train) = dog/3.jpg (test)",
        "warning: 1 group of equal pictures, each in several classes: labels are wrong",
        "  cat/3.jpg (test) = dog/2.jpg (train)",
    ]


def test_json_names_everything(tmp_path: Path) -> None:
    """The file in a run's folder holds what the text cuts short, and the judgements."""
    unreadable = tuple(Unreadable(f"cat/{number}.txt", "no") for number in range(30))
    path = write(_findings(exact=((1, 2),), near=((0, 3),), unreadable=unreadable), tmp_path)
    assert path == tmp_path / "data.json"
    told = json.loads(path.read_text())
    assert told == json.loads(to_json(_findings(exact=((1, 2),), near=((0, 3),), unreadable=unreadable)))
    assert told["counts"] == {"cat": {"train": 2, "test": 1}, "dog": {"train": 2, "test": 1}}
    assert len(told["unreadable"]) == 30
    assert told["few"] == {"cat": 2, "dog": 2}
    equal, near = told["copies"]
    assert (equal["kind"], equal["is_leak"], equal["is_contradiction"]) == ("equal", True, False)
    assert (near["kind"], near["is_leak"], near["is_contradiction"]) == ("near", False, True)
    assert near["labels"] == ["cat", "dog"]


def test_classes_that_grew_or_shrank_are_named(tmp_path: Path) -> None:
    """With the pictures to learn from, now and then; a class that is new had none, one that is gone has none."""
    write(_findings(), tmp_path)
    assert changed_counts(_findings(test=(2, 4, 5)), tmp_path) == ["'dog' has 1 picture to learn from and had 2"]
    renamed = replace(_findings(), counts={"cat": {"train": 2, "test": 1}, "hen": {"train": 3, "test": 0}})
    assert changed_counts(renamed, tmp_path) == [
        "'dog' has 0 pictures to learn from and had 2",
        "'hen' has 3 pictures to learn from and had 0",
    ]


def test_other_pictures_in_the_same_numbers_are_told_as_such(tmp_path: Path) -> None:
    """A picture that was edited changes no count."""
    write(_findings(), tmp_path)
    (sentence,) = changed_counts(_findings(), tmp_path)
    assert sentence.startswith("each class has as many pictures")


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"counts": 3}', '{"counts": {"cat": 3}}'])
def test_where_the_counts_cannot_be_read_nothing_is_told(text: str | None, tmp_path: Path) -> None:
    """A run on an archive has no such file, and a damaged one must not hide what is refused."""
    if text is not None:
        (tmp_path / "data.json").write_text(text)
    assert changed_counts(_findings(), tmp_path) == []
