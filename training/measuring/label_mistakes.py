"""The pictures whose label is most likely wrong, for a person to look at.

A picture that was not learnt is doubted when the network finds its label improbable and another one probable.
One that was learnt cannot be judged so: `training/folds.py` judges those, too.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.files import write_atomically
from training.data.dataset import Split

FILE_NAME = "label_mistakes.json"
"""Of the list in a run's folder."""
MOST_LISTED = 20
"""Unless asked otherwise: what a person looks through in a minute. Source: choice."""
_MOST_GIVEN, _LEAST_OTHER = 0.2, 0.5
"""Calibrated probability of the given label at most, of the likelier one at least. Source: docs/experiments.md,
2026-11-24."""


@dataclass(frozen=True)
class LabelMistake:
    """A label that is probably wrong.

    Attributes:
        file: name of the picture.
        label: that it was given.
        probability: of that label.
        likelier: the label that the network gives it.
        likelier_probability: of that one.
    """

    file: str
    label: str
    probability: float
    likelier: str
    likelier_probability: float


def find_label_mistakes(
    split: Split, probabilities: Tensor, *, labels: Sequence[str], most: int = MOST_LISTED
) -> list[LabelMistake]:
    """List the pictures whose given label is improbable and another probable, the likeliest mistake first.

    Args:
        split: pictures that were not learnt; its targets are places in `labels`.
        probabilities: float32 (n, classes) of its pictures, calibrated, single view.
        labels: words for the classes.
        most: how many to list.
    """
    rows = torch.arange(len(split))
    given = probabilities[rows, split.targets]
    best, likelier = probabilities.max(1)
    doubted = torch.nonzero((given <= _MOST_GIVEN) & (best >= _LEAST_OTHER)).flatten()
    order = doubted[torch.argsort(given[doubted] / best[doubted], stable=True)][:most]
    names = split.names("picture")
    return [
        LabelMistake(
            file=names[place],
            label=labels[int(split.targets[place])],
            probability=round(float(given[place]), 4),
            likelier=labels[int(likelier[place])],
            likelier_probability=round(float(best[place]), 4),
        )
        for place in order.tolist()
    ]


def find_mistakes_in_files(
    split: Split, probabilities: Tensor, *, labels: Sequence[str]
) -> list[LabelMistake] | None:
    """Do the same for pictures that somebody can look at; None where they have no files."""
    return find_label_mistakes(split, probabilities, labels=labels) if split.files else None


def to_json(mistakes: Sequence[LabelMistake]) -> str:
    """Write the list as JSON."""
    return json.dumps([asdict(item) for item in mistakes], indent=1)


def label_mistake_lines(mistakes: Sequence[LabelMistake], *, most: int = MOST_LISTED) -> Iterator[str]:
    """Tell the list in words, line by line.

    Args:
        mistakes: the likeliest ones.
        most: how many were asked for; where there are as many, there may be more.
    """
    if not mistakes:
        yield "no label looks wrong"
        return
    count = "one label" if len(mistakes) == 1 else f"{len(mistakes)} labels"
    more = " or more" if len(mistakes) == most else ""
    yield f"{count}{more} may be wrong, or the network is; look at these pictures, the likeliest mistake first:"
    for item in mistakes:
        yield (
            f"  {item.file}: {item.label} {100 * item.probability:.1f} %, "
            f"{item.likelier} {100 * item.likelier_probability:.1f} %"
        )


def write_label_mistakes(mistakes: Sequence[LabelMistake], folder: Path) -> Path:
    """Write `label_mistakes.json` into a run's folder."""
    path = folder / FILE_NAME
    write_atomically(path, to_json(mistakes).encode())
    return path
