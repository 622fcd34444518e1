"""Labels that look wrong: the right ones are doubted, in the right order, and nothing else."""

import pytest
import torch

from tests.networks import Brightness
from training.data.dataset import Split
from training.measuring.label_mistakes import (
    MOST_LISTED,
    find_label_mistakes,
    label_mistake_lines,
)
from training.measuring.views import single_view

LABELS = ("cat", "dog")


def _split(brightness: list[int], targets: list[int]) -> Split:
    images = torch.tensor(brightness, dtype=torch.uint8)[:, None, None, None].expand(-1, 4, 4, 3).contiguous()
    return Split(images, torch.tensor(targets), tuple(f"{number}.png" for number in range(len(targets))))


def test_planted_mistakes_come_first() -> None:
    """Three wrong labels among forty pictures are listed, the surest first, with both labels; no other is."""
    split = _split([0] * 20 + [255] * 20, [0] * 20 + [1] * 20)
    split.targets[[3, 7]] = 1
    split.targets[25] = 0
    split.images[7] = 30  # less sure
    found = find_label_mistakes(split, single_view(Brightness(), split.images), labels=LABELS)
    assert [item.file for item in found] == ["3.png", "25.png", "7.png"]
    assert [(item.label, item.likelier) for item in found] == [("dog", "cat"), ("cat", "dog"), ("dog", "cat")]
    assert found[0].probability < 0.15
    assert found[0].likelier_probability > 0.85


def test_an_unsure_network_doubts_nobody() -> None:
    """Where no label gets a half, none is called likelier than the given one."""
    split = _split([0] * 5, [0, 1, 2, 0, 1])
    even = torch.tensor([[0.3, 0.3, 0.4]] * 5)
    assert find_label_mistakes(split, even, labels=(*LABELS, "owl")) == []


def test_the_list_is_cut() -> None:
    """Whoever has many wrong labels sees the likeliest twenty."""
    split = _split([0] * 400, [1] * 50 + [0] * 350)
    found = find_label_mistakes(split, single_view(Brightness(), split.images), labels=LABELS)
    assert len(found) == MOST_LISTED
    assert next(label_mistake_lines(found)).startswith("20 labels or more may be wrong")


@pytest.mark.parametrize(("most", "count", "more"), [(30, 30, " or more"), (80, 50, "")])
def test_the_list_is_as_long_as_it_was_asked_to_be(most: int, count: int, more: str) -> None:
    """Where all were listed, no more are hinted at."""
    split = _split([0] * 400, [1] * 50 + [0] * 350)
    found = find_label_mistakes(split, single_view(Brightness(), split.images), labels=LABELS, most=most)
    assert len(found) == count
    assert next(label_mistake_lines(found, most=most)).startswith(f"{count} labels{more} may be wrong")


def test_a_label_is_doubted_only_where_another_one_is_likelier_than_not() -> None:
    """Two others at 0.45 are none that it could be; at 0.5 one is."""
    split = _split([0] * 2, [0, 0])
    found = find_label_mistakes(split, torch.tensor([[0.1, 0.45, 0.45], [0.1, 0.5, 0.4]]), labels=(*LABELS, "owl"))
    assert [item.file for item in found] == ["1.png"]


def test_after_a_training_the_test_part_is_judged() -> None:
    """Its pictures were not learnt, so the trained network's own answers tell."""
    test = _split([0, 255, 0, 255, 0, 255, 0, 255], [0, 1, 0, 1, 0, 1, 0, 0])
    (found,) = find_label_mistakes(test, single_view(Brightness(), test.images), labels=LABELS)
    assert (found.file, found.label, found.likelier) == ("7.png", "cat", "dog")


def test_nothing_to_doubt_is_said() -> None:
    """An empty list is a sentence."""
    assert list(label_mistake_lines([])) == ["no label looks wrong"]
