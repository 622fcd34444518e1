"""Numbers of each picture, and its pixels."""

import torch

from training.pixels import look_through, per_picture


def _pictures() -> torch.Tensor:
    """Two pictures of noise: (2, 3, 8, 12)."""
    return torch.randint(0, 256, (2, 3, 8, 12), generator=torch.Generator().manual_seed(0)).float()


def test_each_number_stands_for_a_picture() -> None:
    """It multiplies all pixels of its own and none of another."""
    pixels = _pictures()
    doubled = pixels * per_picture(torch.tensor([1.0, 2.0]))
    assert torch.equal(doubled, torch.stack([pixels[0], 2 * pixels[1]]))


def test_a_picture_is_seen_as_it_is_where_nothing_is_asked() -> None:
    """Up to rounding, for places are numbers with a point."""
    assert torch.allclose(look_through(_pictures()), _pictures(), atol=0.01)


def test_each_picture_is_seen_from_its_own_place() -> None:
    """Halves of the side: of 12 pixels 0.5 are 3 to the right, of 8 a quarter is one down."""
    pixels = _pictures()
    seen = look_through(pixels, right=torch.tensor([0.5, 0.0]), down=torch.tensor([0.0, 0.25]))
    assert torch.allclose(seen[0, :, :, :-3], pixels[0, :, :, 3:], atol=0.01)
    assert torch.allclose(seen[1, :, :-1], pixels[1, :, 1:], atol=0.01)
