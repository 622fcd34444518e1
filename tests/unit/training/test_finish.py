"""What is said, measured and written down after a training."""

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from models.checkpoint import load
from models.metrics import Metrics
from models.networks.network import Network
from models.record import Record
from training.configuration import Request
from training.data.dataset import Dataset, Split
from training.finish import finish, gap_to_test
from training.loop import Trained
from training.plan import Plan
from training.recipes import TutorialRecipe
from training.runs.run import CHECKPOINT, METRICS, Run

CPU = torch.device("cpu")


@pytest.fixture
def metrics(record: Record) -> Metrics:
    """Figures of some checkpoint."""
    return record.metrics


def _with(metrics: Metrics, right: float, n: int) -> Metrics:
    return replace(metrics, accuracy={"single_view": right, "six_views": right}, n=n)


@pytest.mark.parametrize(
    ("held_out", "test"),
    [
        ((0.8695, 568), (0.6635, 1911)),
        ((1.0, 2000), (0.94, 2000)),
    ],
)
def test_a_test_part_of_other_pictures_is_warned_of(
    metrics: Metrics, held_out: tuple[float, int], test: tuple[float, int]
) -> None:
    """Of emoji by other vendors 21 points fewer are right than of those that were held out."""
    sentence = gap_to_test(_with(metrics, *held_out), _with(metrics, *test))
    assert sentence
    assert f"{100 * test[0]:.2f} % of the test part" in sentence
    assert f"{100 * (held_out[0] - test[0]):.1f} points less" in sentence


@pytest.mark.parametrize(
    ("held_out", "test"),
    [
        ((0.9563, 3_000), (0.9501, 10_000)),  # CIFAR-10
        ((0.95, 100_000), (0.91, 100_000)),  # sure, and small
        ((0.96, 24), (0.80, 60)),  # large, and not sure
        ((0.6, 1_000), (0.9, 1_000)),
        ((1.0, 20), (1.0, 20)),
    ],
)
def test_chance_and_small_differences_are_not(
    metrics: Metrics, held_out: tuple[float, int], test: tuple[float, int]
) -> None:
    """Nor is a test part that is easier."""
    assert gap_to_test(_with(metrics, *held_out), _with(metrics, *test)) is None


def _plan(network: Network, record: Record, *, seed: int = 0) -> Plan:
    """Pictures of which the network names all right, but half of the 20 that were held out."""
    pictures = torch.randint(0, 256, (60, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte()
    with torch.no_grad():
        answers = network.eval()(pictures).argmax(1)
    train, test, held_out = (Split(pictures[i : i + 20], answers[i : i + 20]) for i in (0, 20, 40))
    held_out.targets[:10] = (held_out.targets[:10] + 1) % 3
    recipe = TutorialRecipe()
    configuration = {
        "seed": seed,
        "data_fingerprint": "0" * 64,
        "held_out": 20,
        "dtype": "float32",
        "recipe": asdict(recipe),
    }
    dataset = Dataset("made up", record.labels, train, test, held_out)
    return Plan(dataset, recipe, record.input, configuration, start=None, wanted=None, commit="unknown")


def _finish(plan: Plan, network: Network, folder: Path) -> str:
    """Finish a run, without its page, and give what was told."""
    console = Console(file=io.StringIO(), width=300)
    run = Run(folder, configuration=plan.configuration, environment={}, warn=console.print)
    trained = Trained(network.eval(), plan.recipe, seconds=1.0)
    request = Request(recipe="tutorial", data="made-up.npz", seed=plan.configuration["seed"])
    finish(request, plan, trained, run, [folder / CHECKPOINT], device=CPU, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def _no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.finish._write_page", lambda *_, **__: None)


@pytest.mark.usefixtures("_no_page")
def test_held_out_figures_are_those_of_the_held_out_part(network: Network, record: Record, tmp_path: Path) -> None:
    """Labels that are wrong there alone halve what is told and noted of it, and leave the test part at 100 %."""
    told = _finish(_plan(network, record), network, tmp_path)
    assert "held-out part, 20 pictures: 50.00 % (single view)" in told
    (noted,) = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert (noted["kind"], noted["n"], noted["single_view"]) == ("held_out", 20, 0.5)
    assert load(tmp_path / CHECKPOINT).record.metrics.accuracy["single_view"] == 1


@pytest.mark.usefixtures("_no_page")
def test_the_mean_of_the_classes_is_told_of_the_held_out_part(
    network: Network, record: Record, tmp_path: Path
) -> None:
    """To choose by, with classes of unequal size: 15 of one are right, and 5 of another wrong."""
    plan = _plan(network, record)
    assert plan.dataset.held_out is not None
    right = plan.dataset.held_out.targets[-1].item()
    plan.dataset.held_out.targets[:] = right  # the network names one class alone
    plan.dataset.held_out.targets[:5] = (right + 1) % 3
    told = _finish(plan, network, tmp_path)
    assert "20 pictures: 75.00 % (single view), 75.00 % (six views); mean of the classes" in told
    assert "(balanced accuracy) 50.00 % (single view)" in told


@pytest.mark.usefixtures("_no_page")
def test_a_checkpoint_remembers_the_seed_of_its_training(network: Network, record: Record, tmp_path: Path) -> None:
    """Who calibrates it later holds the same pictures out by it."""
    _finish(_plan(network, record, seed=7), network, tmp_path)
    assert load(tmp_path / CHECKPOINT).record.training.seed == 7


@pytest.mark.usefixtures("_no_page")
@pytest.mark.parametrize("is_wrong", [False, True])
def test_a_test_part_of_which_far_fewer_are_right_is_told(
    is_wrong: bool, network: Network, record: Record, tmp_path: Path
) -> None:
    """Half of the held-out part are right: a warning where none of the test part are, no word where all are."""
    plan = _plan(network, record)
    if is_wrong:
        plan.dataset.test.targets[:] = (plan.dataset.test.targets + 1) % 3
    told = _finish(plan, network, tmp_path)
    warning = "warning: 0.00 % of the test part are right, 50.0 points less than of the held-out part."
    assert (warning in told) == is_wrong
    assert ("warning" in told) == is_wrong
