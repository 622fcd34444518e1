"""The packages of training/: who stands on whom, and where to read about them."""

import ast
import re
from collections import Counter
from pathlib import Path

import training

FOLDER = Path(training.__file__).parent
ORDER = ("data", "runs", "measuring", "report", "commands")


def _packages_of(path: Path) -> set[str]:
    """What a file imports of the packages, at any depth of the code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("training.")} & set(ORDER)


def test_there_are_no_other_packages() -> None:
    """A new one gets its place in the order here."""
    assert {path.parent.name for path in FOLDER.glob("*/*.py")} == set(ORDER)


def test_a_package_stands_on_those_before_it() -> None:
    """So none of them can stand in a circle."""
    wrong = {
        str(path.relative_to(FOLDER)): later
        for place, package in enumerate(ORDER)
        for path in (FOLDER / package).rglob("*.py")
        if (later := _packages_of(path) & set(ORDER[place + 1 :]))
    }
    assert not wrong


def test_only_the_command_line_knows_the_commands() -> None:
    """What teaches a network can be used without anybody who types."""
    assert [path.name for path in FOLDER.glob("*.py") if "commands" in _packages_of(path)] == ["cli.py"]


def test_the_architecture_names_every_module_once() -> None:
    """docs/architecture.md has a place for each, in the paragraph of its package."""
    text = (FOLDER.parent / "docs" / "architecture.md").read_text()
    section = text.partition("\n## The life of a training\n")[2].partition("\n## ")[0]
    named: Counter[str] = Counter()
    for paragraph in section.split("\n- ")[1:]:
        package = re.match(r"\*\*`(\w+)/`", paragraph)
        folder = f"{package[1]}/" if package else ""
        named.update(folder + module for module in re.findall(r"`(\w+\.py)`", paragraph))
    modules = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py")}
    assert named == Counter(module for module in modules if not module.endswith("__init__.py"))
