"""The packages of app/: who stands on whom, and where to read about them."""

from pathlib import Path

import app
from tests.packages import against_the_order, imports_of, modules_in, modules_named_in, packages_in, parts_of

FOLDER = Path(app.__file__).parent
ORDER = ("engines", "batches", "wire", "processes", "tensors", "routes")
SERVERS = ("app.processes.server", "app.processes.workers", "app.processes.accepting")


def test_there_are_no_other_packages() -> None:
    """A new one gets its place in the order here."""
    assert packages_in(FOLDER) == set(ORDER)


def test_a_package_stands_on_those_before_it() -> None:
    """So no two import each other; the modules beside them are free to use any."""
    assert not against_the_order(FOLDER, ORDER)


def test_only_the_command_knows_the_server() -> None:
    """The application runs under any other server, and in the tests under none."""
    outside = [path for path in FOLDER.rglob("*.py") if path.parent.name != "processes"]
    knowing = [path.name for path in outside if any(name.startswith(SERVERS) for name in imports_of(path))]
    assert knowing == ["__main__.py"]


def test_batches_know_neither_torch_nor_http() -> None:
    """Of the service they know its errors and its log, and neither a network nor who asks: they stand alone."""
    files = [FOLDER / "batching.py", *(FOLDER / "batches").glob("*.py")]
    assert set.union(*(parts_of(path, FOLDER) for path in files)) == {"batches", "errors", "logs"}
    libraries = {name.partition(".")[0] for path in files for name in imports_of(path)}
    assert not libraries & {"torch", "fastapi", "starlette", "uvicorn", "pydantic"}


def test_the_architecture_names_every_module_once() -> None:
    """docs/architecture.md has a place for each, in the paragraph of its package; the demos are in docs/lab.md."""
    assert modules_named_in("The life of a request") == modules_in(FOLDER)
