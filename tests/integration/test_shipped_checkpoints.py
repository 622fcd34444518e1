"""The files in models/checkpoints are what they say they are."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from app.main import create_app
from app.settings import Settings
from models.checkpoint import CHECKPOINTS, load
from models.graph import answer
from models.prediction import rank
from models.preprocessing import InputSpec
from tests.drawing import encode
from training.data import cifar10, read_test
from training.earlier import load_start, start_with
from training.errors import TrainingError
from training.evaluate import ViewProbabilities, measure
from training.fresh import fresh_network, take_start
from training.recipes import RECIPES

ROOT = Path(__file__).parents[2]
NAMES = ("cifar10", "tutorial")
_PLACES = (
    os.environ.get("CIFAR10_NPZ"),
    ROOT / "data" / "cifar10.npz",
    ROOT.parent / "shared/cifar10/cifar10.npz",
)
CIFAR10 = next((Path(place) for place in _PLACES if place and Path(place).is_file()), None)
needs_cifar10 = pytest.mark.skipif(
    CIFAR10 is None, reason="cifar10.npz is not here; set CIFAR10_NPZ or put it into data/"
)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_checkpoint_loads(name: str) -> None:
    """It passes every check, knows its ten labels, and carries metrics of the whole test set."""
    record = load(CHECKPOINTS / f"{name}.safetensors").record
    assert record.name == name
    assert record.labels == cifar10.LABELS
    assert record.metrics.n == 10_000
    assert set(record.metrics.per_class) == set(cifar10.LABELS)
    matrix = np.array(record.metrics.confusion_matrix)
    assert np.trace(matrix) / matrix.sum() == pytest.approx(record.metrics.accuracy["single_view"])
    assert record.training.commit != "unknown"
    assert not record.training.commit.endswith("-dirty")


def test_compact_can_start_with_the_shipped_checkpoint() -> None:
    """As the README does it: pictures may be larger, and classes known or not. Whoever names `fast` is told so."""
    path, table = CHECKPOINTS / "cifar10.safetensors", RECIPES["compact"]
    spec = InputSpec(height=64, width=64, mean=table.mean, std=table.std)
    read = load_start(path, architecture=table.architecture, spec=spec)
    start = start_with(read, labels=("hamster", "cat"))
    network = fresh_network(table.architecture, classes=2, spec=spec, device=torch.device("cpu"))
    take_start(network, start)
    filters, shipped = (each.state_dict()["groups.2.conv3.weight"] for each in (network, read.network))
    assert start.rows.keys() == {1}
    assert torch.equal(filters, shipped)
    assert network(torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).isfinite().all()
    with pytest.raises(TrainingError, match="or take --recipe compact"):
        load_start(path, architecture=RECIPES["fast"].architecture, spec=spec)


def test_the_shipped_checkpoints_are_as_good_as_their_recipes_promise() -> None:
    """`compact` reached 95.5 % with six views, `tutorial` 50 to 58 % with one."""
    accuracy = {name: load(CHECKPOINTS / f"{name}.safetensors").record.metrics.accuracy for name in NAMES}
    assert accuracy["cifar10"]["six_views"] >= 0.954
    assert 0.50 <= accuracy["tutorial"]["single_view"] <= 0.58


def test_the_shipped_checkpoint_knows_how_sure_it_is() -> None:
    """On the test set its scores are right within 1 point, and it abstains on 5 ± 1 % of the pictures.

    That is what it says of itself; `test_the_figures_inside_are_found_again` measures it.
    """
    record = load(CHECKPOINTS / "cifar10.safetensors").record
    assert record.calibration.held_out is not None
    assert record.metrics.expected_calibration_error <= 0.01
    assert record.metrics.accepted == pytest.approx(0.95, abs=0.01)


@needs_cifar10
@pytest.mark.parametrize("name", NAMES)
def test_the_figures_inside_are_found_again(name: str, tmp_path: Path) -> None:
    """Every picture of the test set is asked once more: accuracy, calibration error and what is accepted.

    Another processor may round another way, and a picture on the border then falls to the other side: two of the
    accuracy's, ten of the threshold's, of which there are two, and as many between two bins of scores.
    """
    checkpoint = load(CHECKPOINTS / f"{name}.safetensors")
    record, written = checkpoint.record, checkpoint.record.metrics
    _, split = read_test(str(CIFAR10), record, cache=tmp_path, report=print)
    graph, classes = checkpoint.graph, len(record.labels)
    answers = torch.cat(
        [torch.from_numpy(answer(graph, chunk.numpy())) for chunk in torch.split(split.images, 500)]
    )
    single_view = answers[:, :classes]
    found = measure(
        ViewProbabilities(
            single_view,
            six_views=single_view,  # which would take six times as long, and is not compared
            distances=None if checkpoint.distance is None else answers[:, classes],
        ),
        split,
        labels=record.labels,
        name=written.split,
        calibration=record.calibration,
    )
    assert found.n * found.accuracy["single_view"] == pytest.approx(
        written.n * written.accuracy["single_view"], abs=2
    )
    assert found.expected_calibration_error == pytest.approx(written.expected_calibration_error, abs=0.001)
    accepted = 1.0 if written.accepted is None else written.accepted  # the tutorial's file never abstains
    assert found.accepted == pytest.approx(accepted, abs=0.001)


@needs_cifar10
def test_the_service_answers_what_the_evaluation_answers(tmp_path: Path) -> None:
    """Test pictures sent as PNG get, score for score, what the checkpoint gives for the same pixels."""
    from fastapi.testclient import TestClient
    from PIL import Image

    checkpoint = load(CHECKPOINTS / "cifar10.safetensors")
    _, split = read_test(str(CIFAR10), checkpoint.record, cache=tmp_path, report=print)
    with TestClient(create_app(Settings(engine="torch", device="cpu"))) as client:
        for image in split.images[:40].numpy():
            probabilities = answer(checkpoint.graph, image[None])[0, :10]
            expected = [item._asdict() for item in rank(probabilities, checkpoint.record.labels, top_k=10)]
            body = client.post("/predict?top_k=10", files={"file": encode(Image.fromarray(image))}).json()
            for got, wanted in zip(body["predictions"], expected, strict=True):
                assert got == pytest.approx(wanted, abs=1e-6)  # both ask for one picture at a time
