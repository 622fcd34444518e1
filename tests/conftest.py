"""What all tests share: markers by folder, and a tiny real checkpoint."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from models import checkpoint
from models.calibration import Calibration
from models.metrics import Metrics
from models.networks import Architecture, build
from models.networks.network import Network
from models.preprocessing import InputSpec
from models.record import Record, TrainingRun
from tests.forgery import decisive

LABELS = ("red", "green", "blue")

# Its parent is what Hypothesis has chosen: in CI examples that are not random. How long an example takes says how
# busy the machine is.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the folder that it lies in."""
    for item in items:
        kind = Path(item.path).relative_to(Path(__file__).parent).parts[0]
        item.add_marker(kind)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own GLIMPSE_* variables must not reach the tests."""
    import os

    for name in list(os.environ):
        if name.upper().startswith("GLIMPSE_"):
            monkeypatch.delenv(name)


@contextlib.contextmanager
def on_one_thread() -> Iterator[None]:
    """Compute on one thread: the networks of tests are too small for more, and teams of threads cost time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def record() -> Record:
    """A record of a tutorial network with three labels."""
    return tiny_record()


def tiny_record() -> Record:
    """The same, for whoever needs it for longer than a test."""
    return Record(
        name="tiny",
        architecture=Architecture("tutorial"),
        labels=LABELS,
        input=InputSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        calibration=Calibration(),
        metrics=Metrics(
            split="made up test",
            n=3,
            accuracy={"single_view": 1.0, "six_views": 1.0},
            per_class=dict.fromkeys(LABELS, 1.0),
            confusion_matrix=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
            expected_calibration_error=0.25,
        ),
        training=TrainingRun(
            recipe="tutorial",
            configuration={"lr": 0.001},
            seed=0,
            data_fingerprint="0" * 64,
            commit="unknown",
            torch=torch.__version__,
            hardware="none",
            seconds=0.0,
        ),
        created_at="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture
def network(record: Record) -> Network:
    """The network of that record, with weights from seed 0."""
    torch.manual_seed(0)
    return build(record.architecture, classes=len(record.labels), spec=record.input)


@pytest.fixture
def checkpoint_path(tmp_path: Path, network: torch.nn.Module, record: Record) -> Path:
    """A real checkpoint file of 270 kB."""
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path, network, record)
    return path


@pytest.fixture
def trained_checkpoint(tmp_path: Path, network: torch.nn.Module, record: Record) -> Path:
    """A checkpoint of a network that is as decisive as a trained one, in a folder of its own."""
    path = tmp_path / "folder" / "tiny.safetensors"
    checkpoint.save(path, decisive(network), record)
    return path
