"""Which pictures are copies of one another: equal ones, and ones that were saved, resized, cropped or lit anew.

Equal pictures have equal digests. For the rest `candidates.py` chooses whom to compare each with, and a comparison
of the thumbnails decides.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data.candidates import candidate_pairs
from training.data.likeness import Pairs, Thumbnails, alike_pairs

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
    differing = thumbnails[first]
    near = first[alike_pairs(differing, candidate_pairs(differing))]
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
