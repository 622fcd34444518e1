"""The losses of JPEG without its file, held against Pillow's own."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models import golden
from tests.drawing import gradient
from training.jpeg_compression import compress


def _pixels(height: int, width: int) -> Tensor:
    """Two pictures of waves and a smooth one: (3, 3, height, width)."""
    images = np.concatenate([golden.draw(height, width, 2), np.asarray(gradient(width, height))[None]])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def _pillows(pixels: Tensor, quality: int) -> Tensor:
    done = []
    for image in pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy():
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        done.append(np.asarray(Image.open(buffer)))
    return torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 27)])
def test_what_is_lost_is_what_pillow_loses(quality: int, height: int, width: int) -> None:
    """The result is several times nearer to Pillow's file of that quality than the original is."""
    pixels = _pixels(height, width)
    expected = _pillows(pixels, quality)
    found = compress(pixels, torch.full((3,), float(quality))).clamp(0, 255)
    error = (found - expected).abs().mean().item()
    loss = (pixels - expected).abs().mean().item()
    assert error < 2.5
    assert error < loss / 2


def test_each_picture_has_its_own_quality() -> None:
    """Qualities may be mixed in a batch; each picture is treated as it would be alone."""
    pixels = _pixels(32, 32)
    together = compress(pixels, torch.tensor([20.0, 50.0, 80.0]))
    alone = compress(pixels[1:2], torch.tensor([50.0]))
    assert torch.allclose(together[1:2], alone, atol=1e-3)


def test_one_colour_is_kept() -> None:
    """Only the mean of a block is there to be rounded: at quality 90 it stays within 2 levels."""
    plain = torch.tensor([200.0, 90.0, 30.0]).view(1, 3, 1, 1).expand(1, 3, 16, 24)
    assert (compress(plain, torch.tensor([90.0])) - plain).abs().max() < 2
