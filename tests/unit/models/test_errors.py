"""The errors of models/, and the tree of them that is drawn at the top of their module."""

import inspect
import re
from pathlib import Path

import pytest

from models import errors
from models.errors import CheckpointError, GlimpseError, InputError

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]
LEAVES = [cls for cls in CLASSES if not cls.__subclasses__()]
_INDENT = 4  # columns of one level in the drawing


def _drawn() -> dict[str, str]:
    """Read the drawing: class → its parent, "Exception" for the root."""
    parents: dict[str, str] = {}
    above = ["Exception"]
    for line in (inspect.getdoc(errors) or "").splitlines():
        match = re.match(r"[│├└─ ]*([A-Z]\w+Error)\b", line)
        if match:
            depth = match.start(1) // _INDENT
            above = [*above[: depth + 1], match[1]]
            parents[match[1]] = above[depth]
    return parents


def test_the_drawn_tree_is_the_real_one() -> None:
    """Each class stands in the drawing under its parent, and nothing else is drawn."""
    assert _drawn() == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


def test_no_class_has_two_parents() -> None:
    """The errors are a tree, so the service can map each one to exactly one status."""
    assert [cls.__name__ for cls in CLASSES if len(cls.__bases__) != 1] == []


def test_what_the_caller_and_what_the_operator_can_fix_are_apart() -> None:
    """Every error but the root is either an input error or a checkpoint error."""
    sides = {cls: (issubclass(cls, InputError), issubclass(cls, CheckpointError)) for cls in CLASSES}
    del sides[GlimpseError]
    assert set(sides.values()) == {(True, False), (False, True)}


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_says_what_it_means(cls: type[GlimpseError]) -> None:
    """Every class has a sentence of its own as its docstring."""
    assert cls.__doc__ not in {base.__doc__ for base in cls.__mro__[1:]}
    assert str(cls.__doc__).endswith(".")


@pytest.mark.parametrize("cls", LEAVES)
def test_each_leaf_of_the_tree_is_raised_somewhere(cls: type[GlimpseError]) -> None:
    """No error class is drawn that the package never raises."""
    folder = Path(errors.__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in folder.rglob("*.py")]
    assert any(f"raise {cls.__name__}(" in source for source in sources)


@pytest.mark.parametrize("cls", LEAVES)
def test_an_error_is_made_of_its_message_alone(cls: type[GlimpseError]) -> None:
    """Loading a checkpoint raises the same class again with the path in front of the message."""
    with pytest.raises(cls, match=r"^file: damaged$"):
        raise cls(f"file: {cls('damaged')}")
