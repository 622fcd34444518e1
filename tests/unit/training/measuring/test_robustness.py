"""Counting right answers on spoilt copies."""

import io

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from tests.networks import Headless
from training.data.dataset import Split
from training.measuring.corruptions import KINDS, SEVERITIES
from training.measuring.robustness import Robustness, affordable_pictures, measure_robustness, robustness_lines


class _IsLight(Headless):
    """Class 1 where the mean is above 100."""

    def __init__(self) -> None:
        super().__init__(classes=2)
        self.threshold = nn.Parameter(torch.tensor(100.0))

    def features(self, images: Tensor) -> Tensor:
        mean = images.float().mean((1, 2, 3)) - self.threshold
        return torch.stack([-mean, mean], dim=1)


def _measure(pictures: int, seed: int = 0, *, out: io.StringIO | None = None) -> Robustness:
    """Four dark pictures and four light ones."""
    images = torch.tensor([40, 160] * 4, dtype=torch.uint8)[:, None, None, None].expand(8, 16, 16, 3).contiguous()
    split = Split(images, torch.tensor([0, 1] * 4))
    console = Console(file=io.StringIO() if out is None else out, width=200)
    return measure_robustness(
        _IsLight(), split, pictures=pictures, seed=seed, place="for the report: spoilt copies", console=console
    )


def test_accuracy_is_counted_kind_by_kind() -> None:
    """Dark copies of light pictures are taken for dark ones; blur changes nothing."""
    found = _measure(8)
    assert found.n == 8
    assert found.clean == 1.0
    assert tuple(found.accuracy) == tuple(KINDS)
    assert found.accuracy["darker"] == (1.0, 1.0, 0.5, 0.5, 0.5)
    assert found.accuracy["brighter"] == (1.0, 1.0, 1.0, 1.0, 1.0)
    assert found.accuracy["gaussian_blur"] == (1.0,) * 5
    every = [value for row in found.accuracy.values() for value in row]
    assert found.mean == pytest.approx(sum(every) / (len(KINDS) * len(SEVERITIES)))


def test_what_is_measured_is_told() -> None:
    """What the copies are for stands before the kind."""
    out = io.StringIO()
    _measure(8, out=out)
    assert out.getvalue().startswith("for the report: spoilt copies, gaussian noise 1 · step 1/55 · ")


def test_clean_pictures_are_counted_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is lost on the spoilt ones: of black copies the dark half alone is right."""
    monkeypatch.setattr("training.measuring.robustness.corrupt", lambda images, **_: torch.zeros_like(images))
    found = _measure(8)
    assert (found.clean, found.mean) == (1.0, 0.5)


def test_some_pictures_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more pictures are spoilt than asked for; the seed chooses them."""
    assert _measure(3).n == 3
    assert _measure(99).n == 8
    chosen: list[tuple[int, ...]] = []

    def leave(images: Tensor, *, places: Tensor, **_: object) -> Tensor:
        chosen.append(tuple(places.tolist()))
        return images

    monkeypatch.setattr("training.measuring.robustness.corrupt", leave)
    for seed in (0, 0, 1):
        _measure(3, seed)
    every, same, other = chosen[:: len(KINDS) * len(SEVERITIES)]
    assert every == same != other
    assert len(set(chosen)) == 2


@pytest.mark.parametrize(
    ("height", "width", "count"),
    [(32, 32, 1_000), (16, 16, 1_000), (64, 64, 250), (48, 96, 222), (101, 101, 100), (224, 224, 100)],
)
def test_of_larger_pictures_fewer_can_be_spoilt(height: int, width: int, count: int) -> None:
    """The pixels stay those of 1,000 small ones, down to a hundred pictures."""
    assert affordable_pictures(torch.empty(1, height, width, 3, dtype=torch.uint8)) == count


def test_the_table_has_a_row_for_each_kind() -> None:
    """Words first, then five accuracies and their mean, in percent."""
    lines = robustness_lines(_measure(8))
    assert "8 pictures (seed 0" in lines[0]
    assert [line.split()[0] for line in lines[2:-1]] == list(KINDS)
    darker = next(line for line in lines if line.startswith("darker"))
    assert darker.split()[1:] == ["100.0", "100.0", "50.0", "50.0", "50.0", "70.0"]
    assert "clean: 100.00 %" in lines[-1]
