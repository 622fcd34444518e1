"""Copies are found whatever was done to them, and different pictures are left alone."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from tests.drawing import solid
from tests.photographs import OBJECTS, draw_photograph
from training.data.duplicates import find_copies, take_for_scenes
from training.data.likeness import Thumbnails
from training.data.picture_cache import to_thumbnail

LABELS = list(OBJECTS)


def _photographs(count: int) -> list[Image.Image]:
    return [draw_photograph(LABELS[number % 3], 9_000 + number, side=112) for number in range(count)]


def _stack(pictures: list[Image.Image]) -> Thumbnails:
    return np.stack([to_thumbnail(picture) for picture in pictures])


def _digests(count: int) -> list[list[str]]:
    return [[f"bytes {number}", f"pixels {number}"] for number in range(count)]


def _saved_again(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=40)
    return Image.open(buffer).convert("RGB")


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved as a poor JPEG": _saved_again,
    "resized": lambda picture: picture.resize((60, 77)),
    "cropped": lambda picture: picture.crop((5, 2, 109, 107)),
    "brightened": lambda picture: ImageEnhance.Brightness(picture).enhance(1.25),
    "paler": lambda picture: ImageEnhance.Contrast(picture).enhance(0.7),
}


def _classes(count: int) -> np.ndarray:
    """All pictures are of one class."""
    return np.zeros(count, np.int64)


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_changed_copy_is_found_and_nothing_else(change: str) -> None:
    """Among twelve photographs and a changed copy of five of them, exactly five pairs are found."""
    pictures = _photographs(12)
    copies = find_copies(
        _stack(pictures + [CHANGES[change](picture) for picture in pictures[:5]]), _digests(17), _classes(17)
    )
    assert copies.exact == ()
    assert copies.near == tuple((place, 12 + place) for place in range(5))


def _drawing(random: np.random.Generator) -> Image.Image:
    """One to three shapes of any colour on any ground."""
    picture = Image.new("RGB", (96, 96), tuple(random.integers(0, 255, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(1, 4))):
        left, top = random.integers(0, 60, 2).tolist()
        side = int(random.integers(20, 40))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((left, top, left + side, top + side), fill=tuple(random.integers(0, 255, 3).tolist()))
    return picture


@pytest.mark.parametrize("seed", range(10))
def test_candidates_that_are_no_copies_are_left_alone(seed: int) -> None:
    """Drawings are often a little alike; where no pair is alike enough to look closer, nothing fails."""
    random = np.random.default_rng(seed)
    copies = find_copies(_stack([_drawing(random) for _ in range(24)]), _digests(24), _classes(24))
    assert copies.exact == ()
    assert len(copies.near) <= 2


def test_a_digest_in_common_makes_pictures_equal() -> None:
    """Equal bytes or equal pixels join pictures, also in a chain; the group has one number."""
    thumbnails = _stack(_photographs(4))
    digests = [["b0", "p0"], ["b1", "p0"], ["b1", "p2"], ["b3", "p3"]]
    copies = find_copies(thumbnails, digests, _classes(4))
    assert copies.exact == ((0, 1, 2),)
    assert copies.near == ()
    assert copies.group.tolist() == [0, 0, 0, 3]


def test_equal_and_similar_pictures_form_one_group_of_a_split() -> None:
    """A picture, its double and a poor JPEG of it share a number, and are told as equal and as alike."""
    one, other = _photographs(2)
    copies = find_copies(_stack([one, other, one, _saved_again(one)]), [["a"], ["b"], ["a"], ["c"]], _classes(4))
    assert copies.exact == ((0, 2),)
    assert copies.near == ((0, 2, 3),)
    assert copies.group.tolist() == [0, 1, 0, 0]


def test_flat_pictures_are_no_copies_of_one_another() -> None:
    """Two plain walls look alike to everybody; only equal ones are told."""
    walls = _stack([solid("white"), solid("black"), solid("red"), solid("darkred")])
    copies = find_copies(walls, _digests(4), _classes(4))
    assert copies.exact == copies.near == ()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_pictures_are_no_special_case(count: int) -> None:
    """None, one, two and three pictures are compared without a complaint."""
    thumbnails = np.zeros((0, 32, 32, 3), np.uint8) if not count else _stack(_photographs(count))
    copies = find_copies(thumbnails, _digests(count), _classes(count))
    assert copies.near == ()
    assert copies.group.tolist() == list(range(count))


def _lamps(count: int, camera: int = 0) -> list[Image.Image]:
    """One scene, seen again and again: half the time a lamp in it is red, else green."""
    random = np.random.default_rng(0)
    *_, scene = _photographs(camera + 1)
    pictures = []
    for place in range(count):
        lit = ImageEnhance.Brightness(scene).enhance(random.uniform(0.9, 1.1))
        ImageDraw.Draw(lit).ellipse((20, 20, 28, 28), fill="red" if place % 2 else "green")
        pictures.append(lit)
    return pictures


def test_what_a_camera_sees_that_stands_still_is_a_scene() -> None:
    """Pictures that look like most of their class are no copies: each is its own, but for equal ones."""
    digests = _digests(27)
    digests[3] = digests[1]
    copies = find_copies(_stack([*_lamps(24), *_photographs(4)[1:]]), digests, np.arange(27) % 2)
    assert copies.near == ()
    assert [len(scene) for scene in copies.scenes] == [24]
    assert copies.exact == ((1, 3),)
    assert copies.group.tolist() == [1 if place == 3 else place for place in range(27)]


def _cameras(each: int) -> list[Image.Image]:
    """What three cameras see, one after the other."""
    return [picture for camera in range(3) for picture in _lamps(each, camera)]


def test_cameras_that_divide_both_classes_see_scenes() -> None:
    """Each has a third of a class, and as much of the other: green and red lamps are sorted on purpose."""
    copies = find_copies(_stack(_cameras(8)), _digests(24), np.arange(24) % 2)
    assert copies.near == ()
    assert [len(scene) for scene in copies.scenes] == [8, 8, 8]
    assert copies.group.tolist() == list(range(24))


def test_cameras_that_see_something_rare_see_scenes() -> None:
    """Of 33 pictures three show a defect, one at each camera; so many labels are not wrong."""
    copies = find_copies(_stack(_cameras(11)), _digests(33), (np.arange(33) % 11 == 10).astype(np.int64))
    assert copies.near == ()
    assert [len(scene) for scene in copies.scenes] == [11, 11, 11]


@pytest.mark.parametrize(("of_one", "of_other"), [(12, 1), (5, 2)])
def test_copies_with_a_wrong_label_or_two_are_no_scene(of_one: int, of_other: int) -> None:
    """Among thirty pictures of a class they stay together, in both classes."""
    count = of_one + of_other
    others = 30 - of_one
    targets = np.array([0] * of_one + [1] * of_other + [0] * others)
    copies = find_copies(_stack([*_lamps(count), *_photographs(others + 1)[1:]]), _digests(len(targets)), targets)
    assert [len(group) for group in copies.near] == [count]
    assert copies.scenes == ()


def test_what_looks_alike_can_be_taken_for_scenes() -> None:
    """Equal pictures stay together, the others stand alone."""
    one, other = _photographs(2)
    stack = _stack([one, other, _saved_again(one), one])
    found = find_copies(stack, [["a"], ["b"], ["c"], ["a"]], _classes(4))
    assert found.near == ((0, 2, 3),)
    copies = take_for_scenes(found)
    assert (copies.exact, copies.near, copies.scenes) == (((0, 3),), (), ((0, 2, 3),))
    assert copies.group.tolist() == [0, 1, 2, 0]


def test_many_copies_of_one_picture_among_many_others_are_no_scene() -> None:
    """Twelve of them in a class of thirty stay together."""
    copies = find_copies(_stack([*_lamps(12), *_photographs(19)[1:]]), _digests(30), _classes(30))
    assert [len(group) for group in copies.near] == [12]
    assert copies.scenes == ()
