"""What a value of a record must be."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from models import values


@pytest.mark.parametrize("value", [0, -3, 0.5, 1e308, 10**300])
def test_a_finite_number_is_one(value: object) -> None:
    """Whole or floating, of either sign, as far as float64 reaches."""
    assert values.is_number(value)


@pytest.mark.parametrize(
    "value", [True, "1", None, [], {}, 1j, float("nan"), float("inf"), -float("inf"), 10**400, -(10**400)]
)
def test_what_is_no_finite_number_is_none(value: object) -> None:
    """Nor a fraction: true and texts, what is not finite, and whole numbers that no float holds."""
    assert not values.is_number(value)
    assert not values.is_fraction(value)


@pytest.mark.parametrize(("value", "expected"), [(0, True), (1, True), (0.5, True), (-1e-9, False), (1.1, False)])
def test_a_fraction_lies_within_0_and_1(value: object, expected: bool) -> None:
    """Both ends are fractions."""
    assert values.is_fraction(value) == expected


@pytest.mark.parametrize(
    ("refuse", "good", "bad", "sentence"),
    [
        (values.require_fractions, 1, 1.5, "second is 1.5; a number within 0…1 is needed"),
        (values.require_amounts, 7.5, -1, "second is -1; a finite number from 0 is needed"),
        (values.require_counts, 1, 0, "second is 0; a whole number from 1 is needed"),
        (values.require_counts, 1, 1.0, "second is 1.0; a whole number from 1 is needed"),
        (values.require_texts, "", 3, "second is 3; a text is needed"),
        (values.require_tables, {}, [], r"second is \[\]; values with their names are needed"),
        (values.require_texts, "", list(range(1_000)), r"second is \[0, 1, 2, 3, 4, 5, \.\.\.\]; a text"),
    ],
)
def test_the_attribute_is_named_with_its_value(
    refuse: Callable[..., None], good: object, bad: object, sentence: str
) -> None:
    """What is right passes; of what is wrong the message tells the beginning, however long it is."""
    refuse(SimpleNamespace(first=good, second=good), "first", "second")
    with pytest.raises(ValueError, match=f"^{sentence}"):
        refuse(SimpleNamespace(first=good, second=bad), "first", "second")
