"""The treatment of training pictures: repeatable picture by picture, and for the share asked for."""

import pytest
import torch
from torch import Tensor

from tests.drawing import draw_images
from training.photographs import photographs


def _treat(images: Tensor, index: Tensor, *, seed: int = 0, epoch: int = 0, share: float = 1.0) -> Tensor:
    return photographs(images, seed=seed, epoch=epoch, index=index, share=share)


def _changed(before: Tensor, after: Tensor) -> Tensor:
    return (before != after).flatten(1).any(1)


def test_a_picture_is_treated_the_same_in_any_batch() -> None:
    """Its number decides, not its place: a run that goes on mid-epoch, or is shared, sees the same pixels."""
    images, index = draw_images(40), torch.arange(40)
    whole = _treat(images, index)
    turned = index.flip(0)
    assert torch.equal(_treat(images[turned], turned), whole[turned])
    parts = [_treat(images[some], some) for some in torch.split(index, 7)]
    difference = (torch.cat(parts).float() - whole).abs()
    assert difference.max() <= 1  # sums in another order may round another way


def test_seed_epoch_and_number_decide() -> None:
    """Each of the three changes the pictures; the same three give the same bytes."""
    images, index = draw_images(40), torch.arange(40)
    treated = _treat(images, index)
    assert torch.equal(treated, _treat(images, index))
    assert not torch.equal(treated, _treat(images, index, seed=1))
    assert not torch.equal(treated, _treat(images, index, epoch=1))
    assert not torch.equal(treated, _treat(images, index + 40))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_only_a_share_is_treated(share: float) -> None:
    """That share of the pictures, less the 7 % that no treatment met, differs; the input stays as it was."""
    images = draw_images(1).expand(1_000, -1, -1, -1).contiguous()
    before = images.clone()
    treated = _treat(images, torch.arange(1_000), share=share)
    assert torch.equal(images, before)
    assert _changed(images, treated).float().mean().item() == pytest.approx(0.9265 * share, abs=0.03)


def test_other_sizes_keep_their_shape() -> None:
    """Pictures that are neither square nor a multiple of 8 come back in their shape, as bytes."""
    images = draw_images(20, 33, 20)
    treated = _treat(images, torch.arange(20))
    assert treated.shape == images.shape
    assert treated.dtype == torch.uint8


def test_pictures_stay_near_what_they_were() -> None:
    """A plain grey picture keeps its mean within what brightness may do to it; no byte wraps around."""
    grey = torch.full((500, 16, 16, 3), 100, dtype=torch.uint8)
    means = _treat(grey, torch.arange(500)).float().mean((1, 2, 3))
    assert means.min() > 100 * 2**-1.5 - 3
    assert means.max() < 100 * 2**1.2 + 3


def test_grain_has_no_lean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grey pictures keep their brightness under noise: in both halves of its numbers the mean is zero."""
    grain_alone = dict.fromkeys(("frame", "blur", "light", "noise", "jpeg"), 0.0) | {"noise": 1.0}
    monkeypatch.setattr("training.photographs._CHANCE", grain_alone)
    grey = torch.full((1_000, 16, 16, 3), 128, dtype=torch.uint8)
    noise = (_treat(grey, torch.arange(1_000)).float() - 128).permute(0, 3, 1, 2).flatten(1)
    for half in noise.chunk(2, dim=1):
        assert abs(half.mean() / half.std()).item() < 0.02
