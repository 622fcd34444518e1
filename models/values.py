"""What the values of a record must be, whoever made it: a measurement, or a file that somebody changed.

What passes here can be told as JSON: GET /model relies on it.
"""

import reprlib
import sys
from collections.abc import Mapping
from typing import TypeGuard


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number that is finite in float64; true and false are none."""
    return isinstance(value, int | float) and type(value) is not bool and abs(value) <= sys.float_info.max


def is_fraction(value: object) -> bool:
    """Whether a value is a number within 0…1."""
    return is_number(value) and 0 <= value <= 1


def is_count(value: object, *, least: int) -> bool:
    """Whether a value is a whole number that is not below the least."""
    return type(value) is int and value >= least


def require_fractions(of: object, *names: str) -> None:
    """Require attributes to be fractions.

    Raises:
        ValueError: one is no number within 0…1.
    """
    for name in names:
        if not is_fraction(value := getattr(of, name)):
            raise ValueError(f"{name} is {reprlib.repr(value)}; a number within 0…1 is needed")


def require_amounts(of: object, *names: str) -> None:
    """Require attributes to be amounts, of seconds or nats for instance.

    Raises:
        ValueError: one is no finite number from 0.
    """
    for name in names:
        if not (is_number(value := getattr(of, name)) and value >= 0):
            raise ValueError(f"{name} is {reprlib.repr(value)}; a finite number from 0 is needed")


def require_counts(of: object, *names: str, least: int = 1) -> None:
    """Require attributes to be counts.

    Raises:
        ValueError: one is no whole number, or below the least.
    """
    for name in names:
        if not is_count(value := getattr(of, name), least=least):
            raise ValueError(f"{name} is {reprlib.repr(value)}; a whole number from {least} is needed")


def require_texts(of: object, *names: str) -> None:
    """Require attributes to be texts.

    Raises:
        ValueError: one is something else.
    """
    for name in names:
        if not isinstance(value := getattr(of, name), str):
            raise ValueError(f"{name} is {reprlib.repr(value)}; a text is needed")


def require_tables(of: object, *names: str) -> None:
    """Require attributes to hold values by their names.

    Raises:
        ValueError: one is something else.
    """
    for name in names:
        if not isinstance(value := getattr(of, name), Mapping):
            raise ValueError(f"{name} is {reprlib.repr(value)}; values with their names are needed")
