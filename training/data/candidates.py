"""Which pairs of pictures are worth a comparison: those that may be copies, found without looking at all pairs.

A few rough numbers of each picture's thumbnail choose whom to compare it with, 824 at most: the work grows as
n · log n, never as n².
"""

import numpy as np
import numpy.typing as npt

from training.data.likeness import THUMBNAIL_SIDE, Pairs, Thumbnails, chunks

_FREQUENCIES = 6
"""Cosine waves down and across, up to this many half periods a side: a crop moves the finer ones too far."""
_TABLES, _PROBED_BITS, _NEIGHBOURS = 8, 3, 6
"""Of the search: cells are 2³ a table, the own one among them; compared are 12 of that, 13 of another at most."""
_MOST_SIGNS, _ROUGH_LIKENESS = 13, 0.85
"""Filters in front of the comparison: differing signs of 35 wave numbers, and their cosine.
Source: docs/experiments.md, 2026-11-24."""
_FLAT = 4.0
"""Grey levels of deviation, below which a thumbnail shows nothing that could be recognised."""


def candidate_pairs(thumbnails: Thumbnails) -> Pairs:
    """Choose the pairs of pictures to compare; a flat one, which shows nothing, is in none.

    Args:
        thumbnails: of n pictures.
    """
    waves, is_flat = _describe(thumbnails)
    shown = np.flatnonzero(~is_flat)
    return shown[_neighbours(waves[shown])]


def _describe(thumbnails: Thumbnails) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the wave numbers, float32 (n, 35) of length 1, and which pictures are flat."""
    waves = np.empty((len(thumbnails), _FREQUENCIES**2 - 1), np.float32)
    is_flat = np.empty(len(thumbnails), np.bool_)
    cosines, rising = _cosines()
    for chunk in chunks(len(thumbnails)):
        grey = thumbnails[chunk].mean(3, dtype=np.float32)  # (chunk, 32, 32)
        numbers = (cosines @ grey @ cosines.T * rising).reshape(len(grey), -1)[:, 1:]
        waves[chunk] = numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1e-6)
        is_flat[chunk] = grey.std((1, 2)) < _FLAT
    return waves, is_flat


def _cosines() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the discrete cosine transform, (6, 32), and weights, (6, 6), against the 1/f of natural pictures."""
    frequency = np.arange(_FREQUENCIES)
    position = (np.arange(THUMBNAIL_SIDE) + 0.5) / THUMBNAIL_SIDE
    cosines = np.cos(np.pi * frequency[:, None] * position).astype(np.float32)
    return cosines, np.hypot(frequency[:, None], frequency).astype(np.float32)


def _neighbours(waves: npt.NDArray[np.float32]) -> Pairs:
    """Choose who is compared: neighbours in tables of random hyperplanes, and in the cells beside their own.

    Source: locality-sensitive hashing by signs of projections (Charikar 2002), with probes of the cells across
    the nearest planes (Lv et al. 2007).
    """
    n = len(waves)
    if n < 2:
        return np.empty((0, 2), np.int64)
    bits = max(1, round(np.log2(n)) - 2)  # about four pictures a cell
    signs = ((waves > 0) * (np.uint64(1) << np.arange(waves.shape[1], dtype=np.uint64))).sum(1, dtype=np.uint64)
    random = np.random.default_rng(0)
    found = []
    for _ in range(_TABLES):
        planes = random.standard_normal((waves.shape[1], bits + 1), np.float32)
        one, other = np.divmod(_table_pairs(waves @ planes), n)
        like = np.bitwise_count(signs[one] ^ signs[other]) <= _MOST_SIGNS
        one, other = one[like], other[like]
        cosine = np.einsum("ij,ij->i", waves[one], waves[other])
        found.append((one * n + other)[cosine >= _ROUGH_LIKENESS])
    return np.stack(np.divmod(np.unique(np.concatenate(found)), n), axis=1)


def _table_pairs(projected: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Pair each picture with its neighbours in its own cell and in the likeliest others, as low · n + high."""
    n, bits = len(projected), projected.shape[1] - 1
    margins = projected[:, :bits] - np.median(projected[:, :bits], axis=0)
    powers = 1 << np.arange(bits)
    cell = ((margins > 0) * powers).sum(1)
    rank = np.argsort(np.argsort(projected[:, bits]))  # the last projection orders a cell
    order = np.argsort(cell * n + rank)
    sorted_keys = (cell * n + rank)[order]
    closest = powers[np.argsort(np.abs(margins), axis=1)[:, :_PROBED_BITS]]  # (n, probed), bits to turn
    found = []
    for turned in range(1 << closest.shape[1]):
        chosen = (turned >> np.arange(closest.shape[1])) & 1
        probe = cell ^ (closest * chosen).sum(1)
        start = np.searchsorted(sorted_keys, probe * n + rank)
        for step in range(-_NEIGHBOURS, _NEIGHBOURS + 1):
            at = np.clip(start + step, 0, n - 1)
            other = order[at]
            fits = np.flatnonzero((cell[other] == probe) & (other != np.arange(n)))
            found.append(np.minimum(fits, other[fits]) * n + np.maximum(fits, other[fits]))
    return np.concatenate(found)
