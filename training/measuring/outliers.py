"""Pictures that show none of the classes.

Two sorts. Drawn ones have nothing to do with any data set: noise, waves, blobs, tiles, shapes. Made ones
are pictures of the classes that were spoilt until they show none of them: shuffled, inverted, blended, or with
only their spectrum left. Nothing is fitted on them: they measure.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from models.preprocessing import Images

_Random = np.random.Generator
_Floats = npt.NDArray[np.float64]
_PATCHES = 4
"""Along each side of a shuffled picture: patches of 8 pixels still have the texture of the class."""


def draw_outliers(images: Tensor, *, count: int, seed: int) -> dict[str, Tensor]:
    """Make pictures of every kind.

    Args:
        images: uint8 (n, height, width, 3) of the classes; the size is theirs, and the made kinds begin with them.
        count: of each kind.
        seed: the same seed and pictures give the same outliers.

    Returns:
        Kind → uint8 (count, height, width, 3).
    """
    height, width = images.shape[1:3]
    made: dict[str, Tensor] = {}
    for place, (kind, draw) in enumerate(_DRAWN.items()):
        random = np.random.default_rng((seed, place))
        pictures = np.stack([_to_bytes(draw(random, height, width)) for _ in range(count)])
        made[kind] = torch.from_numpy(pictures)
    for place, (kind, spoil) in enumerate(_SPOILT.items()):
        random = np.random.default_rng((seed, 1_000 + place))
        chosen = images[torch.from_numpy(random.choice(len(images), (count, 2)))].numpy()
        pictures = np.stack([_to_bytes(spoil(random, first / 255, second / 255)) for first, second in chosen])
        made[kind] = torch.from_numpy(pictures)
    return made


def _uniform_noise(random: _Random, height: int, width: int) -> _Floats:
    return random.random((height, width, 3))


def _normal_noise(random: _Random, height: int, width: int) -> _Floats:
    return random.normal(0.5, 0.25, (height, width, 3))


def _blobs(random: _Random, height: int, width: int) -> _Floats:
    """Noise of few pixels, enlarged: clouds of colour."""
    side = int(random.integers(3, 9))
    small = _to_bytes(random.random((side, side, 3)))
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)) / 255


def _waves(random: _Random, height: int, width: int) -> _Floats:
    """A grating of one direction and frequency between two colours."""
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    angle, cycles, phase = random.uniform(0, np.pi), random.uniform(1, 12), random.uniform(0, 2 * np.pi)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    share: _Floats = 0.5 + 0.5 * np.sin(2 * np.pi * cycles * along + phase)[..., None]
    return share * random.random(3) + (1 - share) * random.random(3)


def _tiles(random: _Random, height: int, width: int) -> _Floats:
    """A chessboard of two colours with some grain."""
    side = int(random.integers(2, 9))
    rows, columns = np.mgrid[0:height, 0:width] // side
    is_first = (rows + columns)[..., None] % 2
    board: _Floats = is_first * random.random(3) + (1 - is_first) * random.random(3)
    return board + random.normal(0, 0.03, (height, width, 3))


def _gradient(random: _Random, height: int, width: int) -> _Floats:
    """One colour that turns into another, and nothing else."""
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    angle = random.uniform(0, 2 * np.pi)
    share: _Floats = np.clip(0.5 + (rows - 0.5) * np.sin(angle) + (columns - 0.5) * np.cos(angle), 0, 1)[..., None]
    return share * random.random(3) + (1 - share) * random.random(3)


def _shapes(random: _Random, height: int, width: int) -> _Floats:
    """Ellipses, rectangles and triangles in flat colours, drawn at four times the size."""
    large = Image.new("RGB", (4 * width, 4 * height), _colour(random))
    pen = ImageDraw.Draw(large)
    for _ in range(int(random.integers(2, 6))):
        xs, ys = np.sort(random.integers(0, 4 * width, 2)), np.sort(random.integers(0, 4 * height, 2))
        box = (int(xs[0]), int(ys[0]), int(xs[1]), int(ys[1]))
        form = random.integers(3)
        if form == 0:
            pen.ellipse(box, fill=_colour(random))
        elif form == 1:
            pen.rectangle(box, fill=_colour(random))
        else:
            pen.polygon([box[0], box[3], box[2], box[3], (box[0] + box[2]) // 2, box[1]], fill=_colour(random))
    return np.asarray(large.resize((width, height), Image.Resampling.LANCZOS)) / 255


def _strokes(random: _Random, height: int, width: int) -> _Floats:
    """Dark lines on light paper, as in handwriting or a plan."""
    paper = Image.new("RGB", (4 * width, 4 * height), tuple(random.integers(200, 256, 3).tolist()))
    pen = ImageDraw.Draw(paper)
    for _ in range(int(random.integers(3, 9))):
        points = [(float(x) * 4 * width, float(y) * 4 * height) for x, y in random.random((4, 2))]
        pen.line(points, fill=tuple(random.integers(0, 100, 3).tolist()), width=int(random.integers(4, 12)))
    return np.asarray(paper.resize((width, height), Image.Resampling.LANCZOS)) / 255


def _colour(random: _Random) -> tuple[int, int, int]:
    red, green, blue = random.integers(0, 256, 3).tolist()
    return red, green, blue


def _shuffled(random: _Random, first: _Floats, _second: _Floats) -> _Floats:
    """The same patches in another order."""
    height, width = (side // _PATCHES * _PATCHES for side in first.shape[:2])
    patches = first[:height, :width].reshape(_PATCHES, height // _PATCHES, _PATCHES, width // _PATCHES, 3)
    grid = patches.swapaxes(1, 2).reshape(_PATCHES**2, height // _PATCHES, width // _PATCHES, 3)
    grid = grid[random.permutation(len(grid))].reshape(_PATCHES, _PATCHES, *grid.shape[1:]).swapaxes(1, 2)
    whole = first.copy()
    whole[:height, :width] = grid.reshape(height, width, 3)
    return whole


def _inverted(_random: _Random, first: _Floats, _second: _Floats) -> _Floats:
    """The negative: still its shape, in colours that the class never has."""
    return 1 - first


def _blended(_random: _Random, first: _Floats, second: _Floats) -> _Floats:
    """Two pictures laid over each other."""
    return (first + second) / 2


def _phases(random: _Random, first: _Floats, _second: _Floats) -> _Floats:
    """A texture with the picture's own spectrum: every frequency keeps its strength and loses its place."""
    noise = np.angle(np.fft.fft2(random.normal(size=first.shape[:2])))[..., None]
    spectrum = np.fft.fft2(first, axes=(0, 1))
    scrambled: _Floats = np.fft.ifft2(spectrum * np.exp(1j * noise), axes=(0, 1)).real
    brightness: _Floats = first.mean((0, 1)) - scrambled.mean((0, 1))
    return scrambled + brightness


def _to_bytes(picture: _Floats) -> Images:
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


_DRAWN: Mapping[str, Callable[[_Random, int, int], _Floats]] = {
    "uniform noise": _uniform_noise,
    "normal noise": _normal_noise,
    "blobs": _blobs,
    "waves": _waves,
    "tiles": _tiles,
    "gradient": _gradient,
    "shapes": _shapes,
    "strokes": _strokes,
}
_SPOILT: Mapping[str, Callable[[_Random, _Floats, _Floats], _Floats]] = {
    "shuffled patches": _shuffled,
    "inverted": _inverted,
    "blended": _blended,
    "scrambled phases": _phases,
}
KINDS = (*_DRAWN, *_SPOILT)
