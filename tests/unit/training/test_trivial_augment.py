"""TrivialAugment: each change against Pillow's or against what it says, repeatable picture by picture."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from tests.drawing import draw_images
from training import trivial_augment as module
from training.trivial_augment import trivial_augment

Change = Callable[[Image.Image, float], Image.Image]


def _change(images: Tensor, index: Tensor, *, seed: int = 0, epoch: int = 0, share: float = 1.0) -> Tensor:
    return trivial_augment(images, seed=seed, epoch=epoch, index=index, share=share)


def _apply(operation: str, images: Tensor, strength: float) -> np.ndarray:
    """Do one change of one strength to all: uint8 (batch, height, width, 3)."""
    (change,) = (change for change in module._OPERATIONS if change.__name__ == f"_{operation}")
    pixels = change(images.permute(0, 3, 1, 2).float(), torch.full((len(images),), strength))
    return pixels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


PILLOW: dict[str, Change] = {
    "brightness": lambda image, by: ImageEnhance.Brightness(image).enhance(1 + 0.9 * by),
    "contrast": lambda image, by: ImageEnhance.Contrast(image).enhance(1 + 0.9 * by),
    "colour": lambda image, by: ImageEnhance.Color(image).enhance(1 + 0.9 * by),
    "sharpness": lambda image, by: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * by),
    "posterize": lambda image, by: ImageOps.posterize(image, 8 - round(4 * abs(by))),
    "solarize": lambda image, by: ImageOps.solarize(image, round(256 * (1 - abs(by)))),
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
}


@pytest.mark.parametrize("strength", [-1.0, -0.4, 0.0, 0.7, 1.0])
@pytest.mark.parametrize("operation", PILLOW)
def test_changes_of_colour_are_pillows(operation: str, strength: float) -> None:
    """To two levels of 255: Pillow rounds its grey, its smoothing and its tables to bytes on the way."""
    images = draw_images(12)
    expected = [np.asarray(PILLOW[operation](Image.fromarray(image.numpy()), strength)) for image in images]
    difference = np.abs(_apply(operation, images, strength).astype(int) - np.stack(expected))
    assert difference.max() <= 2


def test_the_order_of_the_changes_is_part_of_a_run() -> None:
    """A number chooses one of them by its place: in another order a seed would give other pictures."""
    assert [change.__name__.removeprefix("_") for change in module._OPERATIONS] == [
        *("identity", "autocontrast", "equalize", "rotate", "solarize", "colour", "posterize"),
        *("contrast", "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"),
    ]


@pytest.mark.parametrize(("operation", "axis"), [("translate_x", 2), ("translate_y", 1)])
@pytest.mark.parametrize("pixels", [-10, -3, 10])
def test_translations_move_by_whole_pixels_too(operation: str, axis: int, pixels: int) -> None:
    """By up to 10 of 32 pixels; what comes in from beyond the border is the mirror image."""
    images = draw_images(3)
    moved = _apply(operation, images, pixels / 10)
    inside = (slice(None),) * axis
    kept = slice(0, 32 - pixels) if pixels > 0 else slice(-pixels, 32)
    came = slice(pixels, 32) if pixels > 0 else slice(0, 32 + pixels)
    assert np.array_equal(moved[(*inside, kept)], images.numpy()[(*inside, came)])
    mirrored = np.flip(images.numpy(), axis)
    border = slice(32 - pixels, 32) if pixels > 0 else slice(0, -pixels)
    comes = slice(0, pixels) if pixels > 0 else slice(32 + pixels, 32)
    assert np.array_equal(moved[(*inside, border)], mirrored[(*inside, comes)])


@pytest.mark.parametrize(("height", "width"), [(33, 33), (33, 49)])
@pytest.mark.parametrize("operation", ["rotate", "shear_x", "shear_y"])
@pytest.mark.parametrize("strength", [-1.0, 0.5])
def test_turned_and_sheared_pictures_are_where_they_belong(
    operation: str, strength: float, height: int, width: int
) -> None:
    """A spot is found where the map puts it, in oblong pictures too: turned, and not drawn out."""
    spot = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    down, right = 5.0, 6.0  # from the middle
    spot[0, height // 2 + int(down) - 1 :, width // 2 + int(right) - 1 :][:3, :3] = 255
    weights = _apply(operation, spot, strength)[0, :, :, 0].astype(float)
    rows, columns = np.mgrid[:height, :width]
    found = [
        (weights * at).sum() / weights.sum() - middle
        for at, middle in ((rows, height // 2), (columns, width // 2))
    ]
    angle, shear = math.radians(30) * strength, 0.3 * strength
    expected = {
        "rotate": (
            down * math.cos(angle) - right * math.sin(angle),
            right * math.cos(angle) + down * math.sin(angle),
        ),
        "shear_x": (down, right - shear * down),
        "shear_y": (down - shear * right, right),
    }[operation]
    assert found == pytest.approx(expected, abs=0.1)


def test_every_change_is_made_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 14,000 pictures each of the fourteen changes gets its thousand, with strengths of both signs."""
    seen: dict[str, Tensor] = {}

    def spy(change: module.Operation) -> module.Operation:
        def note(pixels: Tensor, strength: Tensor) -> Tensor:
            seen[change.__name__] = strength
            return pixels

        return note

    monkeypatch.setattr(module, "_OPERATIONS", tuple(map(spy, module._OPERATIONS)))
    _change(torch.zeros(14_000, 2, 2, 3, dtype=torch.uint8), torch.arange(14_000))
    assert len(seen) == 14
    for strength in seen.values():
        assert 880 < len(strength) < 1_120
        assert abs(strength.mean()) < 0.08
        assert strength.abs().mean().item() == pytest.approx(0.5, abs=0.05)
        assert strength.abs().max() > 0.98


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_only_a_share_is_changed(share: float) -> None:
    """That share of the pictures differs, less the fourteenth that stays as it is; the input is left alone."""
    images = draw_images(1, 16, 16).expand(2_000, -1, -1, -1).contiguous()
    before = images.clone()
    changed = _change(images, torch.arange(2_000), share=share)
    assert torch.equal(images, before)
    assert changed.dtype == torch.uint8
    differ = (images != changed).flatten(1).any(1).float().mean().item()
    assert differ == pytest.approx(13 / 14 * share, abs=0.05)


def test_a_picture_is_changed_the_same_in_any_batch() -> None:
    """Its number decides, not its place: a run that goes on mid-epoch, or is shared, sees the same pixels."""
    images, index = draw_images(40), torch.arange(40)
    whole = _change(images, index)
    parts = [_change(images[some], some) for some in torch.split(index.flip(0), 7)]
    difference = (torch.cat(parts).flip(0).float() - whole).abs()
    assert difference.max() <= 1  # sums in another order may round another way


def test_seed_epoch_and_number_decide() -> None:
    """Each of the three changes the pictures; the same three give the same bytes."""
    images, index = draw_images(40), torch.arange(40)
    changed = _change(images, index)
    assert torch.equal(changed, _change(images, index))
    for other in (_change(images, index, seed=1), _change(images, index, epoch=1), _change(images, index + 40)):
        assert not torch.equal(changed, other)


@pytest.mark.parametrize(("height", "width"), [(33, 20), (9, 9)])
def test_other_sizes_keep_their_shape(height: int, width: int) -> None:
    """Pictures that are not square, and the smallest that are learnt, come back in their shape."""
    images = draw_images(60, height, width)
    assert _change(images, torch.arange(60)).shape == images.shape


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 100)])
@pytest.mark.parametrize("operation", ["autocontrast", "equalize", "rotate", "sharpness"])
def test_a_plain_picture_stays_plain(operation: str, colour: tuple[int, int, int]) -> None:
    """There is nothing to stretch, to turn or to sharpen, and nothing is divided by zero."""
    plain = torch.tensor(colour, dtype=torch.uint8).expand(2, 20, 20, 3)
    assert np.array_equal(_apply(operation, plain, 1.0), plain.numpy())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_makes_the_same_pictures() -> None:
    """To a rounded byte, but for bytes on the edge between two levels or beyond a threshold."""
    images, index = draw_images(400), torch.arange(400)
    here = _change(images, index).float()
    there = _change(images.cuda(), index.cuda()).cpu().float()
    assert ((here - there).abs() > 1).float().mean() < 0.001
