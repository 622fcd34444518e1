"""What `--data` may name, and what is refused."""

import dataclasses
import hashlib
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.preprocessing import InputSpec
from models.record import Record
from tests.drawing import encode, gradient, solid, write_archive
from tests.photographs import draw_photograph
from training.data import cifar10, read_dataset, read_test
from training.data.dataset import Split, fingerprint
from training.errors import DataError


def _ignore(_sentence: str) -> None:
    pass


def _arrays(n: int = 6, side: int = 8) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2 * n, side, side, 3), dtype=np.uint8)
    targets = np.arange(2 * n, dtype=np.uint8) % 3
    return {"x_train": images[:n], "y_train": targets[:n], "x_test": images[n:], "y_test": targets[n:]}


def _read(path: Path) -> object:
    return read_dataset(str(path), seed=0, cache=path.parent, report=_ignore)


def test_an_archive_is_read_as_it_is(tmp_path: Path) -> None:
    """Pictures, classes and the optional names come out as they went in."""
    arrays = _arrays()
    write_archive(tmp_path / "pets.npz", {**arrays, "labels": np.array(["cat", "dog", "owl"])})
    dataset = read_dataset(str(tmp_path / "pets.npz"), seed=0, cache=tmp_path, report=_ignore)
    assert dataset.name == "pets"
    assert dataset.labels == ("cat", "dog", "owl")
    assert np.array_equal(dataset.train.images.numpy(), arrays["x_train"])
    assert dataset.test.targets.tolist() == arrays["y_test"].tolist()


def test_an_archive_without_names_counts_its_classes(tmp_path: Path) -> None:
    """Labels are then the numbers as text."""
    write_archive(tmp_path / "a.npz", _arrays())
    assert read_dataset(str(tmp_path / "a.npz"), seed=0, cache=tmp_path, report=_ignore).labels == ("0", "1", "2")


def test_a_label_beyond_the_most_classes_is_refused(tmp_path: Path) -> None:
    """They are counted from 0, so that 2,999 is the last of 3,000."""
    arrays = _arrays()
    arrays["y_test"] = arrays["y_test"].astype(np.int64)
    arrays["y_test"][0] = 3_000
    write_archive(tmp_path / "a.npz", arrays)
    with pytest.raises(DataError, match="y_test holds 0 to 3000; labels are counted from 0, to 2,999 at most"):
        _read(tmp_path / "a.npz")


def test_column_labels_are_accepted(tmp_path: Path) -> None:
    """Keras keeps labels as (n, 1); that is read as (n,)."""
    arrays = _arrays()
    arrays["y_train"] = arrays["y_train"][:, None]
    write_archive(tmp_path / "a.npz", arrays)
    dataset = read_dataset(str(tmp_path / "a.npz"), seed=0, cache=tmp_path, report=_ignore)
    assert dataset.train.targets.shape == (6,)
    assert not dataset.is_test_drawn


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x_train": None}, "lacks x_train"),
        ({"x_train": np.zeros((6, 8, 8, 3), np.float32)}, "x_train is float32"),
        ({"x_train": np.zeros((6, 3, 8, 8), np.uint8)}, r"uint8 \(n, height, width, 3\) is needed"),
        ({"x_train": np.zeros((6, 8, 8, 2), np.uint8)}, r"or \(n, height, width\) where pictures are grey\.$"),
        ({"x_train": np.zeros((6, 3, 40), np.uint8)}, r"is uint8 \[6, 3, 40\];.* grey\.$"),
        ({"x_train": np.zeros((6, 8), np.uint8)}, r"is uint8 \[6, 8\];"),
        ({"x_train": np.zeros((6, 0, 8, 3), np.uint8)}, "in x_train are 0 × 8 pixels; at least 1 × 1"),
        ({"x_test": np.zeros((6, 9, 9, 3), np.uint8)}, "differ in size"),
        ({"y_train": np.zeros(5, np.uint8)}, "6 pictures in x_train, 5 labels"),
        ({"y_train": np.zeros(6, np.float32)}, "integers"),
        ({"y_train": np.full(6, -1)}, "counted from 0"),
        ({"y_train": np.full(6, 300)}, "cannot be more classes than the 6"),
        ({"y_train": np.full(6, 2**63, np.uint64)}, "to 2,999 at most"),
        ({"labels": np.array([b"a", b"b", b"\xff"])}, "no ASCII"),
        ({"labels": np.array(["a", "b", ""])}, "class 2 has no name"),
        ({"labels": np.array([["a", "b"], ["c", "d"]])}, r"labels is \[2, 2\]; one row of names"),
        ({"y_test": np.zeros(0, np.int64)}, "y_test is empty"),
        ({"y_train": np.zeros(6, np.uint8), "y_test": np.zeros(6, np.uint8)}, "at least two"),
        ({"labels": np.array(["a", "b"])}, "classes 0 to 2"),
        ({"y_train": np.array([0, 2, 2, 0, 2, 2])}, "y_test has the classes 1, which y_train has not"),
        (
            {"y_train": np.array([1, 2, 3] * 2), "y_test": np.array([1, 2, 3] * 2)},
            "has the label 0. Store the names",
        ),
        ({"y_train": np.array([0, 9, 9, 0, 9, 9]) // 2, "y_test": np.zeros(6, int)}, r"label 1, 2, 3\. "),
        ({"y_train": np.eye(3, dtype=int)[[0, 1, 2] * 2]}, r"y\.argmax\(1\)"),
        ({"y_train": np.array(["cat", "dog", "owl"] * 2)}, "return_inverse=True"),
        ({"x_train": np.full((6, 8, 8, 3), -0.5)}, r"are grey\.$"),  # no pixels, so no advice
        ({"labels": np.array(["a", "a", "b"])}, "stands twice"),
        ({"labels": np.array([{"a": 1}], dtype=object)}, "it holds Python objects"),
    ],
)
def test_a_wrong_archive_is_refused(tmp_path: Path, change: dict[str, np.ndarray | None], sentence: str) -> None:
    """Each fault of an archive has its own sentence."""
    arrays = {name: array for name, array in {**_arrays(), **change}.items() if array is not None}
    write_archive(tmp_path / "bad.npz", arrays)
    with pytest.raises(DataError, match=sentence):
        _read(tmp_path / "bad.npz")


def test_a_val_part_of_an_archive_is_read_for_who_takes_it(tmp_path: Path) -> None:
    """At the size that is asked for; whoever does not take it is told that it is not used."""
    arrays, told = _arrays(), list[str]()
    write_archive(tmp_path / "a.npz", {**arrays, "x_val": arrays["x_test"][:2], "y_val": arrays["y_test"][:2]})
    read = read_dataset(
        str(tmp_path / "a.npz"), seed=0, cache=tmp_path, report=told.append, input_size=12, takes_val=True
    )
    assert not told
    assert read.val is not None
    assert read.val.images.shape == (2, 12, 12, 3)
    assert read.val.targets.tolist() == arrays["y_test"][:2].tolist()
    assert read_dataset(str(tmp_path / "a.npz"), seed=0, cache=tmp_path, report=told.append).val is None
    assert told == ["not used: x_val, y_val"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"y_val": None}, "lacks y_val; it holds x_train, .*x_val"),
        ({"x_val": None}, "lacks x_val"),
        ({"x_val": np.zeros((2, 9, 9, 3), np.uint8)}, "training and val pictures differ in size"),
        ({"x_val": np.zeros((2, 8, 8, 3))}, "x_val is float64"),
        ({"y_val": np.array([0, 7])}, "y_val has the classes 7, which y_train has not.*out of the val part"),
        ({"y_val": np.zeros(3, int)}, "2 pictures in x_val, 3 labels"),
        ({"x_val": np.zeros((0, 8, 8, 3), np.uint8), "y_val": np.zeros(0, int)}, "y_val is empty"),
    ],
)
def test_a_wrong_val_part_is_refused(tmp_path: Path, change: dict[str, np.ndarray | None], sentence: str) -> None:
    """Both arrays or neither, and the same checks as of the other parts."""
    val: dict[str, np.ndarray] = {"x_val": np.zeros((2, 8, 8, 3), np.uint8), "y_val": np.array([0, 1])}
    arrays = {name: array for name, array in {**_arrays(), **val, **change}.items() if array is not None}
    write_archive(tmp_path / "bad.npz", arrays)
    with pytest.raises(
        DataError, match=f"{sentence}.* An archive need not have x_val and y_val, and train --held"
    ):
        read_dataset(str(tmp_path / "bad.npz"), seed=0, cache=tmp_path, report=_ignore, takes_val=True)


@pytest.mark.parametrize("has_val", [False, True])
def test_the_line_that_counts_labels_anew_does_so_in_all_parts(tmp_path: Path, has_val: bool) -> None:
    """By one table, whichever classes a part has: labels that are counted from 1, here."""
    parts = {"y_train": np.array([1, 2, 3, 3]), "y_test": np.array([3, 1])}
    if has_val:
        parts["y_val"] = np.array([2, 3, 2])
    pictures = {f"x{name[1:]}": np.zeros((len(y), 9, 9, 3), np.uint8) for name, y in parts.items()}
    write_archive(tmp_path / "a.npz", {**parts, **pictures})
    with pytest.raises(DataError, match="count them from 0 without gaps: ") as caught:
        read_dataset(str(tmp_path / "a.npz"), seed=0, cache=tmp_path, report=_ignore, takes_val=True)
    line = str(caught.value).partition("without gaps: ")[2].removesuffix(".")
    counted: dict[str, Any] = {"numpy": np, **parts}
    exec(line, counted)  # noqa: S102 - it is ours, and users are told to
    assert counted["labels"].tolist() == [1, 2, 3]
    assert {name: counted[name].tolist() for name in parts} == {
        name: (y - 1).tolist() for name, y in parts.items()
    }


_PIXELS = np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("damage", [b"}'descr': '|u1', ", b"('descr': '|u1', ", b"{'descr: '|u1', "])
def test_an_array_with_a_damaged_header_is_refused(tmp_path: Path, damage: bytes) -> None:
    """NumPy parses it before the checksum is looked at, and raises what a Python file would."""
    path = tmp_path / "bad.npz"
    write_archive(path, _arrays())
    whole = path.read_bytes()
    assert b"{'descr': '|u1', " in whole
    path.write_bytes(whole.replace(b"{'descr': '|u1', ", damage.ljust(17), 1))
    with pytest.raises(DataError, match=r"bad\.npz cannot be read as an \.npz archive of plain arrays"):
        _read(path)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(_PIXELS / 255, id="floats to 1"),
        pytest.param(_PIXELS.astype(np.float32), id="floats to 255"),
        pytest.param(_PIXELS.astype(np.int64), id="wide"),
        pytest.param(_PIXELS.transpose(0, 3, 1, 2), id="channels first"),
        pytest.param((_PIXELS.transpose(0, 3, 1, 2) / 255).astype(np.float32), id="floats, channels first"),
        pytest.param(_PIXELS.transpose(0, 3, 1, 2).reshape(6, 3, 64), id="channels first, flattened"),
        pytest.param(_PIXELS.reshape(6, 64, 3) / 255, id="floats, flattened"),
    ],
)
def test_the_advice_makes_pictures_fit(tmp_path: Path, wrong: np.ndarray) -> None:
    """What other programs write becomes what it was, by the very expression of the sentence."""
    assert np.array_equal(_as_advised(tmp_path, wrong), _PIXELS)


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 8, 8, 1)])
def test_grey_pictures_are_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """MNIST has no channels, as most of its archives: the value stands three times."""
    grey = _PIXELS[..., 0]
    write_archive(tmp_path / "grey.npz", {**_arrays(), "x_train": grey.reshape(shape), "x_test": grey})
    tripled = np.stack([grey] * 3, axis=3)
    write_archive(tmp_path / "tripled.npz", {**_arrays(), "x_train": tripled, "x_test": tripled})
    one, other = (
        read_dataset(str(tmp_path / name), seed=0, cache=tmp_path, report=_ignore)
        for name in ("grey.npz", "tripled.npz")
    )
    for part in (one.train, one.test):
        assert np.array_equal(part.images.numpy(), tripled)
    assert fingerprint(one.labels, one.train) == fingerprint(other.labels, other.train)


@pytest.mark.parametrize(
    "grey",
    [
        pytest.param(_PIXELS[:, None, :, :, 0], id="channels first"),
        pytest.param(_PIXELS[..., 0] / 255, id="floats"),
        pytest.param(_PIXELS[..., :1] / 255, id="floats in one channel"),
    ],
)
def test_the_advice_makes_grey_pictures_fit(tmp_path: Path, grey: np.ndarray) -> None:
    """What is no archive of bytes yet becomes one, by the very expression of the sentence."""
    assert np.array_equal(_as_advised(tmp_path, grey), np.stack([_PIXELS[..., 0]] * 3, axis=3))


def _as_advised(folder: Path, wrong: np.ndarray) -> np.ndarray:
    arrays = _arrays()
    write_archive(folder / "wrong.npz", {**arrays, "x_train": wrong})
    with pytest.raises(DataError, match="is needed") as caught:
        _read(folder / "wrong.npz")
    expression = str(caught.value).rpartition(" Made of this array: ")[2]
    right = eval(expression, {"numpy": np, "x": wrong})  # noqa: S307 - our own sentence
    write_archive(folder / "right.npz", {**arrays, "x_train": right})
    read = read_dataset(str(folder / "right.npz"), seed=0, cache=folder, report=_ignore)
    return read.train.images.numpy()


@pytest.mark.parametrize(
    ("learnt", "measured"),
    [
        (np.array([1, 2, 3] * 2), np.array([2, 3] * 3)),
        (np.array(["cat", "dog", "owl"] * 2), np.array(["dog", "owl"] * 3)),
    ],
    ids=["from 1", "names"],
)
def test_the_advice_makes_labels_fit(tmp_path: Path, learnt: np.ndarray, measured: np.ndarray) -> None:
    """Both parts by one table, also where the test part lacks a class."""
    arrays = _arrays() | {"y_train": learnt, "y_test": measured}
    write_archive(tmp_path / "wrong.npz", arrays)
    with pytest.raises(DataError, match="return_inverse=True") as caught:
        _read(tmp_path / "wrong.npz")
    names = _recounted(str(caught.value), learnt, measured)
    write_archive(tmp_path / "right.npz", arrays | names)
    read = read_dataset(str(tmp_path / "right.npz"), seed=0, cache=tmp_path, report=_ignore)
    assert read.labels == tuple(map(str, names["labels"]))
    assert read.test.targets.tolist() == [1, 2] * 3


def test_the_advice_hides_no_class_of_the_test_part(tmp_path: Path) -> None:
    """Which nobody has learnt: it is refused afterwards as before."""
    learnt, measured = np.array(["cat", "dog", "owl"] * 2), np.array(["bird", "dog", "owl"] * 2)
    arrays = _arrays() | {"y_train": learnt, "y_test": measured}
    write_archive(tmp_path / "wrong.npz", arrays)
    with pytest.raises(DataError, match="return_inverse=True") as caught:
        _read(tmp_path / "wrong.npz")
    write_archive(tmp_path / "right.npz", arrays | _recounted(str(caught.value), learnt, measured))
    with pytest.raises(DataError, match="y_test has the classes bird, which y_train has not"):
        _read(tmp_path / "right.npz")


def _recounted(sentence: str, learnt: np.ndarray, measured: np.ndarray) -> dict[str, np.ndarray]:
    lines = sentence[sentence.index("labels, y = ") :].rstrip(".")
    names: dict[str, Any] = {"numpy": np, "y_train": learnt, "y_test": measured}
    exec(lines, names)  # noqa: S102 - our own sentence
    return {name: names[name] for name in ("labels", "y_train", "y_test")}


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "val", "test")])
def test_the_advice_renames_what_medmnist_stores(tmp_path: Path, parts: tuple[str, ...]) -> None:
    """The line that is printed makes a file that is read, with the pictures for validation as its val part."""
    kept = _arrays()
    pictures = {"train": kept["x_train"], "val": kept["x_test"], "test": kept["x_test"][:3]}
    columns = {"train": kept["y_train"], "val": kept["y_test"], "test": kept["y_test"][:3]}
    arrays = {f"{part}_images": pictures[part] for part in parts}
    write_archive(tmp_path / "med.npz", arrays | {f"{part}_labels": columns[part][:, None] for part in parts})
    with pytest.raises(DataError, match="lacks x_train, y_train, x_test, y_test; it holds train_images") as caught:
        _read(tmp_path / "med.npz")
    exec(str(caught.value).partition("Store them so: ")[2], {"numpy": np})  # noqa: S102 - our own sentence
    path = str(tmp_path / "med-renamed.npz")
    read = read_dataset(path, seed=0, cache=tmp_path, report=_ignore, takes_val=True)
    assert read.train.targets.tolist() == [*kept["y_train"]]
    assert (read.val is not None) == ("val" in parts)
    if read.val is not None:
        assert np.array_equal(read.val.images.numpy(), pictures["val"])
        assert read.val.targets.tolist() == [*kept["y_test"]]
    assert np.array_equal(read.test.images.numpy(), pictures["test"])


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    """A text that is named .npz is told from an archive."""
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match=r"text.npz is no .npz archive"):
        _read(tmp_path / "text.npz")


def test_an_array_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    """A single .npy array that was renamed is told from an archive."""
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"one.npz is no .npz archive"):
        _read(tmp_path / "one.npz")


def _spoil_stream(data: bytearray) -> None:
    start = data.index(b"x_train.npy") + 60
    data[start : start + 40] = b"\xff" * 40


def _encrypt(data: bytearray) -> None:
    for entry, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(entry) + flags] |= 1


def _pack_otherwise(data: bytearray) -> None:
    for entry, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(entry) + method] = 99


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_spoil_stream, "cannot be read as an .npz archive.*decompressing"),
        (_encrypt, "cannot be read as an .npz archive.*password"),
        (_pack_otherwise, "cannot be read as an .npz archive.*compression"),
    ],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: Callable[[bytearray], None], sentence: str) -> None:
    """Damaged streams, encrypted ones and ones that are packed in an unknown way are a sentence each."""
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, **_arrays())  # type: ignore[arg-type]  # as in write_archive
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    with pytest.raises(DataError, match=sentence):
        _read(path)


def test_what_else_lies_in_an_archive_is_not_looked_at(tmp_path: Path) -> None:
    """Notes that only pickle could read do not make good pictures unreadable."""
    notes = np.array([{"by": "hand"}], dtype=object)
    write_archive(tmp_path / "a.npz", {**_arrays(), "meta": notes})
    assert len(read_dataset(str(tmp_path / "a.npz"), seed=0, cache=tmp_path, report=_ignore).train) == 6


def test_a_path_that_is_nothing_is_refused(tmp_path: Path) -> None:
    """A mistyped path gets the list of what may stand there."""
    with pytest.raises(DataError, match="neither 'cifar10', nor an existing"):
        _read(tmp_path / "nothing")
    (tmp_path / "pets.zip").write_text("")
    with pytest.raises(DataError, match=r"is a file, but no \.npz archive\. If it packs pictures, unpack it"):
        _read(tmp_path / "pets.zip")


def test_an_archives_ending_may_have_capitals(tmp_path: Path) -> None:
    """As a picture's may."""
    write_archive(tmp_path / "pets.npz", _arrays())
    (tmp_path / "pets.npz").rename(tmp_path / "PETS.NPZ")
    read = read_dataset(str(tmp_path / "PETS.NPZ"), seed=0, cache=tmp_path, report=_ignore)
    assert read.labels == ("0", "1", "2")


def test_a_cache_inside_the_data_is_refused(tmp_path: Path) -> None:
    """Its folder would be a class the next time."""
    with pytest.raises(DataError, match="would be read as a class"):
        read_dataset(str(tmp_path), seed=0, cache=tmp_path / "data", report=_ignore)


def _download_two_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision find two pictures in each part."""
    from torchvision import datasets

    class TwoPictures:
        def __init__(self, root: str, *, train: bool, download: bool) -> None:
            assert (root, download) == (str(folder), True)
            self.data = np.full((2, 32, 32, 3), 7 if train else 9, np.uint8)
            self.targets = [0, 9]

    monkeypatch.setattr(datasets, "CIFAR10", TwoPictures)


def test_the_official_download_has_the_tutorials_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cifar10` goes through torchvision and speaks of planes and cars."""
    _download_two_pictures(tmp_path, monkeypatch)
    dataset = read_dataset("cifar10", seed=0, cache=tmp_path, report=_ignore)
    assert dataset.labels == cifar10.LABELS
    assert dataset.train.images.flatten().tolist()[:1] == [7]
    assert dataset.test.images.flatten().tolist()[:1] == [9]


def test_cifar10_is_never_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record) -> None:
    """Training and measuring mean the same by the name, whatever lies in the working folder."""
    _download_two_pictures(tmp_path, monkeypatch)
    monkeypatch.chdir(_folder(tmp_path / "cifar10", 2).parent)
    known = replace(record, labels=cifar10.LABELS)
    name, split = read_test("cifar10", known, cache=tmp_path, report=_ignore)
    assert (name, len(split)) == ("CIFAR-10 test", 2)
    assert read_dataset("cifar10", seed=0, cache=tmp_path, report=_ignore).name == "CIFAR-10"


def test_a_failed_download_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the reader is told what else to do."""
    from torchvision import datasets

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "CIFAR10", refuse)
    with pytest.raises(DataError, match=r"could not be downloaded.*no route to host.*use --data FILE\.npz"):
        read_dataset("cifar10", seed=0, cache=tmp_path, report=_ignore)


def test_the_fingerprint_follows_pictures_classes_and_names() -> None:
    """It is stable, and any change of the training data changes it."""
    split = Split(torch.zeros((2, 4, 4, 3), dtype=torch.uint8), torch.tensor([0, 1]))
    other_pixel = split.images.clone()
    other_pixel[1, 3, 3, 2] = 1
    prints = [
        fingerprint(("a", "b"), split),
        fingerprint(("b", "a"), split),
        fingerprint(("a", "b"), Split(other_pixel, split.targets)),
        fingerprint(("a", "b"), Split(split.images, torch.tensor([1, 0]))),
    ]
    assert len(set(prints)) == 4
    assert fingerprint(("a", "b"), split) == prints[0]


def test_the_fingerprint_is_that_of_all_pixels_in_order_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is hashed at once, also of pictures that lie otherwise in memory; 3 MB of them are not copied."""
    images = torch.randint(0, 256, (7, 5, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = hashlib.sha256(
        b"a\nb" + images.numpy().tobytes() + np.arange(7, dtype=np.int32).tobytes()
    ).hexdigest()
    monkeypatch.setattr("training.data.dataset._HASHED_AT_ONCE", 3)
    assert fingerprint(("a", "b"), Split(images, torch.arange(7))) == expected
    turned = images.transpose(0, 1).contiguous().transpose(0, 1)
    assert not turned.is_contiguous()
    assert fingerprint(("a", "b"), Split(turned, torch.arange(7))) == expected
    large = Split(torch.zeros((1_000, 32, 32, 3), dtype=torch.uint8), torch.zeros(1_000, dtype=torch.int64))
    tracemalloc.start()
    fingerprint(("a", "b"), large)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 100_000


def test_classes_are_numbered_as_the_checkpoint_does(tmp_path: Path, record: Record) -> None:
    """Data with the same names in another order is measured by name, not by number."""
    arrays = _arrays(side=32)
    write_archive(tmp_path / "a.npz", {**arrays, "labels": np.array(["blue", "red", "green"])})
    _, split = read_test(str(tmp_path / "a.npz"), record, cache=tmp_path, report=_ignore)
    there = {"blue": 2, "red": 0, "green": 1}
    names = ["blue", "red", "green"]
    assert split.targets.tolist() == [there[names[target]] for target in arrays["y_test"]]


def test_classes_without_names_are_places_in_the_checkpoints_labels(tmp_path: Path, record: Record) -> None:
    """A sample of the test set needs neither names nor a training part."""
    arrays = _arrays(side=32)
    write_archive(tmp_path / "a.npz", {name: arrays[name] for name in ("x_test", "y_test")})
    told: list[str] = []
    name, split = read_test(str(tmp_path / "a.npz"), record, cache=tmp_path, report=told.append)
    assert name == "a test"
    assert split.targets.tolist() == arrays["y_test"].tolist()
    assert [line.partition(": ")[2] for line in told] == [
        "its numbers are taken for the checkpoint's classes, 0 for red, 1 for green, 2 for blue"
    ]
    numbered = replace(record, labels=("0", "1", "2"))
    read_test(str(tmp_path / "a.npz"), numbered, cache=tmp_path, report=told.append)
    assert len(told) == 1


def test_more_classes_than_the_checkpoint_has_are_refused(tmp_path: Path, record: Record) -> None:
    """Class 3 of a checkpoint with three labels is nothing."""
    arrays = {**_arrays(side=32), "y_test": np.full(6, 3)}
    write_archive(tmp_path / "a.npz", arrays)
    with pytest.raises(DataError, match="y_test goes up to 3, and there are 3 labels: red, green, blue"):
        read_test(str(tmp_path / "a.npz"), record, cache=tmp_path, report=_ignore)


@pytest.mark.parametrize(
    ("wanted", "found", "places"),
    [
        (("plane", "car", "cat"), ("airplane", "automobile", "cat"), [0, 1, 2]),
        (("airplane", "automobile", "cat"), ("plane", "car", "cat"), [0, 1, 2]),
        (("airplane", "plane", "cat"), ("plane", "airplane", "cat"), [1, 0, 2]),
    ],
)
def test_official_and_short_names_are_the_same_unless_both_are_there(
    tmp_path: Path, record: Record, wanted: tuple[str, ...], found: tuple[str, ...], places: list[int]
) -> None:
    """Airplane is plane for a checkpoint that has one of them; one that has both keeps them apart."""
    arrays = {**_arrays(n=3, side=32), "y_test": np.arange(3), "labels": np.array(found)}
    write_archive(tmp_path / "a.npz", arrays)
    known = dataclasses.replace(record, labels=wanted)
    _, split = read_test(str(tmp_path / "a.npz"), known, cache=tmp_path, report=_ignore)
    assert split.targets.tolist() == places


def test_an_unknown_class_is_refused(tmp_path: Path, record: Record) -> None:
    """A checkpoint is not measured on what it cannot know."""
    write_archive(tmp_path / "a.npz", {**_arrays(), "labels": np.array(["red", "green", "mauve"])})
    with pytest.raises(DataError, match="does not know mauve; its labels are red, green, blue"):
        read_test(str(tmp_path / "a.npz"), record, cache=tmp_path, report=_ignore)


def test_an_unknown_class_without_pictures_is_no_matter(tmp_path: Path, record: Record) -> None:
    """Part of a larger archive names classes that none of its pictures have."""
    write_archive(tmp_path / "a.npz", {**_arrays(), "labels": np.array(["mauve", "green", "red", "blue"])})
    with pytest.raises(DataError, match="does not know mauve;"):
        read_test(str(tmp_path / "a.npz"), record, cache=tmp_path, report=_ignore)
    write_archive(tmp_path / "a.npz", {**_arrays(), "labels": np.array(["red", "green", "blue", "mauve"])})
    _, split = read_test(str(tmp_path / "a.npz"), record, cache=tmp_path, report=_ignore)
    assert split.targets.tolist() == _arrays()["y_test"].tolist()


def test_names_are_the_same_in_every_spelling_of_unicode(tmp_path: Path, record: Record) -> None:
    """MacOS writes an accent as a letter of its own, which looks the same."""
    known = dataclasses.replace(record, labels=("caf\u00e9", "green", "blue"))
    write_archive(tmp_path / "a.npz", {**_arrays(), "labels": np.array(["cafe\u0301", "green", "blue"])})
    _, split = read_test(str(tmp_path / "a.npz"), known, cache=tmp_path, report=_ignore)
    assert split.targets.tolist() == _arrays()["y_test"].tolist()


def test_images_of_another_size_are_brought_to_the_networks(tmp_path: Path, record: Record) -> None:
    """An archive of 8 × 8 pictures, of grey ones too, is resized for a 32 × 32 network, as the service would."""
    arrays = {**_arrays(side=8), "labels": np.array(["red", "green", "blue"])}
    for images in (arrays["x_test"], arrays["x_test"][..., 0]):
        write_archive(tmp_path / "a.npz", {**arrays, "x_test": images})
        _, split = read_test(str(tmp_path / "a.npz"), record, cache=tmp_path, report=_ignore)
        assert split.images.shape == (6, 32, 32, 3)


def _folder(root: Path, per_class: int) -> Path:
    for label in ("red", "green", "blue"):
        for number in range(per_class):
            path = root / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = solid(label, side=40)
            picture.putpixel((20, 20), (number, number, number))
            path.write_bytes(encode(picture))
    return root


def test_a_folder_that_was_trained_on_is_measured_on_its_test_part(tmp_path: Path, record: Record) -> None:
    """The seed in the checkpoint finds the pictures that the training did not see; others count whole."""
    import dataclasses

    root = _folder(tmp_path / "pets", 10)
    dataset = read_dataset(str(root), seed=4, cache=tmp_path / "cache", report=_ignore)
    assert dataset.is_test_drawn
    training = dataclasses.replace(
        record.training, seed=4, data_fingerprint=fingerprint(dataset.labels, dataset.train)
    )
    trained_on_it = dataclasses.replace(record, labels=dataset.labels, training=training)
    name, split = read_test(str(root), trained_on_it, cache=tmp_path / "cache", report=_ignore)
    assert "the test part of its training" in name
    assert torch.equal(split.images, dataset.test.images)
    name, whole = read_test(str(root), record, cache=tmp_path / "cache", report=_ignore)
    assert name == "pets whole"
    assert len(whole) == 30


@pytest.mark.parametrize("gone", ["red", "red/3.png"])
def test_a_folder_of_which_something_is_gone_is_warned_of(tmp_path: Path, record: Record, gone: str) -> None:
    """A class or a picture: what was held out is not found again, and all of the rest counts."""
    root = _folder(tmp_path / "pets", 10)
    dataset = read_dataset(str(root), seed=4, cache=tmp_path / "cache", report=_ignore)
    training = replace(record.training, seed=4, data_fingerprint=fingerprint(dataset.labels, dataset.train))
    known = replace(record, labels=dataset.labels, training=training)
    for path in sorted([root / gone, *(root / gone).rglob("*")], reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    told: list[str] = []
    name, split = read_test(str(root), known, cache=tmp_path / "cache", report=told.append)
    assert name == "pets whole"
    assert told[-1].startswith(
        "warning: pets has no test part, and is not what the checkpoint was trained on, or has changed since"
    )
    assert f": all {len(split)} pictures count. " in told[-1]


def test_what_only_looks_alike_is_divided_again_as_it_was(tmp_path: Path, record: Record) -> None:
    """A folder of one scene a class, whose split passes over that, has the same held-out part afterwards."""
    for label in ("cross", "disc"):
        (tmp_path / "desks" / label).mkdir(parents=True)
        picture = draw_photograph(label, 3, side=64)
        for quality in range(60, 66):
            (tmp_path / "desks" / label / f"{quality}.jpg").write_bytes(encode(picture, "JPEG", quality=quality))
    source, cache = str(tmp_path / "desks"), tmp_path / "cache"
    dataset = read_dataset(source, seed=0, cache=cache, report=_ignore)
    training = replace(record.training, data_fingerprint=fingerprint(dataset.labels, dataset.train))
    known = replace(record, labels=dataset.labels, training=training, input=InputSpec(height=48, width=48))
    name, split = read_test(source, known, cache=cache, report=_ignore)
    assert "the test part of its training" in name
    assert split.files == dataset.test.files


def test_a_folder_with_a_test_part_is_measured_on_it(tmp_path: Path, record: Record) -> None:
    """Only test/ is read, even if it lacks a class or holds one picture of it; what else lies there is named."""
    path = tmp_path / "pets" / "test" / "blue" / "a.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(encode(gradient()))
    for other in (
        "test/loose.png",
        "loose.png",
        "train/blue/b.png",
        "train/loose.png",
        "Val/blue/c.png",
        "more/blue/d.png",
    ):
        (tmp_path / "pets" / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / other).write_bytes(encode(gradient()))
    told: list[str] = []
    name, split = read_test(str(tmp_path / "pets"), record, cache=tmp_path / "cache", report=told.append)
    assert name == "pets test"
    assert split.targets.tolist() == [2]
    assert told[-1] == "not used: loose.png, more/, test/loose.png"


def test_an_empty_class_of_the_test_part_is_refused_before_the_other_part_is_decoded(tmp_path: Path) -> None:
    """That may take minutes."""
    for part in ("train", "test"):
        _folder(tmp_path / "pets" / part, per_class=1)
    for file in (tmp_path / "pets" / "test" / "blue").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"pets/test: 'blue' \(0 files\)"):
        read_dataset(str(tmp_path / "pets"), seed=0, cache=tmp_path / "cache", report=_ignore)
    assert not (tmp_path / "cache").exists()
