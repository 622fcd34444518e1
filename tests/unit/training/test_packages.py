"""The packages of training/: who stands on whom, and where to read about them."""

from pathlib import Path

import training
from tests.packages import against_the_order, modules_in, modules_named_in, packages_in, parts_of

FOLDER = Path(training.__file__).parent
ORDER = ("data", "runs", "measuring", "report", "commands")


def test_there_are_no_other_packages() -> None:
    """A new one gets its place in the order here."""
    assert packages_in(FOLDER) == set(ORDER)


def test_a_package_stands_on_those_before_it() -> None:
    """So none of them can stand in a circle."""
    assert not against_the_order(FOLDER, ORDER)


def test_only_the_command_line_knows_the_commands() -> None:
    """What teaches a network can be used without anybody who types."""
    assert [path.name for path in FOLDER.glob("*.py") if "commands" in parts_of(path, FOLDER)] == ["cli.py"]


def test_the_architecture_names_every_module_once() -> None:
    """docs/architecture.md has a place for each, in the paragraph of its package."""
    assert modules_named_in("The life of a training") == modules_in(FOLDER)
