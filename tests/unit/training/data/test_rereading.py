"""What is found out again about the data of a training, after it."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.preprocessing import InputSpec
from models.record import Record
from tests.conftest import tiny_record
from tests.drawing import encode, solid, write_archive
from training.data import read_dataset, read_test
from training.data.dataset import Split, fingerprint
from training.data.folder_dataset import read_folder
from training.data.held_out import set_aside
from training.data.leaks import Leaked
from training.data.rereading import find_leaked_again, read_as_trained, require_enough_for_rule
from training.errors import DataError, TrainingError

NOTHING = Split(torch.zeros((0, 16, 16, 3), dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
"""In place of what was measured on, where that is a part of a folder."""
SPEC = InputSpec(height=16, width=16)
COLOURS: dict[str, tuple[str, ...]] = {"dark": ("black", "navy"), "light": ("white", "yellow")}


def _write(root: Path, colours: dict[str, tuple[str, ...]]) -> None:
    for label, some in colours.items():
        (root / label).mkdir(parents=True)
        for colour in some:
            (root / label / f"{colour}.png").write_bytes(encode(solid(colour, 16)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Both parts of a folder, decoded; one of three test pictures was learnt, as another file."""
    _write(tmp_path / "data" / "train", COLOURS)
    _write(tmp_path / "data" / "test", {"dark": ("maroon",), "light": ("ivory", "pink")})
    pixels = Image.new("RGB", (20, 20), "white")
    pixels.paste("red", (0, 0, 10, 10))
    for part, kind in (("train", "PNG"), ("test", "BMP")):
        (tmp_path / "data" / part / "light" / f"copy.{kind.lower()}").write_bytes(encode(pixels, kind))
    return tmp_path / "data"


def _trained_on(data: Path) -> Record:
    dataset = read_folder(data, SPEC, seed=0, cache=data.parent / "cache", report=lambda _: None)
    record = tiny_record()
    learnt = replace(record.training, data_fingerprint=fingerprint(dataset.labels, dataset.train))
    return replace(record, labels=dataset.labels, input=SPEC, training=learnt)


def _with_val_held_out(data: Path) -> Record:
    """The record of a training that held val/ out: two light pictures, less one that was learnt."""
    _write(data / "val", {"light": ("snow", "white")})
    dataset = read_folder(data, SPEC, seed=0, cache=data.parent / "cache", report=lambda _: None, takes_val=True)
    held_out = set_aside(dataset, count=None, seed=0).held_out
    assert held_out is not None
    fields = {
        "held_out": len(held_out),
        "held_out_part": "val",
        "held_out_fingerprint": fingerprint(dataset.labels, held_out),
    }
    record = _trained_on(data)
    return replace(record, training=replace(record.training, configuration=fields))


def _read_again(data: Path, record: Record) -> tuple[str, ...]:
    divided = read_as_trained(str(data), record, cache=data.parent / "cache", report=lambda _: None)
    assert divided.held_out is not None
    assert len(divided.train) == 5
    return divided.held_out.files


def test_a_val_part_is_held_out_again(data: Path) -> None:
    """The same pictures of it, without the copy; a training with another seed holds out no others."""
    record = _with_val_held_out(data)
    assert _read_again(data, record) == ("val/light/snow.png",)
    other = replace(record, training=replace(record.training, seed=7))
    assert _read_again(data, other) == ("val/light/snow.png",)


def test_another_val_part_is_refused(data: Path) -> None:
    """It is told how many pictures there were and are; without the folder, that it is missed."""
    record = _with_val_held_out(data)
    (data / "val" / "light" / "lime.png").write_bytes(encode(solid("lime", 16)))
    with pytest.raises(DataError, match=r"of the val part: 1 then, 2 now\): it has changed"):
        _read_again(data, record)
    (data / "val" / "light" / "lime.png").unlink()
    (data / "val" / "light" / "snow.png").write_bytes(encode(solid("lime", 16)))
    with pytest.raises(DataError, match=r"of the val part: 1 then, 1 now\): it has changed"):
        _read_again(data, record)
    (data / "val").rename(data.parent / "val")
    with pytest.raises(DataError, match=r"has no val/ beside train/ and test/, .* held that out\. Bring"):
        _read_again(data, record)


def test_what_an_older_training_drew_is_drawn_again_beside_a_val_part(data: Path) -> None:
    """Its record does not say that it held val/ out: it took training pictures, and does so again."""
    record = _trained_on(data)
    older = replace(record, training=replace(record.training, configuration={"held_out": 2}))
    drawn = read_as_trained(str(data), older, cache=data.parent / "cache", report=lambda _: None).held_out
    _write(data / "val", {"light": ("snow", "white")})
    told: list[str] = []
    again = read_as_trained(str(data), older, cache=data.parent / "cache", report=told.append).held_out
    assert "not used: val/" in told
    assert drawn is not None
    assert again is not None
    assert again.files == drawn.files


def test_too_few_of_a_val_part_for_a_rule_can_be_added_to_it(data: Path) -> None:
    """Besides the number that is taken from the training pictures."""
    with pytest.raises(TrainingError, match="train again with as many in the val part, or with --held-out 100"):
        require_enough_for_rule(_with_val_held_out(data))


def test_leaks_are_looked_for_among_the_parts_of_the_training(data: Path) -> None:
    """With val/ where that was held out, and so not before it is decoded, too."""
    record, told = _with_val_held_out(data), list[str]()
    found = _find(data, record, told)
    assert found is not None
    assert found.is_learnt.tolist() == [False, True, False, False]
    (data / "val" / "light" / "lime.png").write_bytes(encode(solid("lime", 16)))
    assert _find(data, record, []) is None
    assert _find(data, _trained_on(data), []) is not None
    (data / "val").rename(data.parent / "val")
    assert _find(data, record, []) is not None


def _find(data: Path, record: Record, told: list[str]) -> Leaked | None:
    return find_leaked_again(str(data), record, NOTHING, cache=data.parent / "cache", report=told.append)


def test_copies_are_searched_for_in_what_was_learnt_alone(data: Path) -> None:
    """With a line before it; nobody waits for it with a checkpoint of other pictures."""
    record, told = _trained_on(data), list[str]()
    found = _find(data, record, told)
    assert found is not None
    assert found.has_alike
    assert found.is_learnt.tolist() == [False, True, False, False]
    assert told[-1] == "looking for test pictures that equal or look like learnt ones"
    other, told = replace(record, training=replace(record.training, data_fingerprint="0" * 64)), []
    assert _find(data, other, told) is None
    assert not [line for line in told if line.startswith("looking")]
    assert told[-1].startswith(f"the training part of {data} is not what the checkpoint has learnt: ")


def test_a_part_that_cannot_be_trained_on_is_nothing_that_was_learnt(data: Path) -> None:
    """Its test part can be measured on all the same."""
    record = _trained_on(data)
    (data / "train" / "dark").rename(data / "dark")
    assert _find(data, record, []) is None


@pytest.mark.parametrize("error", [OSError("stale file handle"), MemoryError()], ids=["OSError", "MemoryError"])
def test_what_fails_on_the_way_leaves_it_unknown(error: Exception, data: Path) -> None:
    """All else is measured by then, and would be lost."""

    def fail(_: str) -> None:
        raise error

    cache = data.parent / "cache"
    assert find_leaked_again(str(data), _trained_on(data), NOTHING, cache=cache, report=fail) is None


def test_a_place_that_cannot_be_looked_at_leaves_it_unknown(tmp_path: Path) -> None:
    """A name that is too long for the system raises wherever it is asked about."""
    assert find_leaked_again("a" * 300, tiny_record(), NOTHING, cache=tmp_path, report=print) is None


def test_where_the_seed_divided_a_folder_none_were_learnt(tmp_path: Path) -> None:
    """Copies stay together; of a folder that has changed since, and counts whole, it is not known."""
    data, cache, said = tmp_path / "data", tmp_path / "cache", list[str]()
    _write(data, {"dark": ("black", "navy", "maroon"), "light": ("white", "yellow", "pink")})
    dataset = read_folder(data, SPEC, seed=0, cache=cache, report=said.append)
    record = tiny_record()
    training = replace(record.training, seed=0, data_fingerprint=fingerprint(dataset.labels, dataset.train))
    record = replace(record, labels=dataset.labels, input=SPEC, training=training)
    _, measured = read_test(str(data), record, cache=cache, report=said.append)
    assert 0 < len(measured) < 6
    found = find_leaked_again(str(data), record, measured, cache=cache, report=said.append)
    assert found is not None
    assert not found.has_alike  # of a class of pictures that all look alike some are on either side
    assert found.is_learnt.tolist() == [False] * len(measured)
    (data / "light" / "lime.png").write_bytes(encode(solid("lime", 16)))
    _, measured = read_test(str(data), record, cache=cache, report=said.append)
    assert len(measured) == 7
    assert find_leaked_again(str(data), record, measured, cache=cache, report=said.append) is None


def test_an_archive_is_searched_without_its_training_part_in_memory(tmp_path: Path) -> None:
    """Of 25 MB less than 16 are there at a time; what was brought to the network's size is found, too."""
    path, n = tmp_path / "a.npz", 32
    images = np.repeat(np.arange(n, dtype=np.uint8), 512 * 512 * 3).reshape(n, 512, 512, 3)
    targets = np.arange(n) % 2
    learnt: dict[str, np.ndarray] = {"x_train": images[4:], "y_train": targets[4:]}
    np.savez(path, **learnt, x_test=images[2:6], y_test=targets[2:6])  # type: ignore[arg-type]
    dataset = read_dataset(str(path), seed=0, cache=tmp_path, report=print, input_size=64)
    record = tiny_record()
    training = replace(record.training, data_fingerprint=fingerprint(dataset.labels, dataset.train))
    record = replace(record, labels=dataset.labels, input=InputSpec(height=64, width=64), training=training)
    del images, learnt
    measured = dataset.test
    del dataset
    tracemalloc.start()
    found = find_leaked_again(str(path), record, measured, cache=tmp_path, report=print)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is not None
    assert (found.is_learnt.tolist(), found.has_alike) == ([False, False, True, True], False)
    assert peak_bytes < 16e6
    other = replace(record, training=replace(training, data_fingerprint="0" * 64))
    assert find_leaked_again(str(path), other, measured, cache=tmp_path, report=print) is None


def test_an_archive_that_cannot_be_trained_on_is_nothing_that_was_learnt(tmp_path: Path) -> None:
    """Its parts have pictures of two sizes, or the test part has a class of its own."""
    path, cache = tmp_path / "a.npz", tmp_path / "cache"
    images, targets = np.arange(4 * 768, dtype=np.uint32).astype(np.uint8).reshape(4, 16, 16, 3), np.arange(4) % 2
    arrays: dict[str, np.ndarray] = {"x_train": images, "y_train": targets, "x_test": images, "y_test": targets}
    write_archive(path, arrays)
    dataset = read_dataset(str(path), seed=0, cache=cache, report=print)
    record = tiny_record()
    training = replace(record.training, data_fingerprint=fingerprint(dataset.labels, dataset.train))
    record = replace(record, labels=dataset.labels, input=SPEC, training=training)
    measured = dataset.test
    assert find_leaked_again(str(path), record, measured, cache=cache, report=print) is not None
    changes: list[dict[str, np.ndarray]] = [
        {"x_test": images[:, :8]},
        {"y_test": targets + 1},
        {"x_train": images[:3]},
    ]
    for change in changes:
        write_archive(path, arrays | change)
        assert find_leaked_again(str(path), record, measured, cache=cache, report=print) is None
