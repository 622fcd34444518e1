"""As many pictures at once as fit the memory, and never another number for the same size."""

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from models.calibration import Calibration
from models.graph import Graph
from tests.networks import Headless
from training import quantization
from training.chunks import chunk_size, chunks
from training.data.dataset import Split
from training.devices import Computing
from training.measuring import calibration, corruptions
from training.measuring.corruptions import corrupt
from training.measuring.rejection import measure_rejection
from training.measuring.robustness import measure_robustness
from training.measuring.views import single_view, view_logits
from training.teacher import answers_of

CONSOLE = Console(file=io.StringIO())


def _pictures(n: int, side: int) -> Tensor:
    return torch.zeros(n, side, side, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(32, 32, 500), (24, 24, 500), (64, 64, 125), (32, 64, 250), (224, 224, 10), (1_000, 1_000, 1)],
)
def test_large_pictures_are_fewer_at_once(height: int, width: int, size: int) -> None:
    """At most 500, at least one, and no more pixels than 500 pictures of 32 × 32 have."""
    images = torch.zeros(1, 1, 1, 3, dtype=torch.uint8).expand(1_001, height, width, 3)
    assert chunk_size(images) == size
    assert [len(chunk) for chunk in chunks(images)][:-1] == [size] * (len(chunks(images)) - 1)
    assert sum(len(chunk) for chunk in chunks(images)) == 1_001


class _Counting(Headless):
    """Two classes by brightness, and how many pictures it was shown at once."""

    def __init__(self) -> None:
        super().__init__(classes=2)
        self.weight = nn.Parameter(torch.tensor([-1.0, 1.0]))
        self.most = 0

    def features(self, images: Tensor) -> Tensor:
        self.most = max(self.most, len(images))
        return images.float().mean((1, 2, 3))[:, None] * self.weight


def test_whatever_measures_shows_a_network_as_many_at_once() -> None:
    """Of 128 × 128 pixels 31: views, features, answers, and spoilt copies."""
    images = _pictures(70, 128)
    network = _Counting()
    view_logits(network, images, temperature=1.0, mirrors=True, place="measuring", console=CONSOLE)
    calibration._features(network, images, torch.arange(70))
    single_view(network, images)
    measure_rejection(Graph(network, None), images, {"same": images}, Calibration())
    assert network.most == 31


def test_spoilt_copies_are_shown_and_made_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 256 × 256 pixels 7 are shown and 3 spoilt at once, and each copy is the one that it would be alone."""
    network = _Counting()
    images = torch.randint(0, 256, (9, 256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("training.measuring.robustness.KINDS", ("darker",))
    monkeypatch.setattr("training.measuring.robustness.SEVERITIES", (1,))
    split = Split(images, torch.zeros(9, dtype=torch.int64))
    measure_robustness(network, split, pictures=9, seed=0, place="spoilt", console=CONSOLE)
    assert network.most == 7
    spoilt: list[int] = []

    def spoil(some: Tensor, *_: object) -> Tensor:
        spoilt.append(len(some))
        return some

    monkeypatch.setitem(corruptions.KINDS, "darker", replace(corruptions.KINDS["darker"], spoil=spoil))
    places = torch.arange(9)
    corrupt(images, kind="darker", severity=1, seed=0, places=places)
    assert spoilt == [3, 3, 3]
    whole = corrupt(images[:4], kind="gaussian_noise", severity=1, seed=0, places=places[:4])
    one = corrupt(images[3:4], kind="gaussian_noise", severity=1, seed=0, places=places[3:4])
    assert torch.equal(whole[3:], one)


def test_ranges_are_measured_so_too() -> None:
    """Of 64 × 64 pixels 25 at once."""
    network = _Counting()
    quantization.measure_ranges(network, [], _pictures(60, 64), console=CONSOLE)
    assert network.most == 25


def test_so_is_a_teacher_asked() -> None:
    """Of 128 × 128 pixels about 16 at once."""
    network, images = _Counting(), _pictures(20, 128)
    answers_of([network], Computing(torch.device("cpu"), torch.float32))(images, torch.arange(20))
    assert network.most == 16
