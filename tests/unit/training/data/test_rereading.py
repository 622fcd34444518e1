"""What is found out again about the data of a training, after it."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from models.preprocessing import InputSpec
from models.record import Record
from tests.conftest import tiny_record
from tests.drawing import encode, solid
from training.data.dataset import fingerprint
from training.data.folder_dataset import read_folder
from training.data.leaks import Leaked
from training.data.rereading import find_leaked_again

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


def _find(data: Path, record: Record, told: list[str]) -> Leaked | None:
    return find_leaked_again(str(data), record, cache=data.parent / "cache", report=told.append)


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

    assert find_leaked_again(str(data), _trained_on(data), cache=data.parent / "cache", report=fail) is None


def test_a_place_that_cannot_be_looked_at_leaves_it_unknown(tmp_path: Path) -> None:
    """A name that is too long for the system raises wherever it is asked about."""
    assert find_leaked_again("a" * 300, tiny_record(), cache=tmp_path, report=print) is None
