"""Fitting what a checkpoint says about its own certainty."""

import dataclasses
import io

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import training.measuring.calibration
from models.calibration import Calibration
from models.graph import Graph
from models.networks import Architecture, build
from models.networks.network import Network
from models.preprocessing import InputSpec
from tests.networks import Headless
from training.data.dataset import Dataset, Split
from training.data.held_out import FEWEST_FOR_RULE, FEWEST_FOR_TEMPERATURE
from training.evaluate import calibrate_and_measure, measure, run_views
from training.measuring.calibration import ACCEPTED_SHARE, calibrate, choose_thresholds, share_in, with_share
from training.measuring.distance import fit_distance
from training.measuring.reading import fit_few, fit_reading
from training.measuring.rejection import measure_rejection
from training.measuring.reliability import accepted
from training.measuring.views import view_logits

CONSOLE = Console(file=io.StringIO())
LABELS = ("dark", "middle", "light")


def _split(n: int, *, seed: int) -> Split:
    """Grainy pictures of three brightnesses, 16 × 16, with every tenth target wrong."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % 3
    levels = 50 + 75 * targets.double()[:, None, None, None]
    images = (levels + 20 * torch.randn(n, 16, 16, 3, generator=random, dtype=torch.float64)).clamp(0, 255)
    wrong = torch.rand(n, generator=random) < 0.1
    return Split(images.to(torch.uint8), torch.where(wrong, (targets + 1) % 3, targets))


@pytest.fixture(scope="module")
def trained() -> Network:
    """A tutorial network that has learnt the brightnesses."""
    torch.manual_seed(0)
    network = build(Architecture("tutorial"), classes=3, spec=InputSpec(height=16, width=16))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    data = _split(300, seed=0)
    for _ in range(25):
        loss = nn.functional.cross_entropy(network(data.images), data.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def test_a_network_is_calibrated_and_told_its_temperature(trained: Network) -> None:
    """The likelihood of both views is no worse, 95 % are accepted, and the temperature is the record's."""
    held_out = _split(400, seed=1)
    fitted = calibrate(trained, _split(300, seed=0), held_out, console=CONSOLE, mirrors=True)
    calibration = fitted.calibration
    assert trained.temperature == calibration.temperature != 1
    assert calibration.held_out is not None
    assert calibration.held_out.n == 400
    for both in calibration.held_out.reliability.values():
        assert both.after.negative_log_likelihood <= both.before.negative_log_likelihood
    assert ACCEPTED_SHARE <= calibration.held_out.accepted < ACCEPTED_SHARE + 0.01
    assert "Calibrated on 400 held-out pictures: temperature" in fitted.sentence
    figures = calibration.held_out
    assert figures.accuracy_of_accepted is not None
    right = (
        f"{100 * figures.accepted:.1f} % are accepted, {100 * figures.accuracy_of_accepted:.1f} % of them right."
    )
    assert right in fitted.sentence


def test_the_share_that_was_asked_for_is_remembered() -> None:
    """The default is not written, and takes another one's place; what is no share counts as nothing."""
    asked = with_share({"lr": 0.1}, 0.8)
    assert asked == {"lr": 0.1, "accept": 0.8}
    assert share_in(asked) == 0.8
    assert with_share(asked, ACCEPTED_SHARE) == {"lr": 0.1}
    for other in ({}, {"accept": None}, {"accept": True}, {"accept": 7.0}, {"accept": float("nan")}):
        assert share_in(other) == ACCEPTED_SHARE


class _OnePixel(Headless):
    """Tells the class by the colour of one pixel, as sure as who has learnt smoothed labels."""

    def __init__(self) -> None:
        super().__init__(classes=3)
        self.sharpness = nn.Parameter(torch.tensor(0.05), requires_grad=False)

    def features(self, images: Tensor) -> Tensor:
        return (0.8 * (images[:, 8, 8].float() * self.sharpness).softmax(1) + 0.2 / 3).log()


def test_each_view_is_read_as_fits_its_own_logits() -> None:
    """Six views see more pixels than one: temperature and floor are fitted on theirs, and come out otherwise."""
    targets = torch.arange(400) % 3
    noise = torch.randn(400, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    images = (100 + 40 * nn.functional.one_hot(targets)[:, None, None] + 30 * noise).clamp(0, 255).byte()
    network, held_out = _OnePixel(), Split(images, targets)
    calibration = calibrate(network, held_out, held_out, console=CONSOLE, mirrors=True).calibration
    network.temperature = 1.0
    outputs = view_logits(network, images, temperature=1.0, mirrors=True, place="measuring", console=CONSOLE)
    single, six = (fit_reading(logits.double(), targets) for logits in (outputs.single_view, outputs.six_views))
    assert (calibration.temperature, calibration.floor) == (single.temperature, single.floor)
    assert (calibration.six_views_temperature, calibration.six_views_floor) == (six.temperature, six.floor)
    assert abs(single.temperature - six.temperature) > 0.01
    assert abs(single.floor - six.floor) > 0.001


def test_the_distance_is_that_from_what_was_learnt(trained: Network) -> None:
    """Means and spread are of the pictures learnt; those that were held out give its unit alone."""
    train, held_out = _split(300, seed=0), _split(FEWEST_FOR_RULE, seed=1)
    with torch.inference_mode():
        learnt, others = (trained.features(split.images) for split in (train, held_out))
    expected = fit_distance(learnt, train.targets, others, classes=3)
    found = calibrate(trained, train, held_out, console=CONSOLE, mirrors=True).distance
    assert found is not None
    torch.testing.assert_close(found(others), expected(others), rtol=1e-3, atol=1e-3)


def test_six_views_are_calibrated_with_the_mirror_images_that_are_measured(trained: Network) -> None:
    """A network that was shown none has a temperature without them, and one that was another."""
    train, held_out = _split(300, seed=0), _split(60, seed=1)
    dataset = Dataset("made up", LABELS, train, held_out, held_out)
    temperatures = []
    for mirrors in (False, True):
        fitted, _, _ = calibrate_and_measure(
            trained, dataset, name="x", console=CONSOLE, mirrors=mirrors, accept=ACCEPTED_SHARE
        )
        trained.temperature = 1.0
        outputs = view_logits(
            trained, held_out.images, temperature=1.0, mirrors=mirrors, place="measuring", console=CONSOLE
        )
        temperatures.append(fitted.calibration.six_views_temperature)
        assert temperatures[-1] == fit_few(outputs.six_views.double(), held_out.targets).temperature
    assert abs(temperatures[0] - temperatures[1]) > 1e-4


def test_calibrating_twice_changes_nothing(trained: Network) -> None:
    """The temperature that the network has already does not count."""
    held_out, train = _split(200, seed=1), _split(300, seed=0)
    first = calibrate(trained, train, held_out, console=CONSOLE, mirrors=True)
    assert calibrate(trained, train, held_out, console=CONSOLE, mirrors=True).calibration == first.calibration


def test_what_was_measured_is_what_evaluation_measures(trained: Network) -> None:
    """The held-out figures come back from `run_views` and `measure`, both views and the accepted share."""
    held_out = _split(200, seed=1)
    fitted = calibrate(trained, _split(300, seed=0), held_out, console=CONSOLE, mirrors=True)
    views = run_views(
        trained,
        held_out.images,
        console=CONSOLE,
        calibration=fitted.calibration,
        distance=fitted.distance,
        mirrors=True,
    )
    metrics = measure(views, held_out, labels=LABELS, name="x", calibration=fitted.calibration)
    figures = fitted.calibration.held_out
    assert figures is not None
    assert metrics.accepted == pytest.approx(figures.accepted, abs=1 / 200)  # one may lie on the threshold
    assert metrics.accuracy_of_accepted == pytest.approx(figures.accuracy_of_accepted, abs=0.01)
    assert metrics.expected_calibration_error == pytest.approx(
        figures.reliability["single_view"].after.expected_calibration_error, abs=1e-4
    )
    likelihood = nn.functional.nll_loss(views.six_views.log(), held_out.targets).item()
    assert likelihood == pytest.approx(figures.reliability["six_views"].after.negative_log_likelihood, abs=1e-4)


@pytest.mark.parametrize("count", [None, 1, FEWEST_FOR_TEMPERATURE - 1])
def test_too_few_pictures_fit_nothing(trained: Network, count: int | None) -> None:
    """Temperature 1, no rule, and a sentence that says so."""
    held_out = None if count is None else _split(count, seed=1)
    fitted = calibrate(trained, _split(300, seed=0), held_out, console=CONSOLE, mirrors=True)
    assert (fitted.calibration, fitted.distance) == (Calibration(), None)
    assert trained.temperature == 1
    assert fitted.sentence.startswith(f"Not calibrated: {count or 0} pictures were held out")


@pytest.mark.parametrize("count", [FEWEST_FOR_TEMPERATURE, FEWEST_FOR_RULE - 1])
def test_a_few_pictures_are_enough_for_the_temperatures_alone(trained: Network, count: int) -> None:
    """No floor and no rule; the record and the sentence say how many pictures it rests on."""
    fitted = calibrate(trained, _split(300, seed=0), _split(count, seed=1), console=CONSOLE, mirrors=True)
    calibration = fitted.calibration
    assert trained.temperature == calibration.temperature != 1
    assert calibration.six_views_temperature != 1
    assert (calibration.floor, calibration.six_views_floor) == (0, 0)
    assert (calibration.abstain_threshold, calibration.distance_threshold, fitted.distance) == (None, None, None)
    assert calibration.held_out is not None
    assert (calibration.held_out.n, calibration.held_out.accepted) == (count, 1)
    for both in calibration.held_out.reliability.values():
        assert both.after.negative_log_likelihood <= both.before.negative_log_likelihood
    assert fitted.sentence.startswith(f"Calibrated on {count} held-out pictures, which is few: temperature")
    assert fitted.sentence.endswith("the model never abstains.")


def test_the_fewest_pictures_for_a_rule_are_enough_for_it(trained: Network) -> None:
    """A hundred that were held out give both thresholds."""
    fitted = calibrate(
        trained, _split(300, seed=0), _split(FEWEST_FOR_RULE, seed=1), console=CONSOLE, mirrors=True
    )
    assert fitted.distance is not None
    assert fitted.calibration.abstain_threshold is not None
    assert fitted.calibration.distance_threshold is not None


def test_outliers_are_turned_away(trained: Network) -> None:
    """Chessboards of black and white look like none of three brightnesses; most are refused by the distance."""
    fitted = calibrate(trained, _split(300, seed=0), _split(200, seed=1), console=CONSOLE, mirrors=True)
    board = 255 * ((torch.arange(16)[:, None] // 2 + torch.arange(16) // 2) % 2)
    outside = board[None, :, :, None].expand(20, 16, 16, 3).to(torch.uint8)
    graph = Graph(trained, fitted.distance, floor=fitted.calibration.floor)
    found = measure_rejection(graph, _split(200, seed=2).images, {"boards": outside}, fitted.calibration)["boards"]
    assert found.accepted == 0
    assert found.distance is not None
    assert found.both is not None
    assert found.distance.auroc > 0.95
    assert found.distance.false_acceptance < 0.1


def test_without_a_distance_only_the_score_is_measured(trained: Network) -> None:
    """A checkpoint from before the rule: nothing is turned away, and two cells stay empty."""
    images = _split(50, seed=2).images
    found = measure_rejection(Graph(trained, None), images, {"same": images}, Calibration())["same"]
    assert (found.distance, found.both, found.accepted) == (None, None, 1)
    assert found.score.auroc == pytest.approx(0.5)


def test_each_class_has_a_mean_of_its_own_where_not_all_pictures_are_taken(
    trained: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three classes take turns, and a third of the pictures are looked at: every third would be of one class."""
    monkeypatch.setattr(training.measuring.calibration, "MOST_PICTURES", 100)
    fitted = calibrate(trained, _split(300, seed=0), _split(200, seed=1), console=CONSOLE, mirrors=True)
    assert fitted.distance is not None
    assert torch.pdist(fitted.distance.means).min() > 0.1


@pytest.mark.parametrize("share", [0.8, ACCEPTED_SHARE, 0.999])
def test_thresholds_turn_away_equally_many_by_each_half(share: float) -> None:
    """Scores and distances that have nothing to do with each other: the share remains that is asked for."""
    scores = torch.linspace(0.2, 1, 1_000)
    distances = torch.linspace(0.5, 2, 1_000)[torch.arange(1_000) * 387 % 1_000]
    least, farthest = choose_thresholds(scores, distances, accept=share)
    assert (scores < least).sum() == (distances > farthest).sum()
    kept = ((scores >= least) & (distances <= farthest)).double().mean().item()
    assert share <= kept <= share + 0.002


def test_thresholds_of_scores_that_are_all_alike_accept_everything() -> None:
    """No picture can be turned away without all the others."""
    least, farthest = choose_thresholds(torch.full((200,), 0.5), torch.ones(200), accept=ACCEPTED_SHARE)
    assert farthest == 1.0
    assert 0.499998 < least < 0.5


def test_what_differs_by_rounding_alone_is_not_turned_away() -> None:
    """Drawings of one colour: on their class's mean, with scores that differ in float32's last digit."""
    scores = torch.full((200,), 0.9)
    least, farthest = choose_thresholds(scores, torch.linspace(0, 1e-9, 200), accept=ACCEPTED_SHARE)
    rule = Calibration(abstain_threshold=least, distance_threshold=farthest)
    assert not rule.abstains(0.9 - 1e-7, 0.5)


def test_the_share_that_is_accepted_follows_the_rule_of_the_service() -> None:
    """Each picture by `Calibration.abstains`, with and without distances."""
    probabilities = torch.tensor([[0.9, 0.1], [0.45, 0.55], [0.2, 0.8]])
    rule = Calibration(abstain_threshold=0.6, distance_threshold=1.5)
    assert accepted(probabilities, torch.tensor([1.0, 1.0, 2.0]), rule).tolist() == [True, False, False]
    without = dataclasses.replace(rule, distance_threshold=None)
    assert accepted(probabilities, None, without).tolist() == [True, False, True]
