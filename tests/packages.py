"""Who imports whom in a folder of packages, and which modules docs/architecture.md names."""

import ast
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_ARCHITECTURE = Path(__file__).parents[1] / "docs" / "architecture.md"


def imports_of(path: Path) -> set[str]:
    """All that a file imports, at any depth of the code, as dotted names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def parts_of(path: Path, folder: Path) -> set[str]:
    """What a file imports of a folder: modules and packages right below it."""
    return {name.split(".")[1] for name in imports_of(path) if name.startswith(f"{folder.name}.")}


def packages_in(folder: Path) -> set[str]:
    """Folders right below this one with modules in them, however deep."""
    return {path.relative_to(folder).parts[0] for path in folder.rglob("*/*.py")}


def against_the_order(folder: Path, order: Sequence[str]) -> dict[str, set[str]]:
    """File → packages that it imports though they come after its own."""
    return {
        str(path.relative_to(folder)): later
        for place, package in enumerate(order)
        for path in sorted((folder / package).rglob("*.py"))
        if (later := parts_of(path, folder) & set(order[place + 1 :]))
    }


def modules_in(folder: Path) -> Counter[str]:
    """The modules of a folder and of its packages, once each, as paths below the folder."""
    modules = [*folder.glob("*.py"), *folder.glob("*/*.py")]
    return Counter(path.relative_to(folder).as_posix() for path in modules if path.name != "__init__.py")


def modules_named_in(heading: str) -> Counter[str]:
    """The modules that a section of docs/architecture.md names, as paths; a package's stand in its paragraph."""
    section = _ARCHITECTURE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    named: Counter[str] = Counter()
    for paragraph in section.split("\n- ")[1:]:
        package = re.match(r"\*\*`(\w+)/`", paragraph)
        folder = f"{package[1]}/" if package else ""
        named.update(folder + module for module in re.findall(r"`(\w+\.py)`", paragraph))
    return named
