"""A checkpoint with an abstain rule: what comes back, and how each fault of the rule is refused."""

import dataclasses
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import checkpoint, errors, golden
from models.calibration import VIEWS, BeforeAndAfter, Calibration, HeldOut, Reliability
from models.distance import ClassDistance
from models.errors import CheckpointError, GoldenError
from models.graph import answer
from models.networks import ARCHITECTURES, Architecture, build
from models.record import Record
from tests.forgery import Edit, add, decisive, drop, forge, refusal, replace, set_fields

HELD_OUT = HeldOut(
    n=200,
    reliability=dict.fromkeys(
        VIEWS, BeforeAndAfter(Reliability(1.0, 0.5, 0.2, 0.2), Reliability(0.5, 0.3, 0.01, 0.02))
    ),
    accepted=0.95,
    accuracy_of_accepted=None,
)
RULE = Calibration(
    temperature=0.6,
    abstain_threshold=0.4,
    distance_threshold=1.3,
    six_views_temperature=0.7,
    floor=0.05,
    six_views_floor=0.03,
    held_out=HELD_OUT,
)


@pytest.fixture
def distance() -> ClassDistance:
    """Of the tutorial network's 84 features, for three classes."""
    random = torch.Generator().manual_seed(1)
    center = torch.rand(84, generator=random) / 9
    return ClassDistance(center, torch.eye(84) * 3, torch.randn(3, 84, generator=random) / 9)


@pytest.fixture
def path(tmp_path: Path, network: nn.Module, record: Record, distance: ClassDistance) -> Path:
    """A checkpoint that can abstain, alone in its folder."""
    path = tmp_path / "folder" / "tiny.safetensors"
    checkpoint.save(path, decisive(network), dataclasses.replace(record, calibration=RULE), distance=distance)
    return path


def test_rule_distance_and_golden_distances_come_back(path: Path, distance: ClassDistance) -> None:
    """Thresholds and held-out figures in the text, the distance among the tensors, its answers beside them."""
    loaded = checkpoint.load(path)
    assert loaded.record.calibration == RULE
    assert loaded.answer_columns == 4
    assert loaded.distance is not None
    for name, tensor in distance.state_dict().items():
        assert torch.equal(loaded.distance.state_dict()[name], tensor)
    answers = answer(loaded.graph, loaded.golden_images)
    assert loaded.golden_distances is not None
    np.testing.assert_allclose(answers[:, 3:], loaded.golden_distances, rtol=1e-5)
    loaded.check_golden(answers, tolerance=1e-4)


def test_what_an_engine_answers_is_read_as_probabilities_and_a_distance(path: Path, checkpoint_path: Path) -> None:
    """Those of one picture; the distance is None where the checkpoint has none."""
    for loaded, has_distance in ((checkpoint.load(path), True), (checkpoint.load(checkpoint_path), False)):
        row = answer(loaded.graph, loaded.golden_images)[1]
        probabilities, distance = loaded.read(row)
        assert probabilities.tolist() == row[:3].tolist()
        assert distance == (row[3] if has_distance else None)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("side", [16, 32])
def test_any_network_of_any_size_can_have_a_distance(tmp_path: Path, record: Record, name: str, side: int) -> None:
    """The number of features is found out from the network, also where its last map is a single pixel."""
    spec = dataclasses.replace(record.input, height=side, width=side)
    record = dataclasses.replace(record, architecture=Architecture(name), input=spec, calibration=RULE)
    network = build(record.architecture, classes=3, spec=spec).eval()
    features = network.features(torch.zeros(1, side, side, 3, dtype=torch.uint8)).shape[1]
    distance = ClassDistance(torch.zeros(features), torch.eye(features), torch.zeros(3, features))
    checkpoint.save(tmp_path / "a.safetensors", network, record, distance=distance)
    assert checkpoint.load(tmp_path / "a.safetensors").answer_columns == 4


def test_a_checkpoint_from_before_the_rule_still_loads(path: Path, network: nn.Module, record: Record) -> None:
    """Its text knows neither distance nor six views' temperature, and it never abstains."""
    checkpoint.save(path, network, record)

    def as_it_was(_: object, fields: dict[str, dict[str, object]]) -> None:
        fields["calibration"] = {"temperature": 1.0, "abstain_threshold": None}
        for name in ("accepted", "accuracy_of_accepted"):
            del fields["metrics"][name]

    forge(path, as_it_was)
    loaded = checkpoint.load(path)
    assert loaded.record.calibration == Calibration()
    assert (loaded.distance, loaded.golden_distances, loaded.answer_columns) == (None, None, 3)


def test_another_distance_of_a_golden_picture_is_refused(path: Path) -> None:
    """By one percent of itself, where the probabilities are right."""
    loaded = checkpoint.load(path)
    answers = answer(loaded.graph, loaded.golden_images)
    answers[2, 3] *= 1.01
    with pytest.raises(GoldenError, match=r"one differs by 1\.00% of itself, allowed are 0\.05%"):
        loaded.check_golden(answers, tolerance=1e-4)


@pytest.mark.parametrize(("temperature", "passes"), [(0.5, True), (1.0, False), (2.0, False)])
def test_sharper_scores_may_differ_by_more(
    tmp_path: Path, network: nn.Module, record: Record, temperature: float, passes: bool
) -> None:
    """At temperature 0.5 rounding counts twice: 1.5 times the tolerance passes there and nowhere else."""
    calibration = Calibration(temperature=temperature)
    checkpoint.save(tmp_path / "a.safetensors", network, dataclasses.replace(record, calibration=calibration))
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    moved = loaded.golden_probabilities + np.float32(1.5e-3)
    with nullcontext() if passes else pytest.raises(GoldenError, match=r"differs by 0\.0015"):
        loaded.check_golden(moved, tolerance=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_distance_that_is_no_number_is_refused(value: float) -> None:
    """NaN compares false with everything, and is refused nevertheless."""
    with pytest.raises(GoldenError, match="of itself"):
        golden.check_distances(np.array([[value]], np.float32), np.array([[1.0]], np.float32), tolerance=1e-3)


def test_missing_distances_are_refused() -> None:
    """An engine that gives the probabilities alone is not taken for one without faults."""
    with pytest.raises(GoldenError, match=r"distances of shape \(2, 0\), stored are \(2, 1\)"):
        golden.check_distances(np.zeros((2, 0), np.float32), np.zeros((2, 1), np.float32), tolerance=1e-3)


def _nan(tensor: Tensor) -> Tensor:
    return torch.full_like(tensor, float("nan"))


FAULTS: dict[str, tuple[Edit, type[CheckpointError], str]] = {
    "no means": (
        drop("abstain.means"),
        errors.TensorKeysError,
        r"of the tensors abstain.* are missing \['means'\]",
    ),
    "one too many": (add("abstain.scale"), errors.TensorKeysError, r"too many \['scale'\]"),
    "no distances": (drop("golden.distances"), errors.TensorKeysError, "golden.distances is missing"),
    "shape": (
        replace("abstain.means", lambda x: x[:2]),
        errors.TensorShapeError,
        r"means is .*\[2, 84\]; with 84",
    ),
    "center": (
        replace("abstain.center", lambda x: x[:1]),
        errors.TensorShapeError,
        r"center is torch.float32 \[1\]",
    ),
    "not finite": (replace("abstain.whitening", _nan), errors.NotFiniteError, "abstain.whitening holds values"),
    "flat": (
        replace("golden.distances", lambda x: x[:, 0]),
        errors.TensorShapeError,
        r"golden.distances is .*\[8\]",
    ),
    "moved": (replace("abstain.center", lambda x: x + 0.01), errors.GoldenError, "at other distances"),
    "scaled": (replace("abstain.whitening", lambda x: x * 1.01), errors.GoldenError, "at other distances"),
    "no rule": (set_fields("calibration", distance_threshold=None), errors.TensorKeysError, "belong to nothing"),
    "threshold": (set_fields("calibration", distance_threshold="far"), errors.RecordError, "makes no sense"),
    "huge threshold": (set_fields("calibration", distance_threshold=1e999), errors.RecordError, "no JSON number"),
    "score": (set_fields("calibration", abstain_threshold=2), errors.RecordError, "must be within 0…1"),
    "floor": (set_fields("calibration", floor=1), errors.RecordError, "the floor is 1"),
    "six views": (
        set_fields("calibration", six_views_temperature=0),
        errors.RecordError,
        "six views' temperature is 0",
    ),
    "held out": (set_fields("calibration", held_out={"n": 3}), errors.RecordError, "no field 'reliability'"),
    "held out none": (
        lambda _, fields: fields["calibration"]["held_out"].update(n=0),
        errors.RecordError,
        "the calibration is of 0 pictures",
    ),
    "accepted": (
        lambda _, fields: fields["calibration"]["held_out"].update(accepted=1.5),
        errors.RecordError,
        "the accepted share is 1.5",
    ),
    "views": (
        lambda _, fields: fields["calibration"]["held_out"]["reliability"].pop("six_views"),
        errors.RecordError,
        "single_view and six_views are needed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_the_rule_has_its_own_error(path: Path, fault: str) -> None:
    """Whoever can write digests can write anything; it is still refused, by its name."""
    edit, expected, sentence = FAULTS[fault]
    forge(path, edit)
    refusal(path, expected, sentence)


def test_a_distance_that_nobody_asks_for_is_not_saved(
    path: Path, network: nn.Module, record: Record, distance: ClassDistance
) -> None:
    """A threshold without a distance, and a distance without a threshold, could not be loaded again."""
    before = path.read_bytes()
    with pytest.raises(errors.TensorKeysError, match="belong to nothing"):
        checkpoint.save(path, network, record, distance=distance)
    with pytest.raises(errors.TensorKeysError, match=r"golden\.distances is missing"):
        checkpoint.save(path, network, dataclasses.replace(record, calibration=RULE))
    other = ClassDistance(torch.zeros(80), torch.eye(80), torch.zeros(3, 80))
    with pytest.raises(errors.TensorShapeError, match=r"center is torch.float32 .*with 84 features and 3 labels"):
        checkpoint.save(path, network, dataclasses.replace(record, calibration=RULE), distance=other)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("score", "distance", "abstains"),
    [(0.4, 1.3, False), (0.39, 1.0, True), (0.9, 1.31, True), (0.9, None, False), (0.3, None, True)],
)
def test_either_half_of_the_rule_is_enough(score: float, distance: float | None, abstains: bool) -> None:
    """Below the score's threshold, or beyond that of the distance; on them is still accepted."""
    assert RULE.abstains(score, distance) is abstains


def test_without_thresholds_nothing_abstains() -> None:
    """The rule of a checkpoint that was not calibrated."""
    assert not Calibration().abstains(0.0, 1e9)
    assert not Calibration().may_abstain


@pytest.mark.parametrize("rule", [Calibration(abstain_threshold=0.0), Calibration(distance_threshold=0.0)])
def test_one_threshold_is_enough_to_abstain(rule: Calibration) -> None:
    """Whichever it is, some answers may not be relied on; at 0, too."""
    assert rule.may_abstain
