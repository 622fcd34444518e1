"""How alike two pictures are: what their thumbnails have in common, where one may be a crop of the other."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

THUMBNAIL_SIDE = 32
"""Pixels a side of the squeezed whole picture that is compared."""
LEAST_LIKENESS = 0.96
"""Correlation of two thumbnails over all pixels and colours, after the best supposed crop.
Source: docs/experiments.md, 2026-11-24, as is the next."""
_UNCROPPED_LIKENESS = 0.7
"""Below this correlation without a crop no crop is tried."""
_WINDOW_SIDE = 16
_CROPS = (0.95, 0.9)
"""Share of each side that a crop is supposed to have left. Source: docs/experiments.md, 2026-11-24."""
_PAIRS_AT_ONCE = 4_000_000

Thumbnails = npt.NDArray[np.uint8]
"""uint8 (n, 32, 32, 3)."""
Pairs = npt.NDArray[np.int64]
"""int64 (m, 2), places of pictures."""
_Views = npt.NDArray[np.float32]
"""float32 (n, 16 · 3 · 16), mean 0 and length 1: a thumbnail, or what a crop leaves of it."""


def alike_pairs(thumbnails: Thumbnails, pairs: Pairs, *, at_once: int = _PAIRS_AT_ONCE) -> Pairs:
    """Keep the pairs whose thumbnails agree, one of them perhaps a crop of the other.

    A picture is cropped once for all that it is compared with: of digits and other plain drawings there are
    hundreds. Each picture that is compared takes 3 kB meanwhile, as much as its thumbnail.

    Args:
        thumbnails: of n pictures.
        pairs: who is compared.
        at_once: pairs that are compared together; each takes up to 80 bytes.
    """
    compared, pairs_of_compared = np.unique(pairs, return_inverse=True)
    thumbnails = thumbnails[compared]
    views = np.empty((len(compared), _WINDOW_SIDE * 3 * _WINDOW_SIDE), np.float32)
    (everything,) = _windows(1.0)
    for chunk in chunks(len(compared)):
        views[chunk] = _view(thumbnails[chunk], everything, everything)
    is_alike = np.empty(len(pairs), np.bool_)
    for block in chunks(len(pairs), at_once):
        likeness = _likeness(thumbnails, views, pairs_of_compared.reshape(-1, 2)[block])
        is_alike[block] = likeness >= LEAST_LIKENESS
    return pairs[is_alike]


def chunks(n: int, size: int = 2_000) -> Iterator[slice]:
    """Divide n rows, so that what is made of some of them stays small."""
    for start in range(0, n, size):
        yield slice(start, start + size)


def _likeness(thumbnails: Thumbnails, views: _Views, pairs: Pairs) -> npt.NDArray[np.float32]:
    """Correlate the pictures of each pair: as they are, and cropped where that leaves it open."""
    likeness = np.empty(len(pairs), np.float32)
    for chunk in chunks(len(pairs)):
        likeness[chunk] = np.einsum("ij,ij->i", views[pairs[chunk, 0]], views[pairs[chunk, 1]])
    near = np.flatnonzero((likeness >= _UNCROPPED_LIKENESS) & (likeness < LEAST_LIKENESS))
    likeness[near] = _cropped_likeness(thumbnails, views, pairs[near])
    return likeness


def _cropped_likeness(thumbnails: Thumbnails, views: _Views, pairs: Pairs) -> npt.NDArray[np.float32]:
    """Correlate the best of the supposed crops of either picture of a pair with the whole of the other."""
    cropped, whole = pairs.T.ravel(), pairs[:, ::-1].T.ravel()
    order = np.argsort(cropped, kind="stable")
    places, starts, counts = np.unique(cropped[order], return_index=True, return_counts=True)
    best = np.empty(len(cropped), np.float32)
    for chunk in chunks(len(places), 200):
        crops = _crops(thumbnails[places[chunk]])
        for seen, start, count in zip(crops, starts[chunk], counts[chunk], strict=True):
            compared = order[start : start + count]
            best[compared] = (views[whole[compared]] @ seen.T).max(1)
    return np.maximum(*np.split(best, 2))


def _crops(thumbnails: Thumbnails) -> _Views:
    """Return all supposed crops of n pictures, float32 (n, crops, 16 · 3 · 16)."""
    windows = [_windows(share) for share in _CROPS]
    seen = [_view(thumbnails, rows, columns) for some in windows for rows in some for columns in some]
    return np.stack(seen, axis=1)


def _windows(share: float) -> list[npt.NDArray[np.float32]]:
    """Return matrices (16, 32) that shrink the first, the middle and the last part of a row of 32 pixels."""
    length = share * THUMBNAIL_SIDE
    pixel = np.arange(THUMBNAIL_SIDE)
    found = []
    for start in sorted({0.0, (THUMBNAIL_SIDE - length) / 2, THUMBNAIL_SIDE - length}):
        edges = start + length * np.arange(_WINDOW_SIDE + 1) / _WINDOW_SIDE
        covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
        weights = np.maximum(covered, 0)
        found.append((weights / weights.sum(1, keepdims=True)).astype(np.float32))
    return found


def _view(thumbnails: Thumbnails, rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32]) -> _Views:
    """Shrink n pictures to 16 × 16 through two matrices, and take brightness and contrast out."""
    n, side = len(thumbnails), THUMBNAIL_SIDE
    pictures = thumbnails.astype(np.float32)
    down = np.matmul(rows, pictures.reshape(n, side, side * 3))  # (n, 16, 32 · 3)
    across = np.matmul(down.reshape(n, _WINDOW_SIDE, side, 3).transpose(0, 1, 3, 2), columns.T)  # (n, 16, 3, 16)
    views = across.reshape(n, _WINDOW_SIDE * 3 * _WINDOW_SIDE)  # n may be 0
    centred = views - views.mean(1, keepdims=True)
    standard: _Views = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return standard
