"""From a decoded picture to the pixels that a network is fed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from models.errors import EmptyBatchError
from models.pictures import Picture, decode
from models.preprocessing import INTERPOLATIONS, InputSpec, to_images
from tests.drawing import encode, gradient, solid
from tests.photographs import draw_photograph

RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)


def _picture(image: Image.Image) -> Picture:
    return Picture(rgb=image, format="PNG", width=image.width, height=image.height)


def _flag(*, standing: bool) -> Image.Image:
    """Three squares of 32 pixels in a row or in a column: red, green, blue."""
    flag = Image.new("RGB", (32, 96) if standing else (96, 32))
    for place, colour in enumerate((RED, GREEN, BLUE)):
        flag.paste(
            colour, (0, 32 * place, 32, 32 * place + 32) if standing else (32 * place, 0, 32 * place + 32, 32)
        )
    return flag


def test_a_picture_of_the_right_size_passes_bit_for_bit() -> None:
    """Nothing is resampled when width and height fit already."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    (image,) = to_images([_picture(Image.fromarray(noise))], InputSpec())
    np.testing.assert_array_equal(image, noise)


@pytest.mark.parametrize("standing", [False, True])
def test_the_middle_of_a_long_picture_is_cut_out(standing: bool) -> None:
    """Of a wide and of a tall picture the centred square is kept, unchanged where it already fits."""
    (image,) = to_images([_picture(_flag(standing=standing))], InputSpec())
    assert (image == GREEN).all()


@pytest.mark.parametrize("standing", [False, True])
def test_the_middle_is_cut_out_before_it_is_resized(standing: bool) -> None:
    """A long picture that is also too large shows its centred square, smaller and not squeezed."""
    flag = _flag(standing=standing)
    large = flag.resize((3 * flag.width, 3 * flag.height), Image.Resampling.NEAREST)
    (image,) = to_images([_picture(large)], InputSpec())
    assert (image[2:-2, 2:-2] == GREEN).all()


def test_the_cut_has_the_shape_of_the_input() -> None:
    """An input of 16 × 48 pixels takes the middle third of the rows of a square, at full width."""
    square = Image.new("RGB", (48, 48), "red")
    square.paste(GREEN, (0, 16, 48, 32))
    (image,) = to_images([_picture(square)], InputSpec(height=16, width=48))
    assert image.shape == (16, 48, 3)
    assert (image == GREEN).all()


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_a_strip_of_one_pixel_becomes_an_image(size: tuple[int, int]) -> None:
    """The most extreme shapes give a full image of their colour."""
    (image,) = to_images([_picture(Image.new("RGB", size, BLUE))], InputSpec())
    assert image.shape == (32, 32, 3)
    assert (image == BLUE).all()


def test_a_small_picture_is_enlarged() -> None:
    """Four pixels fill the whole image, each its own corner."""
    corners = np.array([[RED, GREEN], [BLUE, (255, 255, 255)]], np.uint8)
    (image,) = to_images([_picture(Image.fromarray(corners))], InputSpec())
    np.testing.assert_allclose(image[::31, ::31].astype(int), corners.astype(int), atol=25)


def test_a_large_picture_is_averaged_and_not_sampled() -> None:
    """A fine chessboard becomes an even grey: the filters widen when they shrink."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    picture = _picture(Image.fromarray(board.astype(np.uint8)).convert("RGB"))
    for interpolation in INTERPOLATIONS:
        (image,) = to_images([picture], InputSpec(interpolation=interpolation))
        np.testing.assert_allclose(image.astype(int), 127.5, atol=5)


def test_the_filter_of_the_spec_is_used() -> None:
    """Each interpolation gives another image of the same picture."""
    picture = _picture(gradient(7, 7))
    images = [to_images([picture], InputSpec(interpolation=name)).tobytes() for name in INTERPOLATIONS]
    assert len(set(images)) == len(INTERPOLATIONS) == 3


def test_a_batch_is_one_array_in_the_order_of_the_pictures() -> None:
    """The images are uint8, batch × height × width × R G B, contiguous, in the order given."""
    pictures = [_picture(solid("red", 50)), _picture(solid("green", 32)), _picture(solid("blue", 7))]
    images = to_images(pictures, InputSpec(height=24, width=40))
    assert images.dtype == np.uint8
    assert images.shape == (3, 24, 40, 3)
    assert images.flags.c_contiguous
    assert images.flags.writeable
    assert [tuple(image[12, 20].tolist()) for image in images] == [RED, GREEN, BLUE]


def test_a_neighbour_does_not_change_an_image() -> None:
    """A picture gives the same image alone and in a batch."""
    pictures = [_picture(gradient(width, 61)) for width in (40, 61, 90)]
    alone = [to_images([picture], InputSpec())[0] for picture in pictures]
    np.testing.assert_array_equal(to_images(pictures, InputSpec()), np.stack(alone))


def test_no_picture_is_refused() -> None:
    """An empty list is the caller's mistake."""
    with pytest.raises(EmptyBatchError, match="the list is empty"):
        to_images([], InputSpec())


def _turned_jpeg(size: tuple[int, int], orientation: int) -> bytes:
    """A soft scene, which is alike at every scale, in a JPEG to be turned by its EXIF orientation."""
    scene = draw_photograph("disc", 3, side=max(size)).filter(ImageFilter.GaussianBlur(6)).crop((0, 0, *size))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(scene, "JPEG", quality=95, subsampling=0, exif=exif)


@pytest.mark.parametrize("size", [(513, 513), (257, 257), (769, 513), (513, 769)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_cut_where_the_whole_one_is(size: tuple[int, int], orientation: int) -> None:
    """Of a side that the scale does not divide no padding is seen, however it is turned, and nothing moves."""
    data = _turned_jpeg(size, orientation)
    (reduced,) = to_images([decode(data, at_least=(32, 32))], InputSpec())
    (whole,) = to_images([decode(data)], InputSpec())
    assert np.abs(reduced.astype(int) - whole.astype(int)).mean() < 1.2


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    wanted=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    interpolation=st.sampled_from(INTERPOLATIONS),
)
def test_every_size_becomes_the_size_of_the_input(
    size: tuple[int, int], wanted: tuple[int, int], interpolation: str
) -> None:
    """Whatever the size, the image has the shape of the input, and a flat colour stays what it is."""
    spec = InputSpec(height=wanted[0], width=wanted[1], interpolation=interpolation)
    (image,) = to_images([_picture(Image.new("RGB", size, RED))], spec)
    assert image.shape == (*wanted, 3)
    assert (image == RED).all()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"height": 0}, "32 × 0 pixels; both must be whole numbers from 1"),
        ({"width": -1}, "-1 × 32 pixels; both must be whole numbers from 1"),
        ({"resize": "squeeze"}, "resize rule is 'squeeze'; known: shorter_side_center_crop"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'; known: bilinear, bicubic, lanczos"),
        ({"mean": (0.5,)}, "three finite numbers"),
        ({"std": (0.5, 0.5, 0.5, 0.5)}, "three finite numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "each must be above 0"),
        ({"std": (0.5, 0.5, -0.5)}, "each must be above 0"),
        ({"std": (0.5, 0.5, float("nan"))}, "std is .* three finite numbers"),
        ({"std": (0.5, 0.5, float("inf"))}, "std is .* three finite numbers"),
        ({"mean": (float("nan"), 0.5, 0.5)}, "mean is .* three finite numbers"),
        ({"mean": ("a", "b", "c")}, "mean is .* three finite numbers"),
        ({"mean": (0.5, 0.5, True)}, "mean is .* three finite numbers"),
        ({"std": (0.5, 0.5, True)}, "std is .* three finite numbers"),
        ({"std": (0.5, 0.5, 10**400)}, "std is .* three finite numbers"),
    ],
)
def test_a_spec_that_no_network_could_eat_is_refused(fields: dict[str, Any], sentence: str) -> None:
    """Each value that makes no sense is named when the spec is made."""
    with pytest.raises(ValueError, match=sentence):
        InputSpec(**fields)
