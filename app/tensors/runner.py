"""Runs a script cell by cell, and looks at its tensors after each.

/predict runs in the same process, so a run leaves nothing behind: it has a namespace and a `print` of its own, and
its grad mode ends with it.
"""

import ast
import builtins
import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType

import torch
from torch import Tensor

from app.tensors.graphs import AutogradGraph, graph_of
from app.tensors.scripts import Cell, Script
from app.tensors.snapshots import Album, Snapshot


@dataclass(frozen=True)
class Step:
    """A cell that ran.

    Attributes:
        output: text that it printed.
        duration_ms: time that its code alone took.
        tensors: those that its code names, as they were after it.
        graph: autograd graph of the result that the cell marks; None where it marks none.
    """

    title: str
    explanation: str
    code: str
    output: str
    duration_ms: float
    tensors: tuple[Snapshot, ...]
    graph: AutogradGraph | None


def run(script: Script, given: Mapping[str, object]) -> tuple[Step, ...]:
    """Run a script in a fresh namespace.

    Args:
        script: one of the package's own.
        given: name → what an assignment to that name gets, instead of its right side being run: the same object as
            that would make, which is there already.

    Raises:
        Exception: whatever the script raises; its traceback names the cell, and counts lines as the script does.
    """
    printed = io.StringIO()

    def print_here(*values: object, sep: str | None = " ", end: str | None = "\n") -> None:
        """Print into this run's output: `redirect_stdout` would catch what the whole process prints."""
        builtins.print(*values, sep=sep, end=end, file=printed)

    namespace: dict[str, object] = {
        "__name__": "__main__",
        "print": print_here,
        **{_hidden(name): value for name, value in given.items()},
    }
    try:
        # as in a fresh interpreter, whatever the thread did
        with torch.inference_mode(False), torch.enable_grad():
            return tuple(_steps(script, given, namespace, printed))
    finally:
        namespace.clear()  # its functions hold it: a network would stay in memory until garbage is collected


def _steps(
    script: Script, given: Mapping[str, object], namespace: dict[str, object], printed: io.StringIO
) -> Iterator[Step]:
    album = Album()
    for cell in script.cells:
        code, names = _compile(cell, given)
        start = printed.tell()
        started_s = time.perf_counter()
        exec(code, namespace)  # noqa: S102 - a script of this package; of a caller's request no text is in it
        duration_ms = (time.perf_counter() - started_s) * 1000
        yield Step(
            title=cell.title,
            explanation=cell.explanation,
            code=cell.code,
            output=printed.getvalue()[start:],
            duration_ms=round(duration_ms, 3),
            tensors=tuple(album.take(namespace, names, withheld=cell.withheld)),
            graph=_graph(cell, namespace),
        )


def _compile(cell: Cell, given: Mapping[str, object]) -> tuple[CodeType, list[str]]:
    """Compile a cell, and list the names that its code uses, in order."""
    tree = ast.parse(cell.code)
    names = [node.id for node in sorted(_names(tree), key=lambda node: (node.lineno, node.col_offset))]
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name) and target.id in given:
            node.value = ast.copy_location(ast.Name(_hidden(target.id), ast.Load()), node.value)
    ast.increment_lineno(tree, cell.first_line - 1)
    return compile(tree, f"<{cell.title}>", "exec", dont_inherit=True), names


def _names(tree: ast.Module) -> list[ast.Name]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Name)]


def _hidden(name: str) -> str:
    return f"__given_{name}__"


def _graph(cell: Cell, namespace: Mapping[str, object]) -> AutogradGraph | None:
    if cell.graph is None:
        return None
    result = namespace[cell.graph]
    assert isinstance(result, Tensor)
    return graph_of(result, namespace)
