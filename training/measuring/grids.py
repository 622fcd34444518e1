"""Pictures of pictures: a labelled grid, for the eye to check what the numbers say."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.files import write_atomically
from training.data.dataset import Split

_COLUMNS, _ROWS = 8, 4
_INCHES = 1.4  # of one picture with its words
_LETTERS = 24  # of a caption's line, which are about as wide


def draw_samples(split: Split, *, labels: Sequence[str], seed: int, path: Path) -> None:
    """Write a grid of random pictures with their labels.

    Args:
        split: to choose from; up to 32 are shown.
        labels: words for the targets.
        seed: of the choice.
        path: of the PNG.
    """
    chosen = _choose(split, seed)
    captions = [labels[target] for target in split.targets[chosen].tolist()]
    _draw(split.images[chosen], captions, wrong=[False] * len(captions), path=path)


def draw_predictions(split: Split, probabilities: Tensor, *, labels: Sequence[str], seed: int, path: Path) -> None:
    """Write a grid of random pictures with what they show and what was predicted, mistakes in red.

    Args:
        split: to choose from; up to 32 are shown.
        probabilities: (n, classes) for the whole split.
        labels: words for the targets.
        seed: of the choice.
        path: of the PNG.
    """
    chosen = _choose(split, seed)
    truths = split.targets[chosen].tolist()
    guesses = probabilities[chosen].argmax(1).tolist()
    captions = [f"is {labels[truth]}\nsaid {labels[guess]}" for truth, guess in zip(truths, guesses, strict=True)]
    wrong = [truth != guess for truth, guess in zip(truths, guesses, strict=True)]
    _draw(split.images[chosen], captions, wrong=wrong, path=path)


def _choose(split: Split, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(len(split), generator=generator)[: _COLUMNS * _ROWS]


def _draw(images: Tensor, captions: Sequence[str], *, wrong: Sequence[bool], path: Path) -> None:
    # 0.5 s of import that only these two commands need; the object interface needs no display
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - see above
    from matplotlib.figure import Figure  # noqa: PLC0415 - see above

    rows = -(-len(captions) // _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * _INCHES, rows * _INCHES * 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, caption, is_wrong in zip(axes.flat, images, captions, wrong, strict=False):
        axis.imshow(image.numpy(), interpolation="nearest")
        lines = [line if len(line) <= _LETTERS else f"{line[: _LETTERS - 1]}…" for line in caption.split("\n")]
        # class names are words, not formulas, whatever dollars stand in them
        axis.set_title("\n".join(lines), fontsize=7, color="firebrick" if is_wrong else "black", parse_math=False)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names in letters that the font lacks become boxes
        figure.savefig(picture, dpi=150, format="png")
    write_atomically(path, picture.getvalue())
