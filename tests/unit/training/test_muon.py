"""Muon, against its definition."""

import torch

from tests.operations import Operations
from training.muon import Muon, orthogonalize


def _matrix(rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


def test_orthogonalize_brings_singular_values_near_one() -> None:
    """A random matrix, wide or tall, comes back with singular values between 0.6 and 1.25."""
    for shape in ((64, 576), (576, 64)):
        values = torch.linalg.svdvals(orthogonalize(_matrix(*shape), dtype=torch.float32))
        assert values.min() > 0.6
        assert values.max() < 1.25


def test_orthogonalize_keeps_the_singular_vectors() -> None:
    """The result is close to U·Vᵀ of the matrix, whatever its scale."""
    matrix = _matrix(32, 288)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    polar = left @ right
    for scale in (1e-3, 1.0, 1e3):
        result = orthogonalize(matrix * scale, dtype=torch.float32)
        similarity = torch.nn.functional.cosine_similarity(result.flatten(), polar.flatten(), dim=0)
        assert similarity > 0.98


def test_orthogonalize_in_bfloat16_is_nearly_the_same() -> None:
    """Computing in bfloat16 changes the direction by less than 5 %."""
    matrix = _matrix(64, 576)
    exact, rough = (orthogonalize(matrix, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert rough.dtype == torch.float32
    assert (exact - rough).norm() / exact.norm() < 0.05


def test_a_step_scales_the_filter_and_moves_against_the_gradient() -> None:
    """After one step the filter is its rescaled self minus lr times the orthogonal direction."""
    filters = torch.nn.Parameter(_matrix(8, 36).view(8, 4, 3, 3).clone())
    before = filters.detach().clone()
    gradient = _matrix(36, 8).reshape(8, 4, 3, 3)
    filters.grad = gradient.clone()
    Muon([filters], lr=0.1, momentum=0.6, dtype=torch.float32).step()
    direction = orthogonalize((gradient + 0.6 * gradient).flatten(1), dtype=torch.float32).view_as(before)
    expected = before * (8**0.5 / before.norm()) - 0.1 * direction
    assert torch.allclose(filters.detach(), expected, atol=1e-6)


def test_momentum_remembers_earlier_gradients() -> None:
    """The second step goes along gradient + 0.6 · (0.6 · first + second)."""
    filters = torch.nn.Parameter(_matrix(8, 36).view(8, 4, 3, 3).clone())
    optimizer = Muon([filters], lr=0.1, momentum=0.6, dtype=torch.float32)
    first, second = (torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    filters.grad = first.clone()
    optimizer.step()
    between = filters.detach().clone()
    filters.grad = second.clone()
    optimizer.step()
    ahead = second + 0.6 * (0.6 * first + second)
    direction = orthogonalize(ahead.flatten(1), dtype=torch.float32).view_as(between)
    expected = between * (8**0.5 / between.norm()) - 0.1 * direction
    assert torch.allclose(filters.detach(), expected, atol=1e-5)


def test_momentum_is_made_once() -> None:
    """Later steps ask for no new memory to keep it in."""
    filters = torch.nn.Parameter(_matrix(8, 36))
    optimizer = Muon([filters], lr=0.1, momentum=0.6, dtype=torch.float32)
    made = []
    for _ in range(3):
        filters.grad = _matrix(8, 36)
        with Operations() as operations:
            optimizer.step()
        made.append(operations.names.count("aten::zeros_like"))
    assert made == [1, 0, 0]


def test_a_parameter_without_gradient_stays() -> None:
    """Frozen filters are not touched, not even rescaled."""
    filters = torch.nn.Parameter(_matrix(8, 36).view(8, 4, 3, 3).clone())
    before = filters.detach().clone()
    Muon([filters], lr=0.1, momentum=0.6, dtype=torch.float32).step()
    assert torch.equal(filters.detach(), before)
