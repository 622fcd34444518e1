"""Pictures that show none of the classes."""

import pytest
import torch

from training.measuring.outliers import KINDS, draw_outliers


def _images(n: int = 10, height: int = 16, width: int = 20) -> torch.Tensor:
    return torch.randint(0, 256, (n, height, width, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_every_kind_has_the_size_of_the_pictures() -> None:
    """Twelve kinds, uint8, as many as were asked for."""
    drawn = draw_outliers(_images(), count=3, seed=0)
    assert tuple(drawn) == KINDS
    assert len(KINDS) == 12
    for pictures in drawn.values():
        assert pictures.shape == (3, 16, 20, 3)
        assert pictures.dtype == torch.uint8


def test_the_seed_decides() -> None:
    """The same seed gives the same pictures, another one others, of each kind."""
    first, again, other = (draw_outliers(_images(), count=2, seed=seed) for seed in (5, 5, 6))
    for kind in KINDS:
        assert torch.equal(first[kind], again[kind])
        assert not torch.equal(first[kind], other[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_no_picture_is_flat_nor_like_another(kind: str) -> None:
    """Each shows something, and two of a kind differ."""
    pictures = draw_outliers(_images(), count=4, seed=1)[kind].double()
    assert pictures.flatten(1).std(dim=1).min() > 1
    assert (pictures[0] - pictures[1]).abs().mean() > 1


def test_shuffling_moves_whole_patches() -> None:
    """All pixels of the picture are still there, elsewhere."""
    images = _images(1, 16, 16)
    shuffled = draw_outliers(images, count=1, seed=0)["shuffled patches"]
    assert not torch.equal(shuffled, images)
    assert torch.equal(shuffled.flatten().sort().values, images.flatten().sort().values)


def test_a_negative_of_a_negative_is_the_picture() -> None:
    """Inverting takes each value from 255."""
    images = _images(1)
    assert torch.equal(255 - draw_outliers(images, count=1, seed=0)["inverted"], images)


def test_scrambled_phases_keep_the_brightness() -> None:
    """The mean of each channel stays, where nothing had to be cut off at black and white."""
    images = (_images(1, 32, 32) // 4) + 96
    scrambled = draw_outliers(images, count=1, seed=0)["scrambled phases"]
    torch.testing.assert_close(
        scrambled.double().mean((0, 1, 2)), images.double().mean((0, 1, 2)), atol=1.0, rtol=0
    )
