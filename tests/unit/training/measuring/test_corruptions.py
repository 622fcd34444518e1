"""Spoilt copies: repeatable picture by picture, and what each kind says it is."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.drawing import draw_images
from training.measuring.corruptions import KINDS, SEVERITIES, corrupt

RANDOM = ("gaussian_noise", "shot_noise", "motion_blur", "shift")


def _spoil(images: Tensor, kind: str, severity: int = 5, seed: int = 0) -> Tensor:
    return corrupt(images, kind=kind, severity=severity, seed=seed, places=torch.arange(len(images)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_does_not_depend_on_its_batch(kind: str) -> None:
    """Picture 2 alone is spoilt exactly as among others, and again the same the second time."""
    images = draw_images(4)
    together = _spoil(images, kind)
    alone = corrupt(images[2:3], kind=kind, severity=5, seed=0, places=torch.tensor([2]))
    assert torch.equal(together[2:3], alone)
    assert torch.equal(together, _spoil(images, kind))


@pytest.mark.parametrize("kind", RANDOM)
def test_seed_and_place_change_what_is_random(kind: str) -> None:
    """The same picture at two places, or under two seeds, is spoilt in two ways."""
    twice = draw_images(1).expand(2, -1, -1, -1)
    spoilt = _spoil(twice, kind)
    assert not torch.equal(spoilt[0], spoilt[1])
    assert not torch.equal(spoilt, _spoil(twice, kind, seed=1))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "shift"])
def test_each_severity_changes_more_than_the_one_before(kind: str) -> None:
    """The mean distance from the clean pictures grows with the severity, and is above zero at the first."""
    images = draw_images(6)
    distances = [(_spoil(images, kind, severity).float() - images).abs().mean().item() for severity in SEVERITIES]
    assert distances[0] > 0.1
    assert distances == sorted(distances)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [(33, 20), (9, 9)])
def test_every_size_keeps_its_shape(kind: str, height: int, width: int) -> None:
    """Pictures that are not 32 × 32 come back in their own shape, as bytes."""
    images = draw_images(2, height, width)
    for severity in (1, 5):
        spoilt = _spoil(images, kind, severity)
        assert spoilt.shape == images.shape
        assert spoilt.dtype == torch.uint8


def test_noise_has_the_deviation_that_the_table_says() -> None:
    """On a grey picture, Gaussian noise of 0.10 deviates by 25.5 levels; 40 photons at white by 28.6."""
    grey = torch.full((8, 32, 32, 3), 128, dtype=torch.uint8)
    assert _spoil(grey, "gaussian_noise").float().std().item() == pytest.approx(25.5, rel=0.03)
    assert _spoil(grey, "shot_noise").float().std().item() == pytest.approx((128 * 255 / 40) ** 0.5, rel=0.03)


def test_jpeg_is_pillows_own() -> None:
    """The copy is what Pillow gives after saving at the quality of the table."""
    images = draw_images(2)
    buffer = io.BytesIO()
    Image.fromarray(images[1].numpy()).save(buffer, "JPEG", quality=int(KINDS["jpeg"].levels[2]))
    expected = np.asarray(Image.open(buffer))
    assert np.array_equal(_spoil(images, "jpeg", 3)[1].numpy(), expected)


def test_light_and_contrast_follow_the_table() -> None:
    """Darker multiplies, brighter stops at white, contrast keeps each channel's mean."""
    images = draw_images(2)
    assert torch.equal(_spoil(images, "darker", 3), (images * 0.5).round().to(torch.uint8))
    assert torch.equal(_spoil(images, "brighter"), (images * 2.5).round().clamp(0, 255).to(torch.uint8))
    flat = _spoil(images, "contrast").float()
    assert torch.allclose(flat.mean((1, 2)), images.float().mean((1, 2)), atol=0.5)
    assert torch.allclose(flat.std((1, 2)), 0.2 * images.float().std((1, 2)), atol=0.5)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_shift_moves_whole_pixels(severity: int) -> None:
    """What stays inside is found again unchanged, as many pixels away as the table says."""
    image = draw_images(1)
    moved = _spoil(image, "shift", severity)[0, 12:20, 12:20]
    places = [(down, right) for down in range(25) for right in range(25)]
    found = [p for p in places if torch.equal(image[0, p[0] : p[0] + 8, p[1] : p[1] + 8], moved)]
    assert len(found) == 1
    assert np.hypot(found[0][0] - 12, found[0][1] - 12) == pytest.approx(2 * severity, abs=0.8)


def test_motion_blurs_along_one_direction() -> None:
    """A single bright point becomes a streak as long as the table says, and no light is lost."""
    dark = torch.zeros((1, 33, 33, 3), dtype=torch.uint8)
    dark[0, 16, 16] = 255
    streak = _spoil(dark, "motion_blur")[0, :, :, 0].float()
    assert streak.sum().item() == pytest.approx(255, rel=0.1)
    places = torch.nonzero(streak > 5).float()
    assert torch.cdist(places, places).max().item() + 1 == pytest.approx(7, abs=1.5)


def test_blur_keeps_a_plain_picture() -> None:
    """Blur and zoom leave one colour as it is: nothing leaks in from outside the border."""
    plain = torch.full((1, 32, 32, 3), 77, dtype=torch.uint8)
    for kind in ("gaussian_blur", "motion_blur", "shift", "zoom_in", "zoom_out"):
        assert torch.equal(_spoil(plain, kind), plain)


def test_zoom_out_brings_the_border_in() -> None:
    """At half its side, the whole picture stands in the middle."""
    image = torch.zeros((1, 32, 32, 3), dtype=torch.uint8)
    image[0, :16] = 200
    small = _spoil(image, "zoom_out")[0, :, :, 0]
    assert small[9:15].float().mean() > 190
    assert small[17:23].float().mean() < 10


def test_a_point_is_blurred_alike_in_all_directions() -> None:
    """Rows and columns are smoothed by the same kernel."""
    dark = torch.zeros((1, 33, 33, 3), dtype=torch.uint8)
    dark[0, 16, 16] = 255
    spot = _spoil(dark, "gaussian_blur")[0, :, :, 0].float()
    assert (spot - spot.T).abs().max() <= 1
    assert spot[16, 17] > 10
    assert spot[17, 16] > 10


@pytest.mark.parametrize(("height", "width", "moved"), [(32, 32, 10), (64, 96, 20), (96, 64, 20)])
def test_lengths_grow_with_the_shorter_side(height: int, width: int, moved: int) -> None:
    """A shift of ten pixels of 32 is one of twenty where the shorter side has 64."""
    dark = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    dark[0, height // 2, width // 2] = 255
    ((row, column),) = torch.nonzero(_spoil(dark, "shift")[0, :, :, 0]).tolist()
    assert np.hypot(row - height // 2, column - width // 2) == pytest.approx(moved, abs=0.8)
