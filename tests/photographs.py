"""Pictures like photographs, drawn from a seed: one object on clutter, 224 pixels a side, three classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 224
_CLUTTER = 14
"""Lines and blobs behind the object; enough that brightness and colour alone tell nothing."""

Points = list[tuple[float, float]]


def _disc(radius: float) -> Points:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return [(radius * float(np.cos(angle)), radius * float(np.sin(angle))) for angle in angles]


def _triangle(radius: float) -> Points:
    angles = np.linspace(0, 2 * np.pi, 3, endpoint=False)
    return [(1.2 * radius * float(np.cos(angle)), 1.2 * radius * float(np.sin(angle))) for angle in angles]


def _cross(radius: float) -> Points:
    arm, thick = 1.1 * radius, 0.35 * radius
    quarter = [(arm, -thick), (arm, thick), (thick, thick)]
    points: Points = []
    for turn in range(4):
        angle = turn * np.pi / 2
        points += [_turned(point, float(angle)) for point in quarter]
    return points


OBJECTS: dict[str, Callable[[float], Points]] = {"cross": _cross, "disc": _disc, "triangle": _triangle}
"""Class → outline around (0, 0)."""


def draw_photograph(label: str, seed: int, *, side: int = SIDE) -> Image.Image:
    """One object of a class, anywhere, at any angle, in any colours, on clutter.

    Args:
        label: a key of `OBJECTS`.
        seed: equal seeds give equal pictures.
        side: of the picture, in pixels.
    """
    random = np.random.default_rng([seed, *label.encode()])
    picture = _clutter(random)
    radius = float(random.uniform(38, 66))
    x, y = random.uniform(radius + 14, SIDE - radius - 14, 2)
    angle = float(random.uniform(0, 2 * np.pi))
    outline = [_turned(point, angle) for point in OBJECTS[label](radius)]
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon([(x + dx, y + dy) for dx, dy in outline], fill=255)
    picture.paste(_texture(random), mask=mask.filter(ImageFilter.GaussianBlur(1.2)))
    grain = random.normal(0, 6, (SIDE, SIDE, 1))
    pixels = np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


def draw_folder(root: Path, *, per_class: int, quality: int = 90) -> None:
    """Write a folder of JPEGs with one sub-folder per class."""
    for label in OBJECTS:
        (root / label).mkdir(parents=True)
        for number in range(per_class):
            draw_photograph(label, number).save(root / label / f"{number:03}.jpg", quality=quality)


def _clutter(random: np.random.Generator) -> Image.Image:
    coarse = Image.fromarray(random.integers(20, 236, (6, 6, 3), dtype=np.uint8))
    picture = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(_CLUTTER):
        x, y, dx, dy = random.uniform(0, SIDE, 4)
        colour = _colour(random)
        if random.random() < 0.5:
            draw.line((x, y, dx, dy), fill=colour, width=int(random.integers(1, 6)))
        else:
            draw.ellipse((x, y, x + dx / 6, y + dy / 6), fill=colour)
    return picture


def _texture(random: np.random.Generator) -> Image.Image:
    """Two colours in stripes."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    angle, length = random.uniform(0, np.pi), random.uniform(8, 40)
    wave = np.sin(2 * np.pi * (rows * np.sin(angle) + columns * np.cos(angle)) / length)
    first, second = (np.array(_colour(random)) for _ in range(2))
    pixels = np.where(wave[..., None] > 0, first, 0.7 * first + 0.3 * second)
    return Image.fromarray(pixels.astype(np.uint8))


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in random.integers(0, 256, 3))
    return red, green, blue


def _turned(point: tuple[float, float], angle: float) -> tuple[float, float]:
    x, y = point
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return cos * x - sin * y, sin * x + cos * y
