"""The demos' scripts, split into cells: the text that is shown is the text that runs.

A script begins with a docstring, a title and a summary. Each cell begins with a line `# %% Title`, and the comment
lines right below it are its explanation. Marks stand behind the title: `[withheld: x]` names tensors whose values
must not leave the process, `[graph: loss]` a result whose autograd graph is shown.
"""

import ast
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "demos"
_HEAD = re.compile(r"# %% (?P<title>[^\[\n]+?)(?P<marks>( \[\w+: [\w, ]+\])*)\n")
_MARK = re.compile(r"\[(\w+): ([\w, ]+)\]")


@dataclass(frozen=True)
class Cell:
    """One step of a script.

    Attributes:
        title: text of its first line.
        explanation: the comment below, as one paragraph.
        code: the lines below the explanation.
        first_line: number of the code's first line in the script, from 1.
        withheld: names of tensors whose values must not leave the process.
        graph: the name of the tensor whose graph is shown.
    """

    title: str
    explanation: str
    code: str
    first_line: int
    withheld: frozenset[str]
    graph: str | None


@dataclass(frozen=True)
class Script:
    """A script and its cells.

    Attributes:
        title: first line of its docstring.
        summary: the rest of it, as one paragraph.
        text: the whole script.
        cells: all cells, in order; the first holds what can be changed.
    """

    title: str
    summary: str
    text: str
    cells: tuple[Cell, ...]


@functools.cache
def read(demo: str) -> Script:
    """Read the script of a demo, once.

    Args:
        demo: its name in the catalogue; its file has underscores for hyphens.
    """
    return parse((_FOLDER / f"{demo.replace('-', '_')}.py").read_text(encoding="utf-8"))


def parse(text: str) -> Script:
    """Split a script into its cells."""
    docstring = ast.get_docstring(ast.parse(text)) or ""
    title, _, summary = docstring.partition("\n")
    lines = text.splitlines(keepends=True)
    starts = [index for index, line in enumerate(lines) if _HEAD.fullmatch(line)]
    ends = [*starts[1:], len(lines)]
    cells = tuple(_cell(lines[start:end], start) for start, end in zip(starts, ends, strict=True))
    return Script(title.strip(), " ".join(summary.split()), text, cells)


def _cell(lines: list[str], lines_before: int) -> Cell:
    head = _HEAD.fullmatch(lines[0])
    assert head is not None
    marks = {kind: names.split(", ") for kind, names in _MARK.findall(head["marks"])}
    end = next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
    explanation = " ".join(line.removeprefix("#").strip() for line in lines[1:end])
    while end < len(lines) and not lines[end].strip():
        end += 1
    return Cell(
        title=head["title"],
        explanation=explanation,
        code="".join(lines[end:]).rstrip(),
        first_line=lines_before + end + 1,
        withheld=frozenset(marks.get("withheld", [])),
        graph=next(iter(marks.get("graph", [])), None),
    )


def assigned(script: Script) -> dict[str, str]:
    """Find what the first cell assigns: name → the source of its right side."""
    return {name: ast.unparse(value) for name, value in _assignments(script).items()}


def replaced(script: Script, sources: Mapping[str, str]) -> Script:
    """Write other right sides into the assignments of the first cell.

    Args:
        script: the script to change; it stays as it is.
        sources: name → source; from the catalogue, never from a caller.
    """
    lines = script.text.splitlines(keepends=True)
    values = _assignments(script)
    for name, source in sources.items():
        value = values[name]
        assert value.lineno == value.end_lineno, f"{name}: one line each"
        row = lines[value.lineno - 1].encode()  # the columns of ast are bytes
        lines[value.lineno - 1] = (
            row[: value.col_offset] + source.encode() + row[value.end_col_offset :]
        ).decode()
    return parse("".join(lines))


def _assignments(script: Script) -> dict[str, ast.expr]:
    second = script.cells[1].first_line
    found: dict[str, ast.expr] = {}
    for node in ast.parse(script.text).body:
        if isinstance(node, ast.Assign) and node.lineno < second and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, node.value)
    return found
