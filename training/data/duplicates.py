"""Which pictures are copies of one another: equal ones, and ones that were saved, resized, cropped or lit anew.

Equal pictures have equal digests. For the rest a few rough numbers of each picture's thumbnail choose whom to
compare it with, 824 at most, and a comparison of the thumbnails decides: the work grows as
n · log n, never as n².
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data.likeness import THUMBNAIL_SIDE, Pairs, Thumbnails, alike_pairs, chunks

_FREQUENCIES = 6
"""Cosine waves down and across, up to this many half periods a side: a crop moves the finer ones too far."""
_TABLES, _PROBED_BITS, _NEIGHBOURS = 8, 3, 6
"""Of the search: cells are 2³ a table, the own one among them; compared are 12 of that, 13 of another at most."""
_MOST_SIGNS, _ROUGH_LIKENESS = 13, 0.85
"""Filters in front of the comparison: differing signs of 35 wave numbers, and their cosine.
Source: docs/experiments.md, 2026-11-24."""
_FLAT = 4.0
"""Grey levels of deviation, below which a thumbnail shows nothing that could be recognised."""
_FEWEST_OF_SCENE = 10
"""Pictures of a class that look alike, before they are taken for a scene. Source: choice; nobody saves one picture
ten times, and then little else of its class."""
_FEWEST_OF_EACH = 3
"""Pictures that look alike in each of two classes, before they are taken for a scene. Source: choice; a label may
be wrong once or twice, and who sorts three and three of what looks alike into two classes looks at a detail."""

Places = npt.NDArray[np.int64]
"""int64 (n,)."""


@dataclass(frozen=True)
class Copies:
    """Groups of pictures that belong together.

    Attributes:
        exact: places of equal pictures, two or more a group.
        near: places of pictures that look alike, two or more a group, at least two of them not equal.
        group: int64 (n,), a number that all copies of one picture share, of either kind.
        scenes: places of pictures that look alike and are too many to be copies: what a camera sees that stands
            still. Each counts as a picture of its own.
    """

    exact: tuple[tuple[int, ...], ...]
    near: tuple[tuple[int, ...], ...]
    group: npt.NDArray[np.int64]
    scenes: tuple[tuple[int, ...], ...] = ()


def find_copies(
    thumbnails: Thumbnails, digests: Sequence[Sequence[Hashable]], targets: npt.NDArray[np.int64]
) -> Copies:
    """Find all groups of copies.

    Args:
        thumbnails: of n pictures.
        digests: some per picture, of its bytes and of its pixels; one in common makes two pictures equal.
        targets: int64 (n,), their classes: who looks like most of a class is no copy of it.
    """
    places = np.arange(len(thumbnails))
    equal = _join(places, _equal_pairs(digests))
    first = np.flatnonzero(equal == places)
    near = first[_near_pairs(thumbnails[first])]
    group = _join(equal, near)
    alike = [members for members in _groups(group) if len({int(equal[place]) for place in members}) > 1]
    scenes = _scenes(alike, targets, first)
    for members in scenes:
        group[list(members)] = equal[list(members)]
    near_groups = tuple(members for members in alike if members not in scenes)
    return Copies(exact=tuple(_groups(equal)), near=near_groups, group=group, scenes=tuple(scenes))


def take_for_scenes(copies: Copies) -> Copies:
    """Take all pictures that look alike for pictures of scenes; equal ones stay copies."""
    group = np.arange(len(copies.group))
    for members in copies.exact:
        group[list(members)] = members[0]
    return Copies(copies.exact, (), group, (*copies.scenes, *copies.near))


def _scenes(alike: Sequence[tuple[int, ...]], targets: Places, first: Places) -> list[tuple[int, ...]]:
    """Choose the groups that are too much of a class, or of several, to be copies of one picture.

    These are ten or more pictures of a class and more than half of it, or three or more in each of two classes. A
    few cameras divide a class among them, and of what is rare each sees one or two: so groups that lie in several
    classes, with ten or more pictures of this one, count together.

    Args:
        alike: members of each group.
        targets: int64 (n,), classes.
        first: places of the pictures that differ.
    """
    distinct = np.bincount(targets[first])
    large = [members for members in alike if len(members) >= min(_FEWEST_OF_SCENE, 2 * _FEWEST_OF_EACH)]
    if not large:
        return []
    different = (targets[np.intersect1d(members, first)] for members in large)
    found = np.stack([np.bincount(some, minlength=len(distinct)) for some in different])  # (groups, classes)
    is_many = found >= _FEWEST_OF_SCENE
    is_shared = is_many & ((found > 0).sum(1) > 1)[:, None]
    together = np.where(is_shared, (found * is_shared).sum(0), found)
    is_most = (is_many & (2 * together > distinct)).any(1)
    is_sorted = (found >= _FEWEST_OF_EACH).sum(1) > 1
    return [members for members, is_scene in zip(large, is_most | is_sorted, strict=True) if is_scene]


def _equal_pairs(digests: Sequence[Sequence[Hashable]]) -> Pairs:
    seen: dict[Hashable, int] = {}
    pairs = [(seen.setdefault(digest, place), place) for place, some in enumerate(digests) for digest in some]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)


def _join(group: npt.NDArray[np.int64], pairs: Pairs) -> npt.NDArray[np.int64]:
    """Give both pictures of each pair, and all that are joined to them, the smallest of their numbers."""
    parent = group.copy()

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = int(parent[place])
        return place

    for one, other in pairs.tolist():
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return np.array([root(place) for place in range(len(parent))], np.int64)


def _groups(group: npt.NDArray[np.int64]) -> Iterator[tuple[int, ...]]:
    """Yield the members of each group of two or more, in order."""
    order = np.argsort(group, kind="stable")
    borders = np.flatnonzero(np.diff(group[order])) + 1
    for members in np.split(order, borders):
        if len(members) > 1:
            yield tuple(members.tolist())


def _near_pairs(thumbnails: Thumbnails) -> Pairs:
    waves, is_flat = _describe(thumbnails)
    shown = np.flatnonzero(~is_flat)
    return alike_pairs(thumbnails, shown[_candidates(waves[shown])])


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


def _candidates(waves: npt.NDArray[np.float32]) -> Pairs:
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
