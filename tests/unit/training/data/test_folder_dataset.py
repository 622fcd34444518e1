"""A folder that somebody divided into parts, one of them to validate with."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.preprocessing import InputSpec
from tests.drawing import encode
from training.data.dataset import Dataset, fingerprint
from training.data.findings import to_lines
from training.data.folder_dataset import read_folder
from training.data.held_out import set_aside
from training.errors import DataError

SPEC = InputSpec(height=16, width=16)


def _add(root: Path, label: str, seeds: range) -> None:
    """Pictures of noise; equal seeds give equal ones."""
    (root / label).mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        (root / label / f"{seed}.png").write_bytes(encode(Image.fromarray(noise)))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Six pictures to learn from, two to measure on; of the three in between one equals a learnt one."""
    for part, label, seeds in (
        ("train", "cat", range(3)),
        ("train", "dog", range(3, 6)),
        ("test", "cat", range(9, 10)),
        ("test", "dog", range(7, 8)),
        ("valid", "dog", range(5, 8)),
    ):
        _add(tmp_path / "pets" / part, label, seeds)
    return tmp_path / "pets"


def _read(root: Path, *, takes_val: bool, told: list[str] | None = None) -> Dataset:
    heard: list[str] = [] if told is None else told
    return read_folder(root, SPEC, seed=0, cache=root.parent / "cache", report=heard.append, takes_val=takes_val)


def test_three_parts_are_read(pets: Path) -> None:
    """Their classes are numbered alike, a class that one lacks is fine, and nothing of it is left to tell."""
    told: list[str] = []
    dataset = _read(pets, takes_val=True, told=told)
    assert dataset.val is not None
    assert dataset.val.files == ("valid/dog/5.png", "valid/dog/6.png", "valid/dog/7.png")
    assert dataset.val.targets.tolist() == [1, 1, 1]
    assert (len(dataset.train), len(dataset.test)) == (6, 2)
    assert not [line for line in told if "not used" in line]
    assert dataset.findings is not None
    assert dataset.findings.counts["dog"] == {"train": 3, "val": 3, "test": 1}


def test_what_is_shared_by_two_of_three_parts_is_told(pets: Path) -> None:
    """What was learnt, and what is measured on, each with the folder it lies in."""
    dataset = _read(pets, takes_val=True)
    assert dataset.findings is not None
    lines = list(to_lines(dataset.findings))
    learnt = lines.index(
        "warning: 1 group of equal pictures, each in train and val: what val holds was also learnt"
    )
    assert lines[learnt + 1] == "  train/dog/5.png (train) = valid/dog/5.png (val)"
    measured = lines.index(
        "warning: 1 group of equal pictures, each in val and test: what is measured on was also calibrated on"
    )
    assert lines[measured + 1] == "  test/dog/7.png (test) = valid/dog/7.png (val)"


def test_who_does_not_take_it_reads_what_was_read_without_it(pets: Path) -> None:
    """The very same pictures, copies and draws: it is named as not used, and not decoded."""
    told: list[str] = []
    dataset = _read(pets, takes_val=False, told=told)
    assert "not used: valid/" in told
    decoded = len(list((pets.parent / "cache" / "pictures").glob("16x16-*")))
    (pets / "valid").rename(pets.parent / "valid")
    without = _read(pets, takes_val=True)
    assert len(list((pets.parent / "cache" / "pictures").glob("16x16-*"))) == decoded
    assert dataset.val is without.val is None
    assert dataset.findings == without.findings
    assert fingerprint(dataset.labels, dataset.train) == fingerprint(without.labels, without.train)
    drawn, as_before = (set_aside(one, count=2, seed=0).held_out for one in (dataset, without))
    assert drawn is not None
    assert as_before is not None
    assert drawn.files == as_before.files


def test_a_class_of_the_val_part_without_training_pictures_is_refused(pets: Path) -> None:
    """As one of the test part is."""
    _add(pets / "valid", "owl", range(8, 9))
    with pytest.raises(
        DataError, match=r"pets/valid has the classes owl, which .*pets/train has not\. .*move that"
    ):
        _read(pets, takes_val=True)
    assert not (pets.parent / "cache").exists()  # its name decides that, and no picture need be decoded


def test_an_empty_class_of_the_val_part_is_refused_before_anything_is_decoded(pets: Path) -> None:
    """That may take minutes; who does not take the part does not hear of it."""
    (pets / "valid" / "cat").mkdir()
    with pytest.raises(DataError, match=r"pets/valid: 'cat' \(0 files\)"):
        _read(pets, takes_val=True)
    assert not (pets.parent / "cache").exists()
    assert _read(pets, takes_val=False).val is None


def test_a_val_part_without_class_folders_is_not_used(pets: Path) -> None:
    """It is no part then, and told of like all that lies beside the parts."""
    for path in (pets / "valid" / "dog").iterdir():
        path.rename(pets / "valid" / path.name)
    (pets / "valid" / "dog").rmdir()
    told: list[str] = []
    assert _read(pets, takes_val=True, told=told).val is None
    assert "not used: valid/" in told


def test_without_another_test_part_it_is_measured_on(pets: Path) -> None:
    """Whether it is taken or not."""
    for path in (pets / "test").rglob("*.png"):
        path.unlink()
    for folder in (pets / "test" / "cat", pets / "test" / "dog", pets / "test"):
        folder.rmdir()
    for takes_val in (True, False):
        dataset = _read(pets, takes_val=takes_val)
        assert dataset.val is None
        assert dataset.test.files == ("valid/dog/5.png", "valid/dog/6.png", "valid/dog/7.png")
