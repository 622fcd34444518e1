"""What an earlier training left: what fits, and what is refused."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import checkpoint, golden
from models.calibration import Calibration
from models.checkpoint import load
from models.networks import Architecture, build
from models.networks.whitened import HEAD
from models.preprocessing import InputSpec
from models.record import Record
from training.data.dataset import Dataset, Split
from training.earlier import SHIPPED, advise_start, load_start, load_teacher, start_with
from training.errors import TrainingError
from training.fresh import Start
from training.recipes import RECIPES


def test_a_teacher_of_other_classes_or_pictures_is_refused(checkpoint_path: Path) -> None:
    """Both sentences say what there is and what is needed."""
    record = load(checkpoint_path).record
    with pytest.raises(TrainingError, match=r"--teacher .* knows .*; the data has cat, dog"):
        load_teacher(checkpoint_path, mirrors=True, labels=("cat", "dog"), spec=InputSpec())
    with pytest.raises(TrainingError, match=r"--teacher .* in the same order"):
        load_teacher(checkpoint_path, mirrors=True, labels=record.labels[::-1], spec=InputSpec())
    with pytest.raises(TrainingError, match=r"--teacher .*; the pictures have 48 × 48"):
        load_teacher(checkpoint_path, mirrors=True, labels=record.labels, spec=InputSpec(height=48, width=48))
    load_teacher(checkpoint_path, mirrors=True, labels=record.labels, spec=record.input)


def _so_many(pictures: int) -> Dataset:
    """Pictures of two classes."""
    split = Split(torch.zeros(pictures, 1, 1, 3, dtype=torch.uint8), torch.arange(pictures) % 2)
    return Dataset("made", ("a", "b"), split, split)


def test_who_learns_from_few_pictures_is_told_of_the_shipped_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words that can be typed: up to 100 of a class on average, unless the recipe cannot start with it."""
    monkeypatch.chdir(SHIPPED.parent)
    advice = advise_start(_so_many(200), RECIPES["fast"], SHIPPED)
    assert advice is not None
    assert advice.startswith("200 pictures of 2 classes are few to learn from.")
    assert advice.endswith("--recipe compact --start cifar10.safetensors")
    assert advise_start(_so_many(201), RECIPES["fast"], SHIPPED) is None
    for recipe in ("tutorial", "taught"):
        assert advise_start(_so_many(200), RECIPES[recipe], SHIPPED) is None


def test_a_start_that_is_not_there_or_does_not_fit_is_not_named(tmp_path: Path, checkpoint_path: Path) -> None:
    """An installation may lack it, and another network be in its place."""
    for path in (tmp_path / "gone.safetensors", checkpoint_path):
        assert advise_start(_so_many(20), RECIPES["fast"], path) is None


SMALL = Architecture("fast", {"widths": [4, 4, 8]})


@pytest.fixture
def small(tmp_path: Path, record: Record) -> Path:
    """A checkpoint of a small network."""
    path = tmp_path / "small.safetensors"
    network = build(SMALL, classes=len(record.labels), spec=record.input)
    checkpoint.save(path, network, dataclasses.replace(record, architecture=SMALL))
    return path


def _whole(start: Start) -> dict[str, Tensor]:
    """The weights of all layers, where the last one has all of its rows."""
    return {**start.weights, HEAD: torch.stack([start.rows[place] for place in sorted(start.rows)])}


def _same(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


def test_a_start_is_the_network_that_was_saved(small: Path, record: Record) -> None:
    """Widths in a tuple, as a table has them, are those that a file has in a list; pictures may have any size."""
    tuples = Architecture("fast", {"widths": (4, 4, 8)})
    read = load_start(small, architecture=tuples, spec=dataclasses.replace(record.input, height=48, width=64))
    assert read.record.architecture.arguments == {"widths": [4, 4, 8]}
    assert _same(_whole(start_with(read, labels=record.labels)), load(small).network.state_dict())


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        (Architecture("residual", {"widths": (4, 4, 8)}), r"the recipe trains residual \(widths \[4, 4, 8\]\)"),
        (Architecture("fast", {"widths": (4, 4, 16)}), r"the recipe trains fast \(widths \[4, 4, 16\]\)"),
        (Architecture("fast"), r"the recipe trains fast\. "),
    ],
)
def test_a_start_of_another_network_is_refused(
    architecture: Architecture, told: str, small: Path, record: Record
) -> None:
    """Another name, other widths, the usual widths: its weights would not fit."""
    with pytest.raises(TrainingError, match=r"is the network fast \(widths \[4, 4, 8\]\); " + told):
        load_start(small, architecture=architecture, spec=record.input)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [("fast", r", or take --recipe fast\."), ("tutorial", r"that one\.$"), ("taught", r"that one\.$")],
)
def test_the_recipe_of_a_start_is_named(
    recipe: str, told: str, small: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one trains that network, can start with it and needs no teacher."""
    tables = {name: table for name, table in RECIPES.items() if name in ("tutorial", "fast", "taught")}
    tables[recipe] = dataclasses.replace(tables[recipe], architecture=SMALL)
    monkeypatch.setattr("training.earlier.RECIPES", tables)
    with pytest.raises(TrainingError, match=told):
        load_start(small, architecture=Architecture("residual"), spec=record.input)


def test_a_quantized_start_gives_its_filters(tmp_path: Path, record: Record) -> None:
    """It is the shipped file that is tried first; the network that is trained does not round what it is given."""
    rounded = Architecture("fast", {"widths": [4, 4, 8], "input_ranges": [[-1.0, 1.0]] * 6})
    path = tmp_path / "bytes.safetensors"
    network = build(rounded, classes=len(record.labels), spec=record.input)
    checkpoint.save(path, network, dataclasses.replace(record, architecture=rounded))
    start = start_with(load_start(path, architecture=SMALL, spec=record.input), labels=record.labels)
    assert _same(_whole(start), network.state_dict())
    build(SMALL, classes=len(record.labels), spec=record.input).load_state_dict(_whole(start))
    with pytest.raises(
        TrainingError, match=r"is the network fast \(widths \[4, 4, 8\]\); the recipe trains fast\. "
    ):
        load_start(path, architecture=Architecture("fast"), spec=record.input)


@pytest.mark.parametrize("picked", [(2, 0, 1), (1,), ()])
def test_the_last_layer_goes_by_the_names_of_the_classes(
    picked: tuple[int, ...], small: Path, record: Record
) -> None:
    """In any order, some of them or none; all other layers are taken whole."""
    labels = ("lamp", *(record.labels[place] for place in picked), "cup")
    weights = load(small).network.state_dict()
    start = start_with(load(small), labels=labels)
    assert set(start.weights) == set(weights) - {HEAD}
    assert list(start.rows) == list(range(1, 1 + len(picked)))
    for place, row in start.rows.items():
        assert torch.equal(row, weights[HEAD][picked[place - 1]])


def test_a_start_with_another_normalisation_is_refused(small: Path, record: Record) -> None:
    """Its first layer was fitted to other numbers."""
    other = dataclasses.replace(record.input, mean=(0.1, 0.2, 0.3))
    with pytest.raises(TrainingError, match=r"normalises with mean .* the recipe with \(0\.1, 0\.2, 0\.3\)"):
        load_start(small, architecture=SMALL, spec=other)


def test_a_start_with_another_deviation_alone_is_refused(small: Path, record: Record) -> None:
    """The mean may be the same: what is divided by counts as well."""
    other = dataclasses.replace(record.input, std=(0.1, 0.2, 0.3))
    with pytest.raises(TrainingError, match=r"the recipe with .* and \(0\.1, 0\.2, 0\.3\)"):
        load_start(small, architecture=SMALL, spec=other)


def test_a_file_that_is_not_there_is_named_with_its_option(tmp_path: Path, record: Record) -> None:
    """A resumed run remembers it, and nobody typed it today."""
    missing = tmp_path / "gone.safetensors"
    with pytest.raises(TrainingError, match=r"--teacher .*gone\.safetensors: the checkpoint cannot be read"):
        load_teacher(missing, mirrors=True, labels=record.labels, spec=record.input)
    with pytest.raises(TrainingError, match=r"--start .*gone\.safetensors: the checkpoint cannot be read"):
        load_start(missing, architecture=SMALL, spec=record.input)


def test_a_calibrated_teacher_teaches_at_the_recipes_temperature(
    tmp_path: Path, network: nn.Module, record: Record
) -> None:
    """Its own temperature, fitted for honest scores, would make them sharper than the recipe wants."""
    path = tmp_path / "calibrated.safetensors"
    checkpoint.save(path, network, dataclasses.replace(record, calibration=Calibration(temperature=0.5)))
    teacher = load_teacher(path, mirrors=True, labels=record.labels, spec=InputSpec()).network
    images = torch.from_numpy(golden.draw(32, 32))
    torch.testing.assert_close(teacher(images), network.eval()(images), atol=1e-6, rtol=1e-5)
